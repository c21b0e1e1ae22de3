"""Import of existing records from files: one record a bundle, whole or not at all, and published through the outbox."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from mimetypes import guess_type
from pathlib import Path

from federation.audit import OK, AuditEvent
from federation.clinical.fhir import validate_bundle
from federation.errors import FieldInvalid, MessageTooLarge
from federation.protocol.identities import class_of, require_identity
from federation.services.hospital.deposits import FHIR_JSON, FIRST_VERSION
from federation.services.hospital.hospital import Hospital
from federation.services.hospital.intents import intend
from federation.services.hospital.vault import Draft, PartLabel, Place
from federation.store.interfaces import Act

MOST_BUNDLE_BYTES = 16 * 1024 * 1024
MOST_NAME_BYTES = 128
CHUNK_BYTES = 1024 * 1024
MOST_PARTS = 256

Progress = Callable[[int], None]
"""Is told of bytes as they are written."""


@dataclass(frozen=True)
class RecordFiles:
    """One record to import: whose, of which department, its FHIR bundle, its attachments."""

    patient_id: str
    department_id: str
    bundle: Path
    attachments: tuple[Path, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Give the size of all files. Raises OSError."""
        return sum(path.stat().st_size for path in (self.bundle, *self.attachments))


def import_record(hospital: Hospital, files: RecordFiles, progress: Progress) -> bytes:
    """Keep one record and the intent to publish it; give its handle.

    Raises ClinicalError with every fault of a bundle, FederationError for what may not be imported, OSError, StoreError;
    then nothing of the record is kept.
    """
    require_identity("patient", files.patient_id)
    hospital.require_department(files.department_id)
    bundle = checked_bundle(files.bundle, files.attachments)
    now = hospital.clock()
    kept_until = hospital.retention.keep_until(class_of(files.department_id), now)
    place = Place(
        files.patient_id, files.department_id, hospital.entropy(16), FIRST_VERSION, now, keep_until=kept_until
    )
    with hospital.vault.draft() as draft:
        write_parts(draft, files.bundle, bundle, files.attachments, progress)
        record = draft.sealed(place)
        draft.keep()
        entry = intend(hospital.identity, place, hospital.sealing, now=place.stored_at, entropy=hospital.entropy)
        act = Act(hospital.audit.entry(AuditEvent("IMPORT", OK, detail=place.handle.hex()), now=place.stored_at))
        hospital.stores.records.add(record, outbox=entry, answer=None, act=act)
    return place.handle


def checked_bundle(path: Path, attachments: Sequence[Path]) -> bytes:
    """Read a record's bundle. Raises ClinicalError with every fault, FieldInvalid, MessageTooLarge, OSError."""
    if len(attachments) >= MOST_PARTS:
        raise FieldInvalid(f"a record has at most {MOST_PARTS} parts")
    bundle = _read_bundle(path)
    validate_bundle(bundle)
    return bundle


def write_parts(draft: Draft, path: Path, bundle: bytes, attachments: Sequence[Path], progress: Progress) -> None:
    """Write a record's bundle, named as its file is, and its attachments. Raises OSError, StoreUnavailable."""
    draft.add(_label(path, "fhir-bundle"), [bundle])
    progress(len(bundle))
    for attachment in attachments:
        draft.add(_label(attachment, "attachment"), _chunks(attachment, progress))


def _read_bundle(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MOST_BUNDLE_BYTES + 1)
    if len(data) > MOST_BUNDLE_BYTES:
        raise MessageTooLarge(f"a FHIR bundle has at most {MOST_BUNDLE_BYTES} bytes")
    return data


def _chunks(path: Path, progress: Progress) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
            progress(len(chunk))


def _label(path: Path, kind: str) -> PartLabel:
    """Name a part for display: what is not printable ASCII would not travel in a manifest."""
    name = "".join(c if c.isascii() and c.isprintable() else "_" for c in path.name)[-MOST_NAME_BYTES:]
    media_type = FHIR_JSON if kind == "fhir-bundle" else guess_type(path.name)[0] or "application/octet-stream"
    return PartLabel(kind, name, media_type)
