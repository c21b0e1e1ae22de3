"""Shards of the revocation list and their paths, and changes of the whole set: taken, or why not. Built by hand from RFC 9162."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from federation.errors import FederationError
from federation.protocol.revocations import Change, Shard, WholeSet, follow_delta, require_proven
from federation.v1.directory_pb2 import RevocationDelta
from federation.v1.statement_pb2 import RevocationHead, RevocationShard, Sweep
from tests.vectors import spec
from tests.vectors.draws import Json

SHARDS, HEIGHT = 4096, 12


@dataclass(frozen=True)
class Listed:
    """What is revoked: entries, and sweeps with their times."""

    entries: tuple[bytes, ...] = ()
    sweeps: tuple[tuple[bytes, int], ...] = ()
    nodes: dict[tuple[int, int], bytes] = field(default_factory=dict, compare=False, repr=False)

    def shard(self, prefix: int) -> tuple[list[bytes], list[tuple[bytes, int]]]:
        """Give entries and sweeps of a prefix, in ascending order."""
        entries = sorted(it for it in self.entries if place(it) == prefix)
        return entries, sorted(it for it in self.sweeps if place(it[0]) == prefix)

    def leaf(self, prefix: int) -> bytes:
        """Give SHA-256(0x00 || T("shard", entries, sweeps))."""
        entries, sweeps = self.shard(prefix)
        swept = b"".join(digest + spec.u64(before) for digest, before in sweeps)
        return spec.sha256(b"\x00" + spec.transcript("shard", b"".join(entries), swept))

    def node(self, level: int, index: int) -> bytes:
        """Give the hash of a node: of a leaf at level 0, of the root at level 12."""
        if (level, index) not in self.nodes:
            self.nodes[level, index] = self._node(level, index)
        return self.nodes[level, index]

    def _node(self, level: int, index: int) -> bytes:
        if level == 0:
            return self.leaf(index)
        return spec.sha256(b"\x01" + self.node(level - 1, 2 * index) + self.node(level - 1, 2 * index + 1))

    @property
    def root(self) -> bytes:
        """Give the root."""
        return self.node(HEIGHT, 0)

    def path(self, prefix: int) -> list[bytes]:
        """Give the 12 digests beside the way from a shard to the root."""
        return [self.node(level, prefix >> level ^ 1) for level in range(HEIGHT)]

    def json(self) -> Json:
        """Give it as a vector has it."""
        return {
            "entries": [it.hex() for it in sorted(self.entries)],
            "sweeps": [{"patient_digest": it.hex(), "before": before} for it, before in sorted(self.sweeps)],
        }


def place(entry: bytes) -> int:
    """Give which shard an entry lies in: its first 12 bits."""
    return entry[0] << 4 | entry[1] >> 4


def _drawn() -> Listed:
    crowded = tuple(b"\xab\xcd" + _digest(number)[2:] for number in range(3))
    entries = (*map(_digest, range(3, 23)), *crowded, b"\x00" * 31 + b"\x01", b"\xff" * 32)
    return Listed(entries, ((b"\xab\xc0" + _digest(23)[2:], 1_700_000_000_000), (_digest(24), 1)))


def _digest(number: int) -> bytes:
    return spec.sha256(b"revocation %d" % number)


SET = _drawn()


def create() -> list[Json]:
    """Make the vectors."""
    return [*_shards(), *_bent_shards(), *_deltas()]


def _shard(name: str, at: int, expect: str = "success", listed: Listed = SET, **bent: object) -> Json:
    entries, sweeps = listed.shard(at)
    return {
        "name": name,
        "kind": "shard",
        "expect": expect,
        "root": listed.root.hex(),
        "prefix": at,
        **Listed(tuple(entries), tuple(sweeps)).json(),
        "path": [it.hex() for it in listed.path(at)],
    } | bent


def _shards() -> Iterator[Json]:
    yield _shard("an empty shard", next(it for it in range(SHARDS) if SET.shard(it) == ([], [])))
    yield _shard("a shard of one entry", place(SET.entries[0]))
    yield _shard("a shard of entries and a sweep", 0xABC)
    yield _shard("the first shard", 0)
    yield _shard("the last shard", SHARDS - 1)
    yield _shard("a shard of an empty set", 0x123, listed=Listed())


def _bent_shards() -> Iterator[Json]:
    invalid, prefix = "REVOCATION_SHARD_INVALID", 0xABC
    entries, _ = SET.shard(prefix)
    path = [it.hex() for it in SET.path(prefix)]
    other = replace(SET, entries=SET.entries[1:], nodes={})
    yield _shard("a shard from which an entry was left out", prefix, invalid, entries=[it.hex() for it in entries[1:]])
    yield _shard("a shard without its sweep", prefix, invalid, sweeps=[])
    yield _shard("a sweep of another time", prefix, invalid, sweeps=[_moved(SET.shard(prefix)[1][0])])
    yield _shard("entries in another order", prefix, invalid, entries=[it.hex() for it in entries[::-1]])
    yield _shard("an empty shard in the place of another", prefix, invalid, entries=[], sweeps=[])
    yield _shard("a shard said to be its neighbour", prefix, invalid, prefix=prefix ^ 1)
    yield _shard("a prefix of 13 bits", prefix, invalid, prefix=prefix + SHARDS)
    yield _shard("a path of eleven digests", prefix, invalid, path=path[:-1])
    yield _shard("a path of eleven digests, to a node", prefix, invalid, path=path[1:])
    yield _shard("a path of thirteen digests", prefix, invalid, path=[*path, path[0]])
    last = [it.hex() for it in SET.path(SHARDS - 1)]
    yield _shard("a path of eleven digests, of the last shard", SHARDS - 1, invalid, path=last[:-1])
    yield _shard("a path in another order", prefix, invalid, path=[path[1], path[0], *path[2:]])
    yield _shard("no path", prefix, invalid, path=[])
    yield _shard("a shard of an older head", prefix, invalid, root=other.root.hex())


def _moved(sweep: tuple[bytes, int]) -> Json:
    return {"patient_digest": sweep[0].hex(), "before": sweep[1] - 1}


def _deltas() -> Iterator[Json]:
    added, ended, sweep = _digest(25), SET.entries[:2], SET.sweeps[0]
    swept = (sweep[0], sweep[1] + 9)
    after = Listed((*SET.entries[2:], added), (swept, SET.sweeps[1]))
    changes = {
        "added": [added.hex()],
        "swept": [{"patient_digest": swept[0].hex(), "before": swept[1]}],
        "ended": [it.hex() for it in ended],
    }
    size = len(after.entries) + len(after.sweeps)
    known: Json = {
        "kind": "delta",
        "expect": "success",
        "held": SET.json(),
        "held_revision": 7,
        "from_revision": 7,
        **changes,
        "revision": 8,
        "root": after.root.hex(),
        "size": size,
    }
    out_of_order, mismatch = "REVOCATION_DELTA_OUT_OF_ORDER", "REVOCATION_ROOT_MISMATCH"
    yield {"name": "changes that follow"} | known
    yield {"name": "changes since an older revision"} | known | {"from_revision": 5}
    yield (
        {"name": "changes since the beginning, to a set that has them"}
        | known
        | {"held": after.json(), "held_revision": 8}
    )
    yield {"name": "changes after a gap"} | known | {"expect": out_of_order, "from_revision": 8, "revision": 9}
    yield {"name": "changes that end before what is at hand"} | known | {"expect": out_of_order, "held_revision": 9}
    yield {"name": "a change that was left out"} | known | {"expect": mismatch, "added": []}
    yield {"name": "an end that was left out"} | known | {"expect": mismatch, "ended": changes["ended"][:1]}
    yield {"name": "a head of another size"} | known | {"expect": mismatch, "size": size + 1}
    yield {"name": "a head of another root"} | known | {"expect": mismatch, "root": SET.root.hex()}


def outcome(vector: Json) -> str:
    """Give what the code says of a vector."""
    try:
        (_take_shard if vector["kind"] == "shard" else _take_delta)(vector)
    except FederationError as error:
        return error.reason
    return "success"


def _take_shard(vector: Json) -> None:
    shard = RevocationShard(
        prefix=vector["prefix"],
        entries=map(bytes.fromhex, vector["entries"]),
        sweeps=_sweeps(vector["sweeps"]),
        path=map(bytes.fromhex, vector["path"]),
    )
    assert require_proven(shard, bytes.fromhex(vector["root"])) == Shard.read(shard)


def _take_delta(vector: Json) -> None:
    head = RevocationHead(revision=vector["revision"], root=bytes.fromhex(vector["root"]), entries=vector["size"])
    delta = RevocationDelta(
        from_revision=vector["from_revision"],
        added=map(bytes.fromhex, vector["added"]),
        swept=_sweeps(vector["swept"]),
        ended=map(bytes.fromhex, vector["ended"]),
    )
    follow_delta(whole(vector["held"]), vector["held_revision"], delta, head)


def whole(listed: Json) -> WholeSet:
    """Give the product's set of what is listed."""
    sweeps = (Change(it.patient_digest, it.before) for it in _sweeps(listed["sweeps"]))
    return WholeSet.from_changes([*(Change(bytes.fromhex(it)) for it in listed["entries"]), *sweeps])


def _sweeps(sweeps: list[Json]) -> list[Sweep]:
    return [Sweep(patient_digest=bytes.fromhex(it["patient_digest"]), before=it["before"]) for it in sweeps]
