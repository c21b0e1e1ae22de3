"""Correction of a record: a new version beside the old, the one that is found from then on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from federation.errors import Conflict
from federation.hospital.hospital import Hospital
from federation.hospital.importing import Progress, checked_bundle, write_parts
from federation.hospital.records_administration import Act, keep_version, overview
from federation.store.errors import AlreadyStored
from federation.store.rows import StoredPart


@dataclass(frozen=True)
class Correction:
    """A record's newest version, and what whoever corrected it has to know of the files: see BundleSummary.warnings."""

    version: int
    warnings: Sequence[str]


def correct_record(
    hospital: Hospital, handle: bytes, bundle: Path, attachments: Sequence[Path], act: Act, progress: Progress
) -> Correction:
    """Keep these files as a record's next version. The index knows the record by its handle, as before.

    If the newest version holds exactly these files, that was done before: nothing is kept, and its version is given.
    Whose it is, of which department and of whose encounter stays as it was; the versions before stay on file as long as the
    record does. Raises ClinicalError with every fault of the bundle, RecordErased, NoSuchRecord, Conflict if another
    correction came first, FederationError, OSError, StoreError; then nothing is kept.
    """
    before = overview(hospital, handle).newest
    checked = checked_bundle(bundle, attachments)
    warnings = checked.summary.warnings(hospital.vault.place_of(before).patient_id, called="another")
    now = hospital.clock()
    kept_until = hospital.retention.keep_until(before.department_class, now)
    place = replace(hospital.vault.place_of(before), version=before.version + 1, stored_at=now, keep_until=kept_until)
    with hospital.vault.draft() as draft:
        write_parts(draft, bundle, checked.content, attachments, progress)
        if _described(draft.parts) == _described(hospital.vault.parts(before)):
            return Correction(before.version, warnings)
        record = draft.sealed(place)
        # From here on the commit may have happened whatever is heard of it: the sweep removes what is of no record.
        draft.keep()
        try:
            keep_version(hospital, record, act)
        except AlreadyStored as error:
            draft.discard()
            raise Conflict("another correction of this record came first; look at it, then correct that") from error
    return Correction(place.version, warnings)


def _described(parts: Sequence[StoredPart]) -> list[StoredPart]:
    """Give parts without the names of their blobs, which are new each time."""
    return [replace(part, blob="") for part in parts]
