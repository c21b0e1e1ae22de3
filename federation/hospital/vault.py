"""Records at rest: every part an encrypted blob under the record's own key, that key and the list of parts under the token's.

Nothing of a record is readable from the disk and the database without the hospital's token: the patient is an HMAC; its ID_P,
names, media types and digests of parts are sealed. What is sealed is bound to its place: a record does not pass for another's.
Key and list of a version are one batch, which opens no other record: who asks for it makes the token be asked once.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from functools import cache
from types import TracebackType
from typing import Self

from federation.errors import Corrupt
from federation.party.reencryption import Steps
from federation.protocol.parties import Entropy
from federation.protocol.time import Instant
from federation.store.blobs import BlobStore
from federation.store.records import Records
from federation.store.rows import StoredPart, StoredRecord
from federation.v1 import record_pb2 as pb
from keystore.errors import SealBroken
from keystore.identities import NO_DOCTOR, DepartmentId, DoctorId, PatientId, class_of
from keystore.keyring import Together
from keystore.party import HospitalKeys
from keystore.transcript import text, transcript, u64

KINDS: dict[str, "pb.PartKind.ValueType"] = {
    "fhir-bundle": pb.PART_KIND_FHIR_BUNDLE,
    "attachment": pb.PART_KIND_ATTACHMENT,
}

KEY_BYTES = 32


@dataclass(frozen=True)
class PartLabel:
    """What a part is: a kind of KINDS, a file name for display, a media type."""

    kind: str
    name: str
    media_type: str


@dataclass(frozen=True)
class RecordMetadata:
    """What is known of a record beside its parts: whose it is, which one, which version, of which department, since when.

    A record that a doctor deposited says which one, H of the grant under which, and H(Sig_D5) of its diagnosis; one that was
    imported says none of these.
    `keep_until` is not sealed: it is set anew when the retention is. `sensitivity` is "normal", "restricted" or "secret".
    """

    patient_id: PatientId
    department_id: DepartmentId
    handle: bytes
    version: int
    stored_at: Instant
    sensitivity: str
    doctor_id: DoctorId = NO_DOCTOR
    consent_digest: bytes = b""
    diagnosis_digest: bytes = b""
    keep_until: Instant | None = None


class Vault:
    """Seals records and opens them again."""

    def __init__(self, keys: HospitalKeys, blobs: BlobStore, entropy: Entropy, asker: str = "") -> None:
        """Keep blobs there, under keys that these keys wrap."""
        self._keys = keys
        self._blobs = blobs
        self._entropy = entropy
        self._asker = asker

    def asked_by(self, asker: str) -> "Vault":
        """Return the same, for a party that was proved to ask: what the token gave is remembered for it alone."""
        return Vault(self._keys, self._blobs, self._entropy, asker)

    def patient_key(self, patient_id: PatientId) -> bytes:
        """Return HMAC(W, T("pat")), W of the active index key and ID_P: what a new record of the patient is found by."""
        return self._names(patient_id)[0][1]

    def patient_keys(self, patient_id: PatientId) -> Sequence[bytes]:
        """Return the same under every index key that is not revoked: what all records of the patient are found by."""
        return [name for _, name in self._names(patient_id)]

    def draft(self) -> "Draft":
        """Begin a record, with a fresh key."""
        return Draft(self, self._blobs, self._entropy(KEY_BYTES))

    def seal(self, metadata: RecordMetadata, key: bytes, parts: Sequence[StoredPart]) -> StoredRecord:
        """Wrap a record's key, and seal its list of parts and whose they are, under the active keys."""
        generation, patient_key = self._names(metadata.patient_id)[0]
        described = [asdict(part) | {"digest": part.digest.hex()} for part in parts]
        deposited = {
            "doctor": metadata.doctor_id,
            "consent": metadata.consent_digest.hex(),
            "diagnosis": metadata.diagnosis_digest.hex(),
        }
        listed = json.dumps({"patient": metadata.patient_id, **deposited, "parts": described}).encode()
        bound = _parts_context(
            metadata.handle,
            metadata.version,
            patient_key,
            metadata.department_id,
            metadata.stored_at,
            metadata.sensitivity,
        )
        place = _key_context(metadata.handle, metadata.version)
        together = Together(place, self._asker)
        return StoredRecord(
            handle=metadata.handle,
            version=metadata.version,
            patient_key=patient_key,
            department_id=metadata.department_id,
            department_class=class_of(metadata.department_id),
            stored_at=metadata.stored_at,
            wrapped_key=self._keys.records.seal(key, place, together),
            sealed_parts=self._keys.records.seal(listed, bound, together),
            generation=generation,
            keep_until=metadata.keep_until,
            sensitivity=metadata.sensitivity,
        )

    def renewed(self, record: StoredRecord) -> StoredRecord:
        """Return a record under the active wrapping and index keys: the same, unopened, if it is already. Raises Corrupt."""
        wrapping, indexing = self._keys.records, self._keys.index
        named = {wrapping.generation_of(sealed) for sealed in (record.wrapped_key, record.sealed_parts)}
        if named == {wrapping.generation} and record.generation == indexing.generation:
            return record
        metadata, parts = self._listed(record)
        return self.seal(metadata, self._key(record), parts)

    def wrapped_under(self, record: StoredRecord, generation: int) -> bool:
        """Return whether a record needs a generation of the wrapping key."""
        named = map(self._keys.records.generation_of, (record.wrapped_key, record.sealed_parts))
        return generation in named

    def metadata_of(self, record: StoredRecord) -> RecordMetadata:
        """Return what is known of a record beside its parts. Raises Corrupt."""
        return self._listed(record)[0]

    def parts(self, record: StoredRecord) -> Sequence[StoredPart]:
        """List a record's parts. Raises Corrupt."""
        return self._listed(record)[1]

    def read(self, record: StoredRecord) -> Iterator[bytes]:
        """Unwrap the key now, and return the bytes of all parts, one after the other, in chunks of at most 1 MiB.

        Raises Corrupt, StoreError.
        """
        return self._contents(self.parts(record), self._key(record))

    def remove_blob(self, name: str) -> None:
        """Remove a blob of a record that was erased; none there is no error. Raises StoreUnavailable."""
        self._blobs.remove(name)

    def remove_orphans(self, records: Records, *, older_than: Instant) -> int:
        """Remove blobs of no record, last written before `older_than`: what a crash left. Return how many.

        The store says which blobs are of a record. What it does not know is looked for in every record before it goes: the
        store's word alone destroys nothing, and every record's list is opened only when something was left.
        """
        named = cache(lambda: {part.blob for record in records.all() for part in self.parts(record)})

        def known(names: Sequence[str]) -> AbstractSet[str]:
            listed = records.blobs_among(names)
            return listed if len(listed) == len(names) else listed | named()

        return self._blobs.remove_orphans(known, older_than=older_than)

    def _contents(self, parts: Sequence[StoredPart], key: bytes) -> Iterator[bytes]:
        for part in parts:
            yield from self._blobs.reader(part.blob, key)

    def _key(self, record: StoredRecord) -> bytes:
        return self._open(record, record.wrapped_key, _key_context(record.handle, record.version))

    def _listed(self, record: StoredRecord) -> tuple[RecordMetadata, list[StoredPart]]:
        department_id = DepartmentId(record.department_id)
        bound = _parts_context(
            record.handle, record.version, record.patient_key, department_id, record.stored_at, record.sensitivity
        )
        listed = json.loads(self._open(record, record.sealed_parts, bound))
        parts = [StoredPart(**part | {"digest": bytes.fromhex(part["digest"])}) for part in listed["parts"]]
        metadata = RecordMetadata(
            patient_id=PatientId(listed["patient"]),
            department_id=department_id,
            handle=record.handle,
            version=record.version,
            stored_at=record.stored_at,
            doctor_id=DoctorId(listed["doctor"]),
            consent_digest=bytes.fromhex(listed["consent"]),
            diagnosis_digest=bytes.fromhex(listed["diagnosis"]),
            keep_until=record.keep_until,
            sensitivity=record.sensitivity,
        )
        return metadata, parts

    def _names(self, patient_id: PatientId) -> Sequence[tuple[int, bytes]]:
        return self._keys.index.names("pat", patient_id, asker=self._asker)

    def _open(self, record: StoredRecord, sealed: bytes, associated_data: bytes) -> bytes:
        together = Together(_key_context(record.handle, record.version), self._asker)
        try:
            return self._keys.records.open(sealed, associated_data, together)
        except SealBroken as error:
            raise Corrupt("a record does not open under this hospital's token") from error


class Draft:
    """A record while its parts are written: a context manager. Unless it is kept, leaving it removes what was written."""

    def __init__(self, vault: Vault, blobs: BlobStore, key: bytes) -> None:
        self._vault = vault
        self._blobs = blobs
        self._key = key
        self._parts: list[StoredPart] = []
        self._kept = False

    def add(self, label: PartLabel, chunks: Iterable[bytes]) -> StoredPart:
        """Write a part, in bounded memory. Raises StoreUnavailable, and whatever the chunks raise; then no blob stays."""
        hasher = hashlib.sha256()
        with self._blobs.writer(self._key) as writer:
            for chunk in chunks:
                hasher.update(chunk)
                writer.write(chunk)
        part = StoredPart(label.kind, label.name, label.media_type, writer.size_bytes, hasher.digest(), writer.name)
        self._parts.append(part)
        return part

    @property
    def parts(self) -> Sequence[StoredPart]:
        """Return what was written."""
        return self._parts

    @property
    def blobs(self) -> Sequence[str]:
        """Return the names of the blobs in which it was written."""
        return [part.blob for part in self._parts]

    def sealed(self, metadata: RecordMetadata) -> StoredRecord:
        """Return the record as it is to be stored."""
        return self._vault.seal(metadata, self._key, self._parts)

    def keep(self) -> None:
        """Say that the record is stored: its blobs stay."""
        self._kept = True

    def discard(self) -> None:
        """Remove what was written."""
        for part in self._parts:
            self._blobs.remove(part.blob)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._kept:
            self.discard()


def rekey_records(records: Records, vault: Vault) -> Steps:
    """Bring every record under the active wrapping and index keys; blobs stay as they are. Raises Corrupt."""
    for record in records.all():
        anew = vault.renewed(record)
        yield anew != record and records.rewrap(record, anew)


def count_wrapped_under(records: Records, vault: Vault, generation: int) -> int:
    """Count the versions of records that need a generation of the wrapping key."""
    return sum(vault.wrapped_under(record, generation) for record in records.all())


def _key_context(handle: bytes, version: int) -> bytes:
    return transcript("record", handle, u64(version))


def _parts_context(
    handle: bytes,
    version: int,
    patient_key: bytes,
    department_id: DepartmentId,
    stored_at: Instant,
    sensitivity: str,
) -> bytes:
    """Bind the list to its place: a record doesn't pass for another's, nor for less sensitive than it is."""
    fields = patient_key, text(department_id), u64(stored_at), text(sensitivity)
    return transcript("record-parts", handle, u64(version), *fields)
