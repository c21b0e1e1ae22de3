"""M_EMR = F(manifest) || the bytes of every part of every record (C8), put together from the vault in bounded memory."""

from collections.abc import Iterator, Sequence

from federation.errors import Limit
from federation.hospital.vault import KINDS, Vault
from federation.protocol.parsing import payload_rule
from federation.store.rows import StoredRecord
from federation.v1.record_pb2 import RecordEntry, RecordManifest, RecordPart
from keystore.transcript import frame

MOST_RECORDS = 64


def manifest_of(vault: Vault, records: Sequence[StoredRecord], patient_id: str, hospital_id: str) -> bytes:
    """List these records. Raises Limit if one answer does not hold them; the asker may name fewer by their handles."""
    if len(records) > MOST_RECORDS:
        # D4.18
        raise Limit(f"one answer holds {MOST_RECORDS} records, and here are {len(records)}: ask for some by handle")
    manifest = RecordManifest(
        patient_id=patient_id, hospital_id=hospital_id, records=(_entry(vault, record) for record in records)
    )
    serialised = manifest.SerializeToString(deterministic=True)
    if len(serialised) > payload_rule(RecordManifest.DESCRIPTOR).max_size:
        raise Limit("the list of these records' parts is too long for one answer: ask for some by handle")  # D4.18
    return serialised


def content_of(vault: Vault, manifest: bytes, records: Sequence[StoredRecord]) -> Iterator[bytes]:
    """Give M_EMR in chunks of at most 1 MiB. Raises Corrupt, StoreError."""
    # Every key is unwrapped before the first byte: the walk of a rotation may be at these records meanwhile.
    contents = [vault.read(record) for record in records]
    yield frame(manifest)
    for content in contents:
        yield from content


def _entry(vault: Vault, record: StoredRecord) -> RecordEntry:
    parts = (
        RecordPart(
            kind=KINDS[part.kind],
            name=part.name,
            media_type=part.media_type,
            size_bytes=part.size_bytes,
            digest=part.digest,
        )
        for part in vault.parts(record)
    )
    return RecordEntry(
        handle=record.handle,
        version=record.version,
        department_id=record.department_id,
        stored_at=record.stored_at,
        parts=parts,
    )
