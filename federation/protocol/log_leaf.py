"""What a leaf of a log commits to, and does not tell: it is hashed with 32 random bytes. docs/protocol.md, section 8."""

from federation.errors import LeafMismatch
from federation.protocol.access import AccessEvent
from federation.protocol.merkle import leaf_hash
from federation.protocol.time import Instant
from keystore.transcript import text, transcript, u64

BLIND_BYTES = 32


def access_leaf(event: AccessEvent, where: str, at: Instant, blind: bytes) -> bytes:
    """Return the data of the leaf of an access in the log of `where`: all that its patient is told of it."""
    return transcript(
        "log-access",
        text(where),
        u64(at),
        text(event.asker_id),
        text(event.patient_id),
        text(event.kind),
        text(event.scope),
        text(event.ground),
        event.authorization,
        text(event.reason),
        event.grant_digest,
        blind,
    )


def event_leaf(event: bytes, where: str, at: Instant, blind: bytes) -> bytes:
    """Return the data of the leaf of anything else that a log tells, by the bytes of its entry."""
    return transcript("log-event", text(where), u64(at), event, blind)


def require_leaf(data: bytes, leaf: bytes) -> None:
    """Require that a leaf, its hash, is of this data. Raises LeafMismatch."""
    if leaf_hash(data) != leaf:
        raise LeafMismatch("the entry says something else than its leaf")  # leaf.1
