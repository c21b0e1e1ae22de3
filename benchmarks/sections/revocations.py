"""The revocation list: what a change and a check cost a person, a hospital and the cloud, by how many live entries it has."""

import os
from collections.abc import Callable, Iterator, Sequence

from benchmarks.meters import cpu_us
from benchmarks.rows import Bench, Row, Section
from federation.protocol.revocations import Change, SomeShards, WholeSet, follow_delta, make_delta, prefix_of
from federation.v1.directory_pb2 import RevocationDelta, WatchDirectoryResponse
from federation.v1.statement_pb2 import RevocationExcerpt, RevocationHead, SignedStatement

FOLLOWERS, LISTED_AT = 10_000, 1_796_000_000_000


def rows(bench: Bench) -> Iterator[Row]:
    """Yield, for sets of each size, the bytes and then the CPU of one change and of one check."""
    for size in bench.pick((1_000,), (1_000, 100_000, 1_000_000)):
        whole, entry = WholeSet.from_changes(Change(os.urandom(32)) for _ in range(size)), os.urandom(32)
        changed, _ = whole.changed([Change(entry)])
        head = RevocationHead(
            sequence=2,
            this_update=LISTED_AT,
            next_update=LISTED_AT + 3_600_000,
            root=changed.root,
            entries=changed.entries,
            revision=2,
            bundle_sequence=1,
        )
        signed = SignedStatement(statement=head.SerializeToString(), signature=bytes(64))
        delta, excerpt = make_delta(1, [Change(entry)]), changed.excerpt(signed, [prefix_of(entry)])
        named = f"{size:,} entries"
        yield from _sent(named, size, WatchDirectoryResponse(revocation_head=signed, delta=delta), excerpt)
        for name, step, repeated in _steps(whole, entry, head, signed, delta, excerpt):
            yield Row(f"{named}: {name}", "us CPU", cpu_us(step, bench.pick(3, 7), repeated))


def _sent(named: str, size: int, change: WatchDirectoryResponse, excerpt: RevocationExcerpt) -> Iterator[Row]:
    told, shown = change.ByteSize() / 1000, excerpt.ByteSize() / 1000
    yield Row(f"{named}: change, to a hospital", "kB", [told], series="revocation change, kB", at=size)
    yield Row(f"{named}: change, to {FOLLOWERS:,} followers", "kB", [FOLLOWERS * told], note="reckoned")
    yield Row(f"{named}: check, to a person", "kB", [shown], series="revocation shard, kB", at=size)


def _steps(
    whole: WholeSet,
    entry: bytes,
    head: RevocationHead,
    signed: SignedStatement,
    delta: RevocationDelta,
    excerpt: RevocationExcerpt,
) -> Sequence[tuple[str, Callable[[], object], int]]:
    """Return what is done where, and how often in a round."""
    return (
        ("change, at the cloud, its head unsigned", lambda: whole.changed([Change(entry)]), 100),
        ("change, at a hospital", lambda: follow_delta(whole, 1, delta, head), 100),
        ("check, at a hospital", lambda: whole.find(entry), 10_000),
        ("check of a person, at the cloud", lambda: whole.excerpt(signed, [prefix_of(entry)]), 100),
        ("check, at a person's", lambda: SomeShards.read(excerpt, head).find(entry), 100),
    )


SECTION = Section(
    "revocations",
    "Revocations",
    "A set of so many live revocations, all made up: a change of one entry, as the cloud makes it and a hospital follows it, "
    "and a check, which a hospital makes in its own set and a person with a shard that it asks for. No network, no database.",
    rows,
)
