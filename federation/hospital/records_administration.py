"""What operators do to records on file: keep until a date, hold, withdraw, show again, correct, erase (docs/retention.md).

Each action, its entry in the log and the outbox entry that tells the public cloud's index are one transaction. An action that is
refused is logged too. After a crash the same command goes on: what is done says so, what was not begun is begun.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from federation.errors import Conflict, FieldInvalid, NoSuchRecord, NotFound, RecordErased, RecordWithdrawn
from federation.hospital.importing import Progress, checked_bundle, write_parts
from federation.hospital.outbox import new_entry
from federation.hospital.services import Hospital
from federation.hospital.vault import RecordMetadata
from federation.party.audit import OK, AuditEvent
from federation.protocol.identities import require_identity
from federation.protocol.time import Instant
from federation.store.errors import AlreadyStored, NotStored, StillHeld, StillKept, StoreUnavailable
from federation.store.rows import Hold, OutboxEntry, SealedEntry, Standing, StoredPart, StoredRecord
from federation.store.transactions import tries
from federation.v1.publication_pb2 import PUBLICATION_ACTION_ADD, PUBLICATION_ACTION_WITHDRAW

HOLD_BYTES = 4
LONGEST_REASON = 500
BURIED_AT_ONCE = 256
T = TypeVar("T")


@dataclass(frozen=True)
class OperatorAction:
    """Who acts, and why. Both go into the sealed log and nowhere else."""

    by: str
    reason: str

    def __post_init__(self) -> None:
        """Raise FieldInvalid for no reason, or too long a one."""
        if not 0 < len(self.reason.strip()) <= LONGEST_REASON:
            raise FieldInvalid(f"a reason has 1 to {LONGEST_REASON} characters")


@dataclass(frozen=True)
class Overview:
    """What is known of a record without opening it: its versions, the oldest first, where it stands, what holds it."""

    versions: Sequence[StoredRecord]
    standing: Standing | None
    holds: Sequence[Hold]

    @property
    def newest(self) -> StoredRecord:
        """Return the newest version."""
        return self.versions[-1]

    @property
    def keep_until(self) -> Instant | None:
        """Return when the retention of all versions is over; None if of one nobody said."""
        dates = [version.keep_until for version in self.versions]
        known = [date for date in dates if date is not None]
        return max(known) if len(known) == len(dates) else None

    @property
    def is_withdrawn(self) -> bool:
        """Return whether the record is on file and not to be found."""
        return self.standing is not None and not self.standing.is_shown


@dataclass(frozen=True)
class Correction:
    """A record's newest version, and what whoever corrected it has to know of the files: see BundleSummary.warnings."""

    version: int
    warnings: Sequence[str]


def overview(hospital: Hospital, handle: bytes) -> Overview:
    """Return what is known of a record. Raises RecordErased, NoSuchRecord."""
    administration = hospital.stores.administration
    versions = administration.versions(handle)
    if not versions:
        raise _absent(hospital, handle)
    return Overview(versions, administration.standing(handle), list(administration.holds(handle)))


def overviews(hospital: Hospital, handles: Iterable[bytes]) -> Iterator[Overview]:
    """Yield what is known of records; one that is erased meanwhile is left out."""
    for handle in handles:
        try:
            yield overview(hospital, handle)
        except (RecordErased, NoSuchRecord):
            continue


def records_of(hospital: Hospital, patient_id: str) -> Sequence[bytes]:
    """Return the handles of a patient's records, withdrawn ones too. Raises FieldInvalid."""
    keys = hospital.vault.patient_keys(require_identity("patient", patient_id))
    return list(hospital.stores.administration.handles(patient_keys=keys))


def keep_until(hospital: Hospital, handle: bytes, until: Instant, action: OperatorAction) -> None:
    """Set until when a record is kept, for all its versions. Raises RecordErased, NoSuchRecord."""
    date = datetime.fromtimestamp(until / 1000, UTC).isoformat(timespec="seconds")
    entry = _entry(hospital, "RETENTION", handle, action, f"until {date}")
    _on_file(hospital, handle, lambda: hospital.stores.administration.keep(handle, until, entry))


def place_hold(hospital: Hospital, handle: bytes, action: OperatorAction) -> bytes:
    """Place a legal hold; return its id. Raises RecordErased, NoSuchRecord."""
    hold_id = hospital.entropy(HOLD_BYTES)
    entry = _entry(hospital, "HELD", handle, action, f"hold {hold_id.hex()}")
    _on_file(hospital, handle, lambda: hospital.stores.administration.hold(handle, hold_id, entry))
    return hold_id


def release_hold(hospital: Hospital, handle: bytes, hold_id: bytes, action: OperatorAction) -> None:
    """Take a hold away. Raises RecordErased, NoSuchRecord, NotStored for no such hold."""
    overview(hospital, handle)
    entry = _entry(hospital, "RELEASED", handle, action, f"hold {hold_id.hex()}")
    hospital.stores.administration.release(handle, hold_id, entry)


def withdraw(hospital: Hospital, handle: bytes, action: OperatorAction) -> bool:
    """Have a record found by nobody, and its row taken out of the index; return whether it was shown before.

    Raises RecordErased, NoSuchRecord, Corrupt.
    """
    outbox_entry = _outbox_entry(hospital, handle, is_shown=False)
    entry = _entry(hospital, "WITHDRAWN", handle, action)
    return _on_file(
        hospital, handle, lambda: hospital.stores.administration.stand(handle, "withdrawn", outbox_entry, entry)
    )


def reinstate(hospital: Hospital, handle: bytes, action: OperatorAction) -> bool:
    """Have a withdrawn record found again; return whether it was withdrawn. Raises RecordErased, NoSuchRecord, Corrupt."""
    outbox_entry = _outbox_entry(hospital, handle, is_shown=True)
    entry = _entry(hospital, "REINSTATED", handle, action)
    return _on_file(
        hospital, handle, lambda: hospital.stores.administration.stand(handle, "shown", outbox_entry, entry)
    )


def correct_record(
    hospital: Hospital,
    handle: bytes,
    bundle: Path,
    attachments: Sequence[Path],
    action: OperatorAction,
    progress: Progress,
) -> Correction:
    """Keep these files as a record's next version, as sensitive as they say. The index knows it by its handle, as before.

    If the newest version holds exactly these files, that was done before: nothing is kept, and its version is given.
    Whose it is, of which department and of whose encounter stays as it was; the versions before stay on file as long as the
    record does. Raises ClinicalError with every fault of the bundle, RecordErased, NoSuchRecord, Conflict if another
    correction came first, FederationError, OSError, StoreError; then nothing is kept.
    """
    before = overview(hospital, handle).newest
    checked = checked_bundle(bundle, attachments)
    warnings = checked.summary.warnings(hospital.vault.metadata_of(before).patient_id, called="another")
    now = hospital.clock()
    kept_until = hospital.retention.keep_until(before.department_class, now)
    metadata = replace(
        hospital.vault.metadata_of(before),
        version=before.version + 1,
        stored_at=now,
        keep_until=kept_until,
        sensitivity=checked.summary.sensitivity,
    )
    with hospital.vault.draft() as draft:
        write_parts(draft, bundle, checked.content, attachments, progress)
        if _described(draft.parts) == _described(hospital.vault.parts(before)):
            return Correction(before.version, warnings)
        record = draft.sealed(metadata)
        # From here on the commit may have happened whatever is heard of it: the sweep removes what is of no record.
        draft.keep()
        try:
            keep_version(hospital, record, action, _published_anew(hospital, before, metadata), blobs=draft.blobs)
        except AlreadyStored as error:
            draft.discard()
            raise Conflict("another correction of this record came first; look at it, then correct that") from error
    return Correction(metadata.version, warnings)


def keep_version(
    hospital: Hospital,
    record: StoredRecord,
    action: OperatorAction,
    outbox: OutboxEntry | None = None,
    *,
    blobs: Sequence[str],
) -> None:
    """Keep another version of a record, whose parts are in these blobs.

    Raises RecordErased, NoSuchRecord, AlreadyStored if that version is there.
    """
    entry = _entry(hospital, "CORRECTED", record.handle, action, f"version {record.version}")
    _on_file(
        hospital, record.handle, lambda: hospital.stores.administration.correct(record, entry, outbox, blobs=blobs)
    )


def _published_anew(hospital: Hospital, before: StoredRecord, metadata: RecordMetadata) -> OutboxEntry | None:
    if before.sensitivity == metadata.sensitivity:
        return None
    now = hospital.clock()
    return new_entry(hospital.identity, metadata, hospital.sealing, now=now, entropy=hospital.entropy)


def erase(hospital: Hospital, handle: bytes, action: OperatorAction) -> bool:
    """Erase a record whose retention is over and that nothing holds; return whether it was on file.

    Its wrapped keys go at once; its blobs too, or at the next chore if the shelf does not answer; its row of the index through
    the outbox. Raises StillHeld, StillKept, NoSuchRecord, Conflict if it is changed again and again, Corrupt.
    """
    for _ in tries():
        versions = hospital.stores.administration.versions(handle)
        if not versions:
            absent = _absent(hospital, handle)
            if isinstance(absent, RecordErased):
                return False
            raise absent
        if _erased(hospital, versions, action):
            with suppress(StoreUnavailable):
                bury(hospital)
            return True
    raise Conflict("the record is being changed; try again")


def bury(hospital: Hospital) -> int:
    """Remove the blobs of erased records; return how many. Raises StoreUnavailable: the rest go another time."""
    administration, count = hospital.stores.administration, 0
    while names := administration.condemned(limit=BURIED_AT_ONCE):
        for name in names:
            hospital.vault.remove_blob(name)
            administration.buried(name)
            count += 1
    return count


def why_absent(hospital: Hospital, handles: Sequence[bytes]) -> str:
    """Return the reason for the log why none of these records was given: the wire says the same whatever it is."""
    found = {standing.standing for handle in handles if (standing := hospital.stores.administration.standing(handle))}
    if "erased" in found:
        return RecordErased.reason
    return RecordWithdrawn.reason if "withdrawn" in found else NoSuchRecord.reason


def _on_file(hospital: Hospital, handle: bytes, step: Callable[[], T]) -> T:
    try:
        return step()
    except NotStored as error:
        raise _absent(hospital, handle) from error


def _absent(hospital: Hospital, handle: bytes) -> NotFound:
    if hospital.stores.administration.standing(handle) is None:
        return NoSuchRecord(f"there is no record {handle.hex()} here")
    return RecordErased(f"record {handle.hex()} was erased")


def _erased(hospital: Hospital, versions: Sequence[StoredRecord], action: OperatorAction) -> bool:
    handle = versions[0].handle
    blobs = [part.blob for version in versions for part in hospital.vault.parts(version)]
    outbox_entry = _outbox_entry_of(hospital, versions[-1], is_shown=False)
    entry = _entry(hospital, "ERASED", handle, action, f"{len(versions)} versions of {versions[-1].department_id}")
    try:
        return hospital.stores.administration.erase(versions, blobs=blobs, outbox=outbox_entry, entry=entry)
    except (StillHeld, StillKept) as refusal:
        hospital.audit.record(_event("ERASED", handle, action, reason=refusal.reason), now=hospital.clock())
        raise


def _outbox_entry(hospital: Hospital, handle: bytes, *, is_shown: bool) -> OutboxEntry:
    return _outbox_entry_of(hospital, overview(hospital, handle).newest, is_shown=is_shown)


def _outbox_entry_of(hospital: Hospital, newest: StoredRecord, *, is_shown: bool) -> OutboxEntry:
    metadata = hospital.vault.metadata_of(newest)
    action = PUBLICATION_ACTION_ADD if is_shown else PUBLICATION_ACTION_WITHDRAW
    return new_entry(
        hospital.identity, metadata, hospital.sealing, now=hospital.clock(), entropy=hospital.entropy, action=action
    )


def _entry(hospital: Hospital, kind: str, handle: bytes, action: OperatorAction, detail: str = "") -> SealedEntry:
    return hospital.audit.entry(_event(kind, handle, action, detail), now=hospital.clock())


def _event(kind: str, handle: bytes, action: OperatorAction, detail: str = "", *, reason: str = OK) -> AuditEvent:
    about = f"{handle.hex()}, {detail}" if detail else handle.hex()
    return AuditEvent(kind, reason, detail=f"{about}; by {action.by}: {action.reason}")


def _described(parts: Sequence[StoredPart]) -> list[StoredPart]:
    """Return parts without the names of their blobs, which are new each time."""
    return [replace(part, blob="") for part in parts]
