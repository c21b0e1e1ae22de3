"""The directory and the revocation list as a party has them: followed whole by a hospital, asked for shard by shard by a person.

Every process of a party reads them from the store, so what one of them took the others use a moment later. A person's shards
are kept too, for the moment in which the public cloud does not answer.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from federation.errors import (
    Authentication,
    FederationError,
    MalformedMessage,
    RevocationDeltaOutOfOrder,
    RevocationHeadOlder,
    RevocationRootMismatch,
    RevocationShardMissing,
)
from federation.party.trust import Between, TrustKeeper
from federation.protocol.anchors import Anchors, Lists, open_head, read_excerpt
from federation.protocol.parsing import check
from federation.protocol.revocations import (
    EMPTY,
    MOST_SHARDS_ASKED,
    Listed,
    NothingAtHand,
    Shard,
    WholeSet,
    follow_delta,
    prefix_of,
    require_proven,
)
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant
from federation.store.party import Settings
from federation.store.revocations import KeptShards
from federation.store.rows import KeptShard
from federation.v1.directory_pb2 import GetDirectoryResponse, WatchDirectoryResponse
from federation.v1.statement_pb2 import RevocationExcerpt, RevocationHead, RevocationShard, SignedStatement

DIRECTORY = "directory"
"""The setting of the newest directory, under the sequence of its head."""

_SHARDS = "revocation-shards"
_MOST_BESIDE = 4
"""Hospitals that are asked for shards: a list at hand that came from one is newer, perhaps, than what the next has."""
BESIDE_SECONDS = 5.0
"""How long hospitals are waited for where the cloud does not answer: somebody waits for what is done by their list."""

_NO_LIST = -1
"""Below the sequence of every head."""

AskShards = Callable[[Sequence[int], Sequence[bytes]], RevocationExcerpt]
"""Fetches the shards of these prefixes, at most 32, and the CRLs but those of these digests; nothing of it is verified yet.

Raises FederationError.
"""

AskAll = Callable[[Sequence[bytes]], Iterable[RevocationExcerpt]]
"""Fetches all shards of one moment, in parts, and the CRLs but those of these digests. Raises FederationError."""


class ListKeeper:
    """The newest lists of a party, which never go back. Safe for several threads and processes."""

    def __init__(self, settings: Settings, trust: TrustKeeper) -> None:
        """Begin with what the store has."""
        self._settings = settings
        self._trust = trust
        self._lock = threading.RLock()
        self._lists: tuple[tuple[int, int], Lists] | None = None

    @property
    def directory(self) -> GetDirectoryResponse | None:
        """Return the newest directory that was taken."""
        kept = self._settings.get(DIRECTORY)
        return None if kept is None else GetDirectoryResponse.FromString(kept)

    @property
    def held_crls(self) -> Sequence[bytes]:
        """Return the digests of the CRLs at hand, as far as the head names them: those that are not to be sent again."""
        kept = self.directory
        return [] if kept is None else _held_of(kept)

    def current(self) -> Lists:
        """Return the lists of the newest directory that was taken, by whichever process, under the newest trust bundle."""
        bundle, at_hand = self._trust.newest(), self._lists
        if at_hand is None or at_hand[0][1] != bundle.sequence:
            at_hand = (_NO_LIST, bundle.sequence), Lists()
        newer = self._settings.newer(DIRECTORY, at_hand[0][0])
        if newer is None:
            return at_hand[1]
        with self._lock:
            if self._lists is None or self._lists[0] != (newer[0], bundle.sequence):
                self._lists = self._loaded(bundle.anchors, bundle.sequence, *newer)
            return self._lists[1]

    def _loaded(self, anchors: Anchors, bundle: int, sequence: int, kept: bytes) -> tuple[tuple[int, int], Lists]:
        """Read what was kept: nothing is at hand of a head whose PRK_C has been revoked since."""
        directory = GetDirectoryResponse.FromString(kept)
        with suppress(Authentication):
            crls = tuple(directory.certificate_revocation_lists)
            return (sequence, bundle), Lists.read(anchors, directory.revocation_head, crls, self._listed())
        return (sequence, bundle), Lists()

    def update(
        self, directory: GetDirectoryResponse, between: Between | None = None, ask: AskShards | None = None
    ) -> Lists:
        """Follow the trust bundle of a directory, then take its lists if they are newer; return those that now hold."""
        raise NotImplementedError

    def ask_of(self, ask: AskShards) -> None:
        """Say whom to ask for shards from now on; nobody is asked by who holds them all."""

    def ask_beside(self, hospital_id: str, ask: AskShards) -> None:
        """Say that this hospital is being dealt with: it is asked, the latest first, where that one does not answer."""

    def hear(self, excerpt: RevocationExcerpt) -> None:
        """Take what a peer shows of the list. What is wrong with it, or older, does not count: then it is asked for."""
        with suppress(FederationError):
            self.take(excerpt)

    def hear_beside(self, entries: Iterable[bytes], seconds: float = BESIDE_SECONDS) -> None:
        """Ask the hospitals that are dealt with for their head, and the shards of these entries: the cloud does not answer."""

    def take(self, excerpt: RevocationExcerpt) -> None:
        """Take a head if it is newer, and the shards that it proves; who follows the list takes none from others."""

    def want(self, entries: Iterable[bytes]) -> None:
        """Ask for the shards of these entries at once, as far as they are not at hand. Raises RevocationShardMissing."""

    def _listed(self) -> Listed:
        raise NotImplementedError

    def _taken(self, directory: GetDirectoryResponse, between: Between | None) -> tuple[GetDirectoryResponse, Lists]:
        """Follow the bundle, and return the directory with what is kept of it, and its lists, verified."""
        if directory.HasField("trust_bundle"):  # a relay hands on lists alone
            self._trust.take(directory.trust_bundle, between)
        merged = _merged(self.directory or GetDirectoryResponse(), directory)
        anchors = self._trust.newest().anchors
        crls = tuple(merged.certificate_revocation_lists)
        return merged, Lists.read(anchors, merged.revocation_head, crls, self._listed())


class AskingLists(ListKeeper):
    """A person's: the head, and the shards that it has asked for. What is not at hand is asked for when it is looked up."""

    def __init__(self, settings: Settings, trust: TrustKeeper) -> None:
        """Begin with what the store has, and with nobody to ask."""
        super().__init__(settings, trust)
        self._ask_cloud: AskShards | None = None
        self._ask_beside: dict[str, AskShards] = {}
        self._shards: tuple[bytes, dict[int, RevocationShard]] = b"", {}

    def update(
        self, directory: GetDirectoryResponse, between: Between | None = None, ask: AskShards | None = None
    ) -> Lists:
        """Follow the trust bundle of a directory, then take its lists if they are newer; return those that now hold.

        `between` fetches the bundles that this party has missed, `ask` is whom to ask for shards from now on.
        Raises what is wrong with the bundle, SignatureInvalid, MalformedMessage; then nothing was taken.
        """
        if ask is not None:
            self.ask_of(ask)
        merged, lists = self._taken(directory, between)
        return self._kept_if_newer(merged, lists)

    def ask_of(self, ask: AskShards) -> None:
        """Say whom to ask for shards from now on."""
        self._ask_cloud = ask

    def ask_beside(self, hospital_id: str, ask: AskShards) -> None:
        """Say that this hospital is being dealt with: it is asked, the latest first, where that one does not answer."""
        with self._lock:
            others = {identity: other for identity, other in self._ask_beside.items() if identity != hospital_id}
            self._ask_beside = dict([(hospital_id, ask), *others.items()][:_MOST_BESIDE])

    def hear_beside(self, entries: Iterable[bytes], seconds: float = BESIDE_SECONDS) -> None:
        """Ask the hospitals that are dealt with for their head, and the shards of these entries: the cloud does not answer.

        All at once, until one has a newer head, or for so long: those that are silent keep nobody waiting for the others.
        """
        prefixes = sorted(set(map(prefix_of, entries)))[:MOST_SHARDS_ASKED]
        asks, held, at_hand = self._beside(), self.held_crls, self.current().sequence
        answers: SimpleQueue[RevocationExcerpt | None] = SimpleQueue()
        for ask in asks:
            threading.Thread(target=_answer, args=(answers, ask, prefixes, held), daemon=True).start()
        deadline = time.monotonic() + seconds
        for _ in asks:
            try:
                excerpt = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return
            if excerpt is not None:
                self.hear(excerpt)
            if self.current().sequence > at_hand:
                return

    def take(self, excerpt: RevocationExcerpt) -> None:
        """Take a head if it is newer, with the CRLs that came with it, and the shards that it proves.

        Raises RevocationHeadOlder, RevocationShardInvalid, Authentication, MalformedMessage.
        """
        head = read_excerpt(self._trust.newest().anchors, excerpt, ()).require_head()
        at_hand = self.current()
        if head.sequence <= at_hand.sequence and (at_hand.head is None or head.root != at_hand.head.root):
            raise RevocationHeadOlder("these shards are of an older head than the one at hand")  # shards.2
        if head.sequence > at_hand.sequence or excerpt.certificate_revocation_lists:
            came = excerpt.certificate_revocation_lists
            newer = GetDirectoryResponse(revocation_head=excerpt.head, certificate_revocation_lists=came)
            self._kept_if_newer(*self._taken(newer, None))
        with self._lock:
            self._keep(head.root, excerpt)

    def want(self, entries: Iterable[bytes]) -> None:
        """Ask for the shards of these entries at once, as far as they are not at hand. Raises RevocationShardMissing."""
        prefixes = sorted(set(map(prefix_of, entries)))
        missing = [prefix for prefix in prefixes if prefix not in self._at_hand()]
        for start in range(0, len(missing), MOST_SHARDS_ASKED):
            self._ask(missing[start : start + MOST_SHARDS_ASKED])

    def find(self, entry: bytes) -> Instant | None:
        """Return as `Listed.find`. Raises RevocationShardMissing where nobody gives the shard."""
        prefix = prefix_of(entry)
        found = self._at_hand().get(prefix)
        return Shard.read(self._ask([prefix])[prefix] if found is None else found).find(entry)

    def excerpt(self, head: SignedStatement, prefixes: Iterable[int]) -> RevocationExcerpt:
        """Return shards as they came, with their paths. Raises RevocationShardMissing."""
        wanted = sorted(set(prefixes))
        self.want(prefix.to_bytes(2) for prefix in (place << 4 for place in wanted))
        at_hand = self._at_hand()
        return RevocationExcerpt(head=head, shards=[at_hand[prefix] for prefix in wanted])

    def _listed(self) -> Listed:
        return self

    def _kept_if_newer(self, merged: GetDirectoryResponse, lists: Lists) -> Lists:
        """Keep a directory that is newer, or of the same head: its head may have come before it, with shards alone.

        Return the lists that now hold.
        """
        if merged == self.directory:
            return self.current()
        again, kept = lists.signed == self.current().signed, merged.SerializeToString(deterministic=True)
        with self._lock:
            if self._settings.advance(DIRECTORY, lists.sequence, kept, again=again):
                self._lists = None
        return self.current()

    def _ask(self, prefixes: Sequence[int]) -> Mapping[int, RevocationShard]:
        refused: FederationError | None = None
        for ask in self._asks():
            try:
                self.take(ask(prefixes, self.held_crls))
            except FederationError as error:
                refused = error
                continue
            at_hand = self._at_hand()
            if all(prefix in at_hand for prefix in prefixes):
                return at_hand
        why = "the part of the revocation list in which it would stand can't be had now"
        raise RevocationShardMissing(why) from refused  # shard.3

    def _asks(self) -> Sequence[AskShards]:
        return [*self._beside()] if self._ask_cloud is None else [self._ask_cloud, *self._beside()]

    def _beside(self) -> Sequence[AskShards]:
        with self._lock:
            return [*self._ask_beside.values()]

    def _at_hand(self) -> Mapping[int, RevocationShard]:
        """Return the shards of the newest head's root."""
        head = self.current().head
        root = b"" if head is None else head.root
        with self._lock:
            if self._shards[0] != root:
                self._shards = root, self._read_kept(root)
            return self._shards[1]

    def _keep(self, root: bytes, excerpt: RevocationExcerpt) -> None:
        """Keep the newest shards of one root, in memory and in the store; called with the lock held."""
        others = self._at_hand() if self._shards[0] == root else {}
        new = {shard.prefix: shard for shard in excerpt.shards}
        kept = {prefix: shard for prefix, shard in others.items() if prefix not in new} | new
        kept = dict(list(kept.items())[-4 * MOST_SHARDS_ASKED :])
        self._shards = root, kept
        stored = RevocationExcerpt(head=excerpt.head, shards=kept.values())
        self._settings.put(_SHARDS, stored.SerializeToString(deterministic=True))

    def _read_kept(self, root: bytes) -> dict[int, RevocationShard]:
        kept = self._settings.get(_SHARDS)
        if not kept:
            return {}
        stored = RevocationExcerpt.FromString(kept)
        if peek_statement(RevocationHead, stored.head).root != root:
            return {}
        for shard in stored.shards:
            require_proven(shard, root)
        return {shard.prefix: shard for shard in stored.shards}


def _answer(
    answers: "SimpleQueue[RevocationExcerpt | None]", ask: AskShards, prefixes: Sequence[int], held: Sequence[bytes]
) -> None:
    """Put what a hospital answers, or None where it does not; in a thread of its own."""
    excerpt = None
    try:
        with suppress(FederationError):
            excerpt = ask(prefixes, held)
    finally:
        answers.put(excerpt)


@dataclass(frozen=True)
class _Followed:
    """A directory with the set that its head signs."""

    directory: GetDirectoryResponse
    head: RevocationHead
    whole: WholeSet


class FollowedLists(ListKeeper):
    """A hospital's: the whole set, which it follows by its changes."""

    def __init__(self, settings: Settings, trust: TrustKeeper, shards: KeptShards) -> None:
        """Begin with what the store has."""
        super().__init__(settings, trust)
        self._kept = shards
        self._set: _Followed | None = None

    @property
    def revision(self) -> int:
        """Return which revision of the set is at hand; 0 without one."""
        with self._lock:
            self._read()
            return 0 if self._set is None else self._set.head.revision

    def follow(self, changes: WatchDirectoryResponse, between: Between | None, ask_all: AskAll) -> Lists:
        """Take what has changed, and return the lists that now hold; all shards are fetched where the changes don't lead on.

        Raises what is wrong with the bundle, SignatureInvalid, MalformedMessage, RevocationRootMismatch.
        """
        check(changes)
        merged, lists = self._taken(_as_directory(changes), between)
        if not self._has_followed(changes, merged, lists.require_head()):
            self._take_all(merged, ask_all(_held_of(merged)))
        return self.current()

    def _has_followed(
        self, changes: WatchDirectoryResponse, merged: GetDirectoryResponse, head: RevocationHead
    ) -> bool:
        with self._lock:
            self._read()
            if self._set is None:
                return False
            if head.sequence <= self._set.head.sequence:
                held = self._set.directory
                # The head may have come before, with all shards alone.
                if merged.revocation_head == held.revocation_head and merged != held:
                    self._keep(merged, self._set.head, self._set.whole, {}, again=True)
                return True
            try:
                following, touched = _after(self._set, changes, head)
            except (RevocationDeltaOutOfOrder, RevocationRootMismatch):
                return False
            self._keep(merged, head, following, touched)
            return True

    def _take_all(self, directory: GetDirectoryResponse, parts: Iterable[RevocationExcerpt]) -> None:
        """Take a whole set under its head, which may be newer than that of the changes that did not lead on.

        Raises RevocationRootMismatch, Authentication, MalformedMessage.
        """
        shards: dict[int, Shard] = {}
        came = GetDirectoryResponse()
        for part in parts:
            check(part)
            came.revocation_head.CopyFrom(part.head)
            came.certificate_revocation_lists.extend(part.certificate_revocation_lists)
            shards |= {it.prefix: Shard.read(it) for it in part.shards}
        head = open_head(self._trust.newest().anchors, came.revocation_head)
        merged = _merged(directory, came)
        if any(prefix >= len(EMPTY.shards) for prefix in shards):
            raise MalformedMessage("a shard's prefix has 12 bits")
        whole = WholeSet.of(shards).require_of(head)
        with self._lock:
            self._keep(merged, head, whole, dict(enumerate(whole.shards)), again=True, all_=True)

    def _keep(
        self,
        directory: GetDirectoryResponse,
        head: RevocationHead,
        whole: WholeSet,
        touched: Mapping[int, Shard],
        *,
        again: bool = False,
        all_: bool = False,
    ) -> None:
        rows = (KeptShard(prefix, *shard) for prefix, shard in touched.items() if shard.size or not all_)
        kept = directory.SerializeToString(deterministic=True)
        if self._kept.advance(DIRECTORY, head.sequence, kept, rows, again=again, all_=all_):
            self._set, self._lists = _Followed(directory, head, whole), None

    def _read(self) -> None:
        """Read which shards another process, or this one before it was started, has taken since; called with the lock held."""
        than = _NO_LIST if self._set is None else self._set.head.sequence
        newer = self._kept.newer(DIRECTORY, than)
        if newer is None:
            return
        directory, rows = GetDirectoryResponse.FromString(newer[1]), newer[2]
        head = peek_statement(RevocationHead, directory.revocation_head)
        shards = {row.prefix: Shard(row.entries, row.sweeps) for row in rows}
        before = EMPTY if self._set is None else self._set.whole
        try:
            self._set = _Followed(directory, head, before.with_shards(shards).require_of(head))
        except RevocationRootMismatch:
            # All of them were taken anew, perhaps: then those that are empty now have no row.
            self._set = None
            if than != _NO_LIST:
                self._read()

    def _listed(self) -> Listed:
        with self._lock:
            self._read()
            return NothingAtHand() if self._set is None else self._set.whole

    def _loaded(self, anchors: Anchors, bundle: int, sequence: int, kept: bytes) -> tuple[tuple[int, int], Lists]:
        """Read what was kept, or what another process has put in its place meanwhile: a head goes with its own set."""
        self._read()
        if self._set is not None:
            sequence, kept = self._set.head.sequence, self._set.directory.SerializeToString()
        return super()._loaded(anchors, bundle, sequence, kept)


def _after(
    held: _Followed, changes: WatchDirectoryResponse, head: RevocationHead
) -> tuple[WholeSet, Mapping[int, Shard]]:
    if changes.HasField("delta"):
        return follow_delta(held.whole, held.head.revision, changes.delta, head)
    return held.whole.require_of(head), {}


def _digest(crl: bytes) -> bytes:
    return hashlib.sha256(crl).digest()


def _held_of(directory: GetDirectoryResponse) -> list[bytes]:
    return sorted(_pinned_by(directory) & set(map(_digest, directory.certificate_revocation_lists)))


def _pinned_by(directory: GetDirectoryResponse) -> set[bytes]:
    return {pin.digest for pin in peek_statement(RevocationHead, directory.revocation_head).crls}


def _merged(kept: GetDirectoryResponse, newer: GetDirectoryResponse) -> GetDirectoryResponse:
    """Return a newer directory with what of the kept one still holds: the CRLs that its head pins, and what did not change."""
    pinned, came = _pinned_by(newer), list(newer.certificate_revocation_lists)
    merged = GetDirectoryResponse()
    merged.CopyFrom(newer)
    still = (crl for crl in kept.certificate_revocation_lists if crl not in came and _digest(crl) in pinned)
    merged.certificate_revocation_lists.extend(still)
    for name in ("cloud_encryption_key_statement", "trust_bundle"):
        if kept.HasField(name) and not merged.HasField(name):
            getattr(merged, name).CopyFrom(getattr(kept, name))
    return merged


def _as_directory(changes: WatchDirectoryResponse) -> GetDirectoryResponse:
    directory = GetDirectoryResponse(
        revocation_head=changes.revocation_head,
        certificate_revocation_lists=changes.certificate_revocation_lists,
    )
    for name in ("cloud_encryption_key_statement", "trust_bundle"):
        if changes.HasField(name):
            getattr(directory, name).CopyFrom(getattr(changes, name))
    return directory
