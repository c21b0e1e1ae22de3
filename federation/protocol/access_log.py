"""The access log as the patient reads it: entries on the wire, each with what proves it, and the head that proves them.

Made here by a party from what its log holds of one patient; `federation.protocol.told_log` is how the patient checks it.
"""

from collections.abc import Sequence
from itertools import accumulate

from federation.errors import Corrupt
from federation.protocol.access import AccessEvent
from federation.protocol.merkle import NodeReader, consistency_proof, inclusion_proof
from federation.protocol.parsing import field_rule
from federation.protocol.time import Instant
from federation.v1 import access_pb2 as pb
from federation.v1.access_pb2 import AccessEntry, ProvedHead
from federation.v1.statement_pb2 import SignedStatement
from keystore.identities import PatientId
from keystore.transcript import digest, listing, row, text, u64

KIND_NAMES: dict["pb.AccessKind.ValueType", str] = {
    pb.ACCESS_KIND_SEARCH: "SEARCH",
    pb.ACCESS_KIND_READ: "READ",
    pb.ACCESS_KIND_STORE: "STORE",
    pb.ACCESS_KIND_LOG: "LOG",
    pb.ACCESS_KIND_ADD: "ADD",
}
GROUND_NAMES: dict["pb.AccessGround.ValueType", str] = {
    pb.ACCESS_GROUND_CONSENT: "consent",
    pb.ACCESS_GROUND_OWN: "own",
    pb.ACCESS_GROUND_EMERGENCY: "emergency",
    pb.ACCESS_GROUND_NONE: "none",
}
_KINDS = {name: kind for kind, name in KIND_NAMES.items()}
_GROUNDS = {name: ground for ground, name in GROUND_NAMES.items()}


FRAMING = 4
"""Bytes of protobuf before an entry or a head: a tag, and a length below 2^21."""
MOST_WITNESSES = field_rule(ProvedHead, "witness_key_statements").max_items


def entry_of(event: AccessEvent, *, number: int, at: Instant, leaf_index: int, blind: bytes) -> AccessEntry:
    """Return an access as its patient is told of it, unproved. Raises Corrupt for one of another version, which it can't say."""
    if event.kind not in _KINDS or event.ground not in _GROUNDS:
        raise Corrupt("an entry of the audit log is of a kind that this version does not know")
    return AccessEntry(
        number=number,
        at=at,
        asker_id=event.asker_id,
        kind=_KINDS[event.kind],
        department_class=event.scope,
        ground=_GROUNDS[event.ground],
        authorization=event.authorization or None,
        reason=event.reason,
        grant_digest=event.grant_digest or None,
        leaf_index=leaf_index,
        blind=blind,
    )


def event_of(entry: AccessEntry, patient_id: PatientId) -> AccessEvent:
    """Return what an entry says, as the log that has it said it."""
    return AccessEvent(
        kind=KIND_NAMES[entry.kind],
        asker_id=entry.asker_id,
        patient_id=patient_id,
        scope=entry.department_class,
        authorization=entry.authorization,
        ground=GROUND_NAMES[entry.ground],
        reason=entry.reason,
        grant_digest=entry.grant_digest,
    )


def prove(entry: AccessEntry, size: int, read: NodeReader) -> None:
    """Put into an entry what proves it against the head of this size. Raises ValueError for one above that."""
    del entry.inclusion[:]
    entry.inclusion.extend(inclusion_proof(entry.leaf_index, size, read))


def proved_head(
    note: bytes, size: int, known_size: int, read: NodeReader, witnesses: Sequence[SignedStatement] = ()
) -> ProvedHead:
    """Return the head of this size, and what proves it against the one that its patient remembers; 0 for none."""
    proof = consistency_proof(known_size, size, read) if 0 < known_size < size else []
    return ProvedHead(note=note, consistency=proof, witness_key_statements=witnesses)


def as_many_as_fit(entries: Sequence[AccessEntry], head: ProvedHead, size_bytes: int) -> int:
    """Return how many of these entries, from the first on, have room in so many bytes with their head."""
    sizes = accumulate((FRAMING + entry.ByteSize() for entry in entries), initial=FRAMING + head.ByteSize())
    return sum(size <= size_bytes for size in sizes) - 1


def entries_digest(entries: Sequence[AccessEntry]) -> bytes:
    """Return H(accesses)."""
    return digest(listing([_row(entry) for entry in entries]))


def head_digest(head: ProvedHead | None) -> bytes:
    """Return H(log head), or an empty field."""
    if head is None:
        return b""
    witnesses = [it.statement for it in head.witness_key_statements]
    return digest(row(head.note, listing(list(head.consistency)), listing(witnesses)))


def _row(entry: AccessEntry) -> bytes:
    return row(
        u64(entry.number),
        u64(entry.at),
        text(entry.asker_id),
        text(KIND_NAMES[entry.kind]),
        text(entry.department_class),
        text(GROUND_NAMES[entry.ground]),
        entry.authorization,
        text(entry.reason),
        entry.grant_digest,
        u64(entry.leaf_index),
        entry.blind,
        listing(list(entry.inclusion)),
    )
