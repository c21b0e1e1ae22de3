"""The access log as the patient reads it: entries on the wire, from what a party's log holds of one patient."""

from collections.abc import Sequence

from federation.errors import Corrupt
from federation.protocol.access import AccessEvent
from federation.protocol.time import Instant
from federation.v1 import access_pb2 as pb
from federation.v1.access_pb2 import AccessEntry
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


def entry_of(event: AccessEvent, *, number: int, at: Instant) -> AccessEntry:
    """Return an access as its patient is told of it. Raises Corrupt for one of another version, which it can't say."""
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
    )


def entries_digest(entries: Sequence[AccessEntry]) -> bytes:
    """Return H(accesses)."""
    return digest(listing([_row(entry) for entry in entries]))


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
    )
