"""Records at rest: every part an encrypted blob under the record's own key, that key and the list of parts under the token's.

Nothing of a record is readable from the disk and the database without the hospital's token: the patient is an HMAC, names,
media types and digests of parts are sealed. What is sealed is bound to its place: a record does not pass for another's.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

from federation.errors import Corrupt
from federation.protocol.identities import class_of
from federation.protocol.parties import Entropy
from federation.protocol.time import Instant
from federation.store.blobs import BlobStore
from federation.store.interfaces import Records, StoredPart, StoredRecord
from federation.v1 import record_pb2 as pb
from keystore.errors import SealBroken
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
class Place:
    """Where a record belongs: whose it is, which one, which version, of which department, since when."""

    patient_id: str
    department_id: str
    handle: bytes
    version: int
    stored_at: Instant


class Vault:
    """Seals records and opens them again."""

    def __init__(self, keys: HospitalKeys, blobs: BlobStore, entropy: Entropy) -> None:
        """Keep blobs there, under keys that these keys wrap."""
        self._keys = keys
        self._blobs = blobs
        self._entropy = entropy

    def patient_key(self, patient_id: str) -> bytes:
        """Give HMAC(index key, T("pat", ID_P)): what a patient's records are found by."""
        return self._keys.index.mac(transcript("pat", text(patient_id)))

    def draft(self) -> "Draft":
        """Begin a record, with a fresh key."""
        return Draft(self, self._blobs, self._entropy(KEY_BYTES))

    def seal(self, place: Place, key: bytes, parts: Sequence[StoredPart]) -> StoredRecord:
        """Wrap a record's key and seal its list of parts."""
        patient_key = self.patient_key(place.patient_id)
        listed = json.dumps([asdict(part) | {"digest": part.digest.hex()} for part in parts]).encode()
        bound = _parts_context(place.handle, place.version, patient_key, place.department_id, place.stored_at)
        return StoredRecord(
            handle=place.handle,
            version=place.version,
            patient_key=patient_key,
            department_id=place.department_id,
            department_class=class_of(place.department_id),
            stored_at=place.stored_at,
            wrapped_key=self._keys.records.seal(key, _key_context(place.handle, place.version)),
            sealed_parts=self._keys.records.seal(listed, bound),
        )

    def parts(self, record: StoredRecord) -> Sequence[StoredPart]:
        """List a record's parts. Raises Corrupt."""
        bound = _parts_context(
            record.handle, record.version, record.patient_key, record.department_id, record.stored_at
        )
        listed = json.loads(self._open(record.sealed_parts, bound))
        return [StoredPart(**part | {"digest": bytes.fromhex(part["digest"])}) for part in listed]

    def read(self, record: StoredRecord) -> Iterator[bytes]:
        """Give the bytes of all parts, one after the other, in chunks of at most 1 MiB. Raises Corrupt, StoreError."""
        key = self._open(record.wrapped_key, _key_context(record.handle, record.version))
        for part in self.parts(record):
            yield from self._blobs.reader(part.blob, key)

    def remove_orphans(self, records: Records, *, older_than: Instant) -> int:
        """Remove blobs of no record, last written before `older_than`: what a crash left. Give how many."""
        known = {part.blob for record in records.all() for part in self.parts(record)}
        return self._blobs.remove_orphans(known, older_than=older_than)

    def _open(self, sealed: bytes, associated_data: bytes) -> bytes:
        try:
            return self._keys.records.open(sealed, associated_data)
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
        with self._blobs.writer(self._key) as writer:
            for chunk in chunks:
                writer.write(chunk)
        part = StoredPart(label.kind, label.name, label.media_type, writer.size_bytes, writer.digest, writer.name)
        self._parts.append(part)
        return part

    def sealed(self, place: Place) -> StoredRecord:
        """Give the record as it is to be stored."""
        return self._vault.seal(place, self._key, self._parts)

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


def _key_context(handle: bytes, version: int) -> bytes:
    return transcript("record", handle, u64(version))


def _parts_context(handle: bytes, version: int, patient_key: bytes, department_id: str, stored_at: Instant) -> bytes:
    return transcript("record-parts", handle, u64(version), patient_key, text(department_id), u64(stored_at))
