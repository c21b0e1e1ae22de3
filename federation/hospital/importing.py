"""Import of existing records from files: one record a bundle, whole or not at all, and published through the outbox."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from mimetypes import guess_type
from pathlib import Path

from federation.clinical.bundles import as_bundle
from federation.clinical.fhir import CheckedBundle, validate_bundle
from federation.clinical.strictjson import BUNDLE
from federation.errors import FieldInvalid
from federation.hospital.deposits import FHIR_JSON, FIRST_VERSION
from federation.hospital.outbox import new_entry
from federation.hospital.services import Hospital
from federation.hospital.vault import Draft, PartLabel, RecordMetadata
from federation.party.audit import OK, AuditEvent
from federation.protocol.identities import require_identity
from federation.store.rows import Act
from keystore.identities import DepartmentId, PatientId, class_of

MOST_NAME_BYTES = 128
CHUNK_BYTES = 1024 * 1024
MOST_PARTS = 256

UNKNOWN = "application/octet-stream"
PACKED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
    "br": "application/x-brotli",
}
MEDIA_TYPES = {".dcm": "application/dicom", ".json": "application/json", ".ndjson": "application/fhir+ndjson"}
"""What the tables of some machines lack."""

Progress = Callable[[int], None]
"""Is told of bytes as they are written."""


@dataclass(frozen=True)
class RecordFiles:
    """One record to import: whose, of which department, its FHIR bundle, its attachments."""

    patient_id: PatientId
    department_id: DepartmentId
    bundle: Path
    attachments: tuple[Path, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Return the size of all files. Raises OSError."""
        return sum(path.stat().st_size for path in (self.bundle, *self.attachments))


def import_record(hospital: Hospital, files: RecordFiles, progress: Progress) -> bytes:
    """Keep one record and the outbox entry that publishes it; return its handle.

    Raises what check_record raises, StoreError; then nothing of the record is kept.
    """
    return keep_record(hospital, files, check_record(hospital, files), progress)


def check_record(hospital: Hospital, files: RecordFiles) -> CheckedBundle:
    """Say what would be imported, and keep nothing.

    Raises ClinicalError with every fault of a bundle, FederationError for what may not be imported, OSError.
    """
    require_identity("patient", files.patient_id)
    hospital.require_department(files.department_id)
    checked = checked_bundle(files.bundle, files.attachments)
    for attachment in files.attachments:
        attachment.open("rb").close()
    return checked


def keep_record(hospital: Hospital, files: RecordFiles, checked: CheckedBundle, progress: Progress) -> bytes:
    """Keep a record that was checked and the outbox entry that publishes it; return its handle. Raises OSError, StoreError."""
    now = hospital.clock()
    kept_until = hospital.retention.keep_until(class_of(files.department_id), now)
    metadata = RecordMetadata(
        files.patient_id,
        files.department_id,
        hospital.entropy(16),
        FIRST_VERSION,
        now,
        keep_until=kept_until,
        sensitivity=checked.summary.sensitivity,
    )
    with hospital.vault.draft() as draft:
        write_parts(draft, files.bundle, checked.content, files.attachments, progress)
        record = draft.sealed(metadata)
        draft.keep()
        entry = new_entry(
            hospital.identity, metadata, hospital.sealing, now=metadata.stored_at, entropy=hospital.entropy
        )
        act = Act(hospital.audit.entry(AuditEvent("IMPORT", OK, detail=metadata.handle.hex()), now=metadata.stored_at))
        hospital.stores.records.add(record, blobs=draft.blobs, outbox=entry, answer=None, act=act)
    return metadata.handle


def checked_bundle(path: Path, attachments: Sequence[Path]) -> CheckedBundle:
    """Read a record's bundle, or make it of the resources in the file. Raises ClinicalError, FieldInvalid, OSError."""
    if len(attachments) >= MOST_PARTS:
        raise FieldInvalid(f"a record has at most {MOST_PARTS} parts")
    with path.open("rb") as file:
        content = as_bundle(file.read(BUNDLE.size_bytes + 1))
    return CheckedBundle(content, validate_bundle(content))


def write_parts(draft: Draft, path: Path, bundle: bytes, attachments: Sequence[Path], progress: Progress) -> None:
    """Write a record's bundle, named as its file is, and its attachments. Raises OSError, StoreUnavailable."""
    name = path.name if path.name.lower().endswith(".json") else f"{path.name.removesuffix('.ndjson')}.json"
    draft.add(_label(name, "fhir-bundle", FHIR_JSON), [bundle])
    progress(len(bundle))
    for attachment in attachments:
        draft.add(_label(attachment.name, "attachment", media_type(attachment.name)), _chunks(attachment, progress))


def _chunks(path: Path, progress: Progress) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
            progress(len(chunk))


def media_type(name: str) -> str:
    """Return the media type of a file by its name; what is compressed is of the compression's type, whatever is in it."""
    kind, packed = guess_type(name)
    if packed is not None:
        return PACKED.get(packed, UNKNOWN)
    return MEDIA_TYPES.get(Path(name).suffix.lower()) or kind or UNKNOWN


def _label(name: str, kind: str, media_type: str) -> PartLabel:
    """Name a part for display: what is not printable ASCII would not travel in a manifest."""
    shown = "".join(c if c.isascii() and c.isprintable() else "_" for c in name)[-MOST_NAME_BYTES:]
    return PartLabel(kind, shown, media_type)
