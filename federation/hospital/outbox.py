"""The outbox: publications on their way to the public cloud (X11, X12). A crash at any point loses none.

An entry is taken for each attempt, so that no two workers make it at once, and leaves only with the cloud's receipt, PUBACK. So
an attempt whose answer is lost is made again, with a new T, nonce, signature and seal; the cloud's upsert makes the second do no
harm.

What an attempt says is where the record stands then, not when the entry was made. An entry stays if the record changed under
the attempt, and until no message sent before the last change could be taken any more: a late "add" outlives no "withdraw".
"""

from collections.abc import Callable

from federation.errors import Corrupt, FederationError, Unavailable
from federation.hospital.services import Hospital
from federation.hospital.vault import RecordMetadata
from federation.party.audit import OK, AuditEvent
from federation.party.reencryption import Steps
from federation.protocol.parties import Entropy, reason_of
from federation.protocol.statements import SENSITIVITIES
from federation.protocol.time import Instant, milliseconds
from federation.store.records import OutboxEntries
from federation.store.rows import OutboxEntry, Standing
from federation.v1.publication_pb2 import (
    PUBLICATION_ACTION_ADD,
    PUBLICATION_ACTION_WITHDRAW,
    Publication,
    PublicationAction,
)
from federation.v1.statement_pb2 import SignedStatement
from federation.wire import operations
from keystore.errors import SealBroken
from keystore.identities import HospitalId
from keystore.keyring import Sealing
from keystore.transcript import digest, transcript

TAKEN_MS = 30_000
"""How long an entry is one worker's: a call may take half as long. What a worker leaves that dies is another's after that; where
one lives and takes longer, two publish the same row, which the index keeps once."""

FIRST_PAUSE_MS = 2_000
LONGEST_PAUSE_MS = 10 * 60 * 1_000
AT_ONCE = 32
PUBACK = "puback"

Publish = Callable[[Publication], SignedStatement]
"""Publishes and gives PUBACK, verified. Raises FederationError."""

ENTRY_BYTES = 16


class Outbox:
    """Publishes what is due."""

    def __init__(self, hospital: Hospital, publish: Publish) -> None:
        """Empty this hospital's outbox by these calls."""
        self._hospital = hospital
        self._entries = hospital.stores.outbox
        self._publish = publish

    def publish_due(self) -> int:
        """Attempt what is due now, the longest due first; return how many the cloud has acknowledged.

        Ends early when the cloud does not answer: nothing else would get through either.
        """
        acknowledged = 0
        for entry in self._entries.due(now=self._hospital.clock(), limit=AT_ONCE):
            try:
                acknowledged += self._attempt(entry)
            except Unavailable as error:
                self._put_off(entry, error)
                operations.warning("publication-postponed", reason=reason_of(error), attempts=entry.attempts + 1)
                break
            except FederationError as error:
                self._put_off(entry, error)
                self._refused(entry, error)
        return acknowledged

    def _attempt(self, entry: OutboxEntry) -> bool:
        """Publish an entry unless another worker has it; return whether it was published."""
        hospital = self._hospital
        if not self._entries.take(entry, until=hospital.clock() + TAKEN_MS):
            return False
        publication = publication_in(entry, hospital.sealing)
        standing = hospital.stores.administration.standing(publication.handle)
        is_shown = standing is None or standing.is_shown
        publication.action = PUBLICATION_ACTION_ADD if is_shown else PUBLICATION_ACTION_WITHDRAW
        if versions := hospital.stores.administration.versions(publication.handle):
            publication.sensitivity = SENSITIVITIES[versions[-1].sensitivity]
        sent_at = hospital.clock()
        receipt = self._publish(publication)
        self._keep(publication, receipt, hospital.clock())
        self._settle(entry, publication.handle, standing, sent_at)
        return True

    def _settle(self, entry: OutboxEntry, handle: bytes, standing: Standing | None, sent_at: Instant) -> None:
        """Take the entry out, unless the index has to be told again."""
        administration, freshness = self._hospital.stores.administration, self._hospital.member.freshness
        alone_from = 0 if standing is None else freshness.replay_key_until(now=standing.changed_at)
        if administration.standing(handle) != standing:
            self._entries.postpone(entry.entry_id, not_before=sent_at)
        elif sent_at <= alone_from:
            self._entries.postpone(entry.entry_id, not_before=alone_from + 1)
        else:
            self._entries.settle(entry.entry_id)

    def _put_off(self, entry: OutboxEntry, error: FederationError) -> None:
        pause = max(pause_after(entry.attempts), milliseconds(error.retry_after))
        self._entries.postpone(entry.entry_id, not_before=self._hospital.clock() + pause)

    def _keep(self, publication: Publication, receipt: SignedStatement, now: Instant) -> None:
        """Keep PUBACK as evidence that the row was taken, or taken out."""
        hospital = self._hospital
        kind = "PUBLISHED" if publication.action == PUBLICATION_ACTION_ADD else "UNPUBLISHED"
        plaintext = receipt.SerializeToString(deterministic=True)
        sealed = hospital.sealing.seal(plaintext, evidence_context(PUBACK, publication.handle))
        hospital.stores.evidence.add(PUBACK, publication.handle, sealed, at=now)
        hospital.audit.record(AuditEvent(kind, OK, detail=publication.handle.hex()), now=now)

    def _refused(self, entry: OutboxEntry, error: FederationError) -> None:
        """Tell the operator; the entry stays, for what the cloud refuses today it may take tomorrow."""
        reason = reason_of(error)
        operations.warning("publication-refused", reason=reason, attempts=entry.attempts + 1)
        self._hospital.audit.record(AuditEvent("PUBLICATION", reason, detail=str(error)), now=self._hospital.clock())


def evidence_context(kind: str, reference: bytes) -> bytes:
    """Return what a hospital's evidence is sealed with."""
    return transcript("evidence", kind.encode(), reference)


def pause_after(attempts: int) -> int:
    """Return how long to wait before the next attempt, in ms: doubling from 2 s to 10 minutes."""
    return int(min(FIRST_PAUSE_MS * 2 ** min(attempts, 16), LONGEST_PAUSE_MS))


def new_entry(
    hospital_id: HospitalId,
    metadata: RecordMetadata,
    sealing: Sealing,
    *,
    now: Instant,
    entropy: Entropy,
    action: "PublicationAction.ValueType" = PUBLICATION_ACTION_ADD,
) -> OutboxEntry:
    """Return the entry that will publish a record or withdraw it, due at once."""
    return _entry(hospital_id, metadata, sealing, entropy(ENTRY_BYTES), now, action)


def repeated_entry(hospital_id: HospitalId, metadata: RecordMetadata, sealing: Sealing, *, now: Instant) -> OutboxEntry:
    """Return the entry that will publish a record once more: the same one as long as it waits, however often it is asked for."""
    entry_id = digest(transcript("publish-again", metadata.handle))[:ENTRY_BYTES]
    return _entry(hospital_id, metadata, sealing, entry_id, now, PUBLICATION_ACTION_ADD)


def publication_in(entry: OutboxEntry, sealing: Sealing) -> Publication:
    """Return what an entry is to publish. Raises Corrupt."""
    try:
        return Publication.FromString(sealing.open(entry.sealed, _context(entry.entry_id)))
    except SealBroken as error:
        raise Corrupt("an entry of the outbox does not open under this hospital's token") from error


def resealed(entry: OutboxEntry, sealing: Sealing) -> bytes:
    """Return what an entry keeps, under the active sealing key. Raises SealBroken."""
    return sealing.reseal(entry.sealed, _context(entry.entry_id))


def _entry(
    hospital_id: HospitalId,
    metadata: RecordMetadata,
    sealing: Sealing,
    entry_id: bytes,
    now: Instant,
    action: "PublicationAction.ValueType",
) -> OutboxEntry:
    """Seal an entry; T, nonce and signature are of each attempt, not of the entry."""
    publication = Publication(
        action=action,
        patient_id=metadata.patient_id,
        department_id=metadata.department_id,
        hospital_id=hospital_id,
        handle=metadata.handle,
        sensitivity=SENSITIVITIES[metadata.sensitivity],
    )
    if metadata.doctor_id:
        publication.doctor_id = metadata.doctor_id
        publication.consent_digest = metadata.consent_digest
    sealed = sealing.seal(publication.SerializeToString(deterministic=True), _context(entry_id))
    return OutboxEntry(entry_id, sealed, attempts=0, not_before=now)


def _context(entry_id: bytes) -> bytes:
    return transcript("outbox", entry_id)


def publish_again(hospital: Hospital) -> Steps:
    """Queue every record to be published again, for a public cloud that lost rows of its index, or gave them up in a rotation.

    Raises Corrupt.
    """
    for record in hospital.stores.records.all():
        metadata = hospital.vault.metadata_of(record)
        entry = repeated_entry(hospital.identity, metadata, hospital.sealing, now=hospital.clock())
        yield hospital.stores.outbox.add(entry)


def reseal_outbox(outbox: OutboxEntries, sealing: Sealing) -> Steps:
    """Seal the outbox entries anew. Raises SealBroken."""
    for entry in outbox.all():
        anew = resealed(entry, sealing)
        yield anew != entry.sealed and outbox.reseal(entry.entry_id, entry.sealed, anew)
