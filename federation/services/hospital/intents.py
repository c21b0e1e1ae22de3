"""The intent to publish a record, as the outbox keeps it: sealed, for it names the patient."""

from federation.errors import Corrupt
from federation.protocol.parties import Entropy
from federation.protocol.time import Instant
from federation.store.interfaces import OutboxEntry
from federation.v1.publication_pb2 import Publication
from keystore.errors import SealBroken
from keystore.sealing import Sealing
from keystore.transcript import transcript

ENTRY_BYTES = 16


def intend(publication: Publication, sealing: Sealing, *, now: Instant, entropy: Entropy) -> OutboxEntry:
    """Give the entry that will publish this, due at once. T, nonce and signature are of each attempt, not of the intent."""
    entry_id = entropy(ENTRY_BYTES)
    sealed = sealing.seal(publication.SerializeToString(deterministic=True), _context(entry_id))
    return OutboxEntry(entry_id, sealed, attempts=0, not_before=now)


def intended(entry: OutboxEntry, sealing: Sealing) -> Publication:
    """Give what an entry is to publish. Raises Corrupt."""
    try:
        return Publication.FromString(sealing.open(entry.sealed, _context(entry.entry_id)))
    except SealBroken as error:
        raise Corrupt("an entry of the outbox does not open under this hospital's token") from error


def resealed(entry: OutboxEntry, sealing: Sealing) -> bytes:
    """Give what an entry keeps, under the active sealing key. Raises SealBroken."""
    return sealing.reseal(entry.sealed, _context(entry.entry_id))


def _context(entry_id: bytes) -> bytes:
    return transcript("outbox", entry_id)
