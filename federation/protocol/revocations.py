"""The set of what no longer holds, in 4,096 shards under one root; pure (docs/protocol.md, "Revocation list: rl").

An entry's shard is its first 12 bits, and never what somebody says of it. Each shard is a leaf of a Merkle tree (RFC 9162,
section 2.1), so a head of a few hundred bytes signs the whole set, and a shard with its path proves what it holds and what it
does not. Hospitals hold the set whole and follow its changes; a person asks for the shards of whom it is about to check.

A set is never changed: each change gives the next one, which shares with it whatever it did not touch. Shards are two byte
strings each, so a million entries take some 35 MB.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from federation.errors import (
    FieldInvalid,
    LogProofInvalid,
    RevocationDeltaOutOfOrder,
    RevocationRootMismatch,
    RevocationShardInvalid,
    RevocationShardMissing,
)
from federation.protocol.merkle import leaf_hash, node_hash, require_included
from federation.protocol.time import Instant
from federation.v1.directory_pb2 import RevocationDelta
from federation.v1.statement_pb2 import RevocationExcerpt, RevocationHead, RevocationShard, SignedStatement, Sweep
from keystore.transcript import transcript

SHARDS = 4096
LEVELS = 12
MOST_SHARDS_ASKED = 32
"""That one answer holds (protos/federation/v1/statement.proto)."""

_ENTRY, _TIME = 32, 8
_SWEEP = _ENTRY + _TIME


def prefix_of(entry: bytes) -> int:
    """Return which shard an entry lies in: its first 12 bits."""
    return int.from_bytes(entry[:2]) >> 4


def require_prefixes(prefixes: Sequence[int]) -> Sequence[int]:
    """Return prefixes that are asked for. Raises FieldInvalid for none, one twice, or one that is none."""
    if not prefixes or len(set(prefixes)) != len(prefixes) or max(prefixes) >= SHARDS:
        raise FieldInvalid("shards are asked for by their 12 bits, each once")  # shards.1
    return prefixes


class Listed(Protocol):
    """What is at hand of the set."""

    def find(self, entry: bytes) -> Instant | None:
        """Return None for an entry that is not in the set, else the time of a sweep, or 0.

        Raises RevocationShardMissing where nothing at hand says so.
        """
        ...

    def excerpt(self, head: SignedStatement, prefixes: Iterable[int]) -> RevocationExcerpt:
        """Return these shards with their paths, under the head that proves them. Raises RevocationShardMissing."""
        ...


class NothingAtHand:
    """No shard at all: every question fails."""

    def find(self, entry: bytes) -> Instant | None:  # noqa: ARG002 - as of Listed
        """Raise RevocationShardMissing."""
        raise RevocationShardMissing("no part of the revocation list is at hand")

    def excerpt(self, head: SignedStatement, prefixes: Iterable[int]) -> RevocationExcerpt:  # noqa: ARG002 - as of Listed
        """Raise RevocationShardMissing."""
        raise RevocationShardMissing("no part of the revocation list is at hand")


class Change(NamedTuple):
    """The newest state of an entry: ended, or in the set; `before` is a sweep's time, else 0."""

    entry: bytes
    before: Instant = 0
    is_ended: bool = False


class Shard(NamedTuple):
    """Entries of one prefix, one after another in ascending order; a sweep with its time, 8 bytes, big-endian."""

    entries: bytes = b""
    sweeps: bytes = b""

    @classmethod
    def read(cls, message: RevocationShard) -> "Shard":
        """Take a shard as it came, its form checked. Whether it is the head's, `require_proven` says."""
        return cls(b"".join(message.entries), b"".join(it.patient_digest + _time(it.before) for it in message.sweeps))

    @classmethod
    def of(cls, changes: Iterable[Change]) -> "Shard":
        """Build one from its entries."""
        found = {it.entry: it.before for it in changes if not it.is_ended}
        plain = sorted(entry for entry, before in found.items() if not before)
        swept = sorted(entry + _time(before) for entry, before in found.items() if before)
        return cls(b"".join(plain), b"".join(swept))

    @property
    def leaf(self) -> bytes:
        """Return its leaf's hash, over T("shard", entries, sweeps)."""
        return leaf_hash(transcript("shard", self.entries, self.sweeps))

    @property
    def changes(self) -> Iterator[Change]:
        """Return its entries, as they would be added."""
        yield from map(Change, _items(self.entries, _ENTRY))
        for sweep in _items(self.sweeps, _SWEEP):
            yield Change(sweep[:_ENTRY], int.from_bytes(sweep[_ENTRY:]))

    @property
    def size(self) -> int:
        """Return how many entries it has."""
        return len(self.entries) // _ENTRY + len(self.sweeps) // _SWEEP

    def find(self, entry: bytes) -> Instant | None:
        """Return as `Listed.find`."""
        if _is_at(self.entries, entry, _place(self.entries, _ENTRY, entry)):
            return 0
        place = _place(self.sweeps, _SWEEP, entry)
        if not _is_at(self.sweeps, entry, place):
            return None
        return int.from_bytes(self.sweeps[place + _ENTRY : place + _SWEEP])

    def changed(self, change: Change) -> "Shard":
        """Return the shard after a change, of whichever kind its entry was before."""
        entries, sweeps = _without(self.entries, _ENTRY, change.entry), _without(self.sweeps, _SWEEP, change.entry)
        if change.is_ended:
            return Shard(entries, sweeps)
        if change.before:
            return Shard(entries, _with(sweeps, _SWEEP, change.entry + _time(change.before)))
        return Shard(_with(entries, _ENTRY, change.entry), sweeps)

    def message(self, prefix: int, path: Sequence[bytes] = ()) -> RevocationShard:
        """Return it as it travels."""
        sweeps = (
            Sweep(patient_digest=it[:_ENTRY], before=int.from_bytes(it[_ENTRY:])) for it in _items(self.sweeps, _SWEEP)
        )
        return RevocationShard(prefix=prefix, entries=_items(self.entries, _ENTRY), sweeps=sweeps, path=path)


def require_proven(message: RevocationShard, root: bytes) -> Shard:
    """Return a shard that a root commits to, at the place of its prefix. Raises RevocationShardInvalid."""
    shard = Shard.read(message)
    try:
        # Of a tree of 4,096 leaves: no other place is in it, and the way up from each is of 12 digests.
        require_included(shard.leaf, message.prefix, SHARDS, message.path, root)  # shard.1
    except LogProofInvalid as error:
        raise RevocationShardInvalid("the shard is not the head's") from error  # shard.2
    return shard


@dataclass(frozen=True)
class WholeSet:
    """All shards, and the tree over them: `levels[0]` are the leaves, `levels[12]` is the root alone."""

    shards: tuple[Shard, ...]
    levels: tuple[tuple[bytes, ...], ...]
    entries: int
    """How many it has, sweeps among them."""

    @classmethod
    def of(cls, shards: Mapping[int, Shard]) -> "WholeSet":
        """Build the set of these shards, by their prefixes; the others are empty."""
        return EMPTY.with_shards(shards)

    @classmethod
    def from_changes(cls, changes: Iterable[Change]) -> "WholeSet":
        """Build a set from its entries at once."""
        by_prefix: dict[int, list[Change]] = {}
        for change in changes:
            by_prefix.setdefault(prefix_of(change.entry), []).append(change)
        return cls.of({prefix: Shard.of(found) for prefix, found in by_prefix.items()})

    @property
    def root(self) -> bytes:
        """Return the root of the tree."""
        return self.levels[LEVELS][0]

    def find(self, entry: bytes) -> Instant | None:
        """Return as `Listed.find`; it is always at hand."""
        return self.shards[prefix_of(entry)].find(entry)

    def changed(self, changes: Iterable[Change]) -> tuple["WholeSet", Mapping[int, Shard]]:
        """Return the set after these changes, and the shards that are others now."""
        touched: dict[int, Shard] = {}
        for change in changes:
            prefix = prefix_of(change.entry)
            touched[prefix] = touched.get(prefix, self.shards[prefix]).changed(change)
        return self.with_shards(touched), touched

    def with_shards(self, shards: Mapping[int, Shard]) -> "WholeSet":
        """Return the set with these shards in the place of its own: 12 nodes are made anew for each."""
        if not shards:
            return self
        held, leaves, entries = list(self.shards), list(self.levels[0]), self.entries
        for prefix, shard in shards.items():
            entries += shard.size - held[prefix].size
            held[prefix], leaves[prefix] = shard, shard.leaf
        levels, places = [tuple(leaves)], set(shards)
        for level in range(1, LEVELS + 1):
            below, nodes = levels[-1], list(self.levels[level])
            places = {place >> 1 for place in places}
            for place in places:
                nodes[place] = node_hash(below[2 * place], below[2 * place + 1])
            levels.append(tuple(nodes))
        return WholeSet(tuple(held), tuple(levels), entries)

    def path(self, prefix: int) -> Sequence[bytes]:
        """Return the 12 digests that lead from a shard to the root."""
        return [self.levels[level][(prefix >> level) ^ 1] for level in range(LEVELS)]

    def excerpt(self, head: SignedStatement, prefixes: Iterable[int]) -> RevocationExcerpt:
        """Return these shards with their paths, under the set's head."""
        shards = [self.shards[prefix].message(prefix, self.path(prefix)) for prefix in sorted(set(prefixes))]
        return RevocationExcerpt(head=head, shards=shards)

    def require_of(self, head: RevocationHead) -> "WholeSet":
        """Require it to be the set that a head signs, and return it. Raises RevocationRootMismatch."""
        if (self.root, self.entries) != (head.root, head.entries):
            raise RevocationRootMismatch("the revocations at hand are not those that the head signs")  # delta.2
        return self


def _empty() -> WholeSet:
    levels = [(Shard().leaf,) * SHARDS]
    for _ in range(LEVELS):
        below = levels[-1]
        levels.append((node_hash(below[0], below[0]),) * (len(below) // 2))
    return WholeSet((Shard(),) * SHARDS, tuple(levels), 0)


EMPTY = _empty()


def make_delta(from_revision: int, changes: Iterable[Change]) -> RevocationDelta:
    """Return the newest states of what was touched after a revision, as they travel."""
    delta = RevocationDelta(from_revision=from_revision)
    for change in changes:
        if change.is_ended:
            delta.ended.append(change.entry)
        elif change.before:
            delta.swept.add(patient_digest=change.entry, before=change.before)
        else:
            delta.added.append(change.entry)
    return delta


def follow_delta(
    held: WholeSet, revision: int, delta: RevocationDelta, head: RevocationHead
) -> tuple[WholeSet, Mapping[int, Shard]]:
    """Return the head's set from one of this revision, and the shards that are others now.

    Raises RevocationDeltaOutOfOrder, RevocationRootMismatch: then all shards have to be fetched.
    """
    if not delta.from_revision <= revision <= head.revision:
        raise RevocationDeltaOutOfOrder("the changes do not lead from the revocations at hand to the head")  # delta.1
    following, touched = held.changed(_changes_of(delta))
    return following.require_of(head), touched


def _changes_of(delta: RevocationDelta) -> Iterator[Change]:
    yield from (Change(entry, is_ended=True) for entry in delta.ended)
    yield from (Change(entry) for entry in delta.added)
    yield from (Change(it.patient_digest, it.before) for it in delta.swept)


@dataclass(frozen=True)
class SomeShards(NothingAtHand):
    """The shards that came with a head, by their prefixes: for what is checked at once. They are not handed on."""

    shards: Mapping[int, Shard]

    @classmethod
    def read(cls, excerpt: RevocationExcerpt, head: RevocationHead) -> "SomeShards":
        """Take shards that the head proves. Raises RevocationShardInvalid."""
        return cls({it.prefix: require_proven(it, head.root) for it in excerpt.shards})

    def find(self, entry: bytes) -> Instant | None:
        """Return as `Listed.find`. Raises RevocationShardMissing."""
        shard = self.shards.get(prefix_of(entry))
        if shard is None:
            raise RevocationShardMissing(
                "the part of the revocation list in which it would stand is not at hand"
            )  # shard.3
        return shard.find(entry)


def _time(before: Instant) -> bytes:
    return before.to_bytes(_TIME)


def _items(blob: bytes, width: int) -> Iterator[bytes]:
    return (blob[at : at + width] for at in range(0, len(blob), width))


def _place(blob: bytes, width: int, entry: bytes) -> int:
    """Return where in a row of items, ascending, the entry stands or would."""
    low, high = 0, len(blob) // width
    while low < high:
        middle = (low + high) // 2
        if blob[middle * width : middle * width + _ENTRY] < entry:
            low = middle + 1
        else:
            high = middle
    return low * width


def _is_at(blob: bytes, entry: bytes, place: int) -> bool:
    return blob[place : place + _ENTRY] == entry


def _without(blob: bytes, width: int, entry: bytes) -> bytes:
    place = _place(blob, width, entry)
    return blob[:place] + blob[place + width :] if _is_at(blob, entry, place) else blob


def _with(blob: bytes, width: int, item: bytes) -> bytes:
    place = _place(blob, width, item)
    return blob[:place] + item + blob[place:]
