"""The entries of the outbox, sealed: each names a record that is to be published, or withdrawn, and its patient."""

from federation.errors import Corrupt
from federation.hospital.vault import Place
from federation.protocol.parties import Entropy
from federation.protocol.time import Instant
from federation.store.rows import OutboxEntry
from federation.v1.publication_pb2 import PUBLICATION_ACTION_ADD, Publication, PublicationAction
from keystore.errors import SealBroken
from keystore.keyring import Sealing
from keystore.transcript import digest, transcript

ENTRY_BYTES = 16


def new_entry(
    hospital_id: str,
    place: Place,
    sealing: Sealing,
    *,
    now: Instant,
    entropy: Entropy,
    action: "PublicationAction.ValueType" = PUBLICATION_ACTION_ADD,
) -> OutboxEntry:
    """Give the entry that will publish a record or withdraw it, due at once."""
    return _entry(hospital_id, place, sealing, entropy(ENTRY_BYTES), now, action)


def repeated_entry(hospital_id: str, place: Place, sealing: Sealing, *, now: Instant) -> OutboxEntry:
    """Give the entry that will publish a record once more: the same one as long as it waits, however often it is asked for."""
    entry_id = digest(transcript("publish-again", place.handle))[:ENTRY_BYTES]
    return _entry(hospital_id, place, sealing, entry_id, now, PUBLICATION_ACTION_ADD)


def publication_in(entry: OutboxEntry, sealing: Sealing) -> Publication:
    """Give what an entry is to publish. Raises Corrupt."""
    try:
        return Publication.FromString(sealing.open(entry.sealed, _context(entry.entry_id)))
    except SealBroken as error:
        raise Corrupt("an entry of the outbox does not open under this hospital's token") from error


def resealed(entry: OutboxEntry, sealing: Sealing) -> bytes:
    """Give what an entry keeps, under the active sealing key. Raises SealBroken."""
    return sealing.reseal(entry.sealed, _context(entry.entry_id))


def _entry(
    hospital_id: str,
    place: Place,
    sealing: Sealing,
    entry_id: bytes,
    now: Instant,
    action: "PublicationAction.ValueType",
) -> OutboxEntry:
    """Seal an entry; T, nonce and signature are of each attempt, not of the entry."""
    publication = Publication(
        action=action,
        patient_id=place.patient_id,
        department_id=place.department_id,
        hospital_id=hospital_id,
        handle=place.handle,
    )
    if place.doctor_id:
        publication.doctor_id = place.doctor_id
        publication.consent_digest = place.consent_digest
    sealed = sealing.seal(publication.SerializeToString(deterministic=True), _context(entry_id))
    return OutboxEntry(entry_id, sealed, attempts=0, not_before=now)


def _context(entry_id: bytes) -> bytes:
    return transcript("outbox", entry_id)
