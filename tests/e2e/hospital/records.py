"""What a hospital sends and what it keeps, as the tests look at it."""

from federation.v1.record_pb2 import RecordManifest
from keystore.transcript import digest
from tests.hospital_lab import HospitalLab


def parts_of(content: bytes) -> tuple[RecordManifest, list[bytes]]:
    """Take M_EMR apart: F(manifest), then the parts in its order, whose sizes and digests must be the manifest's."""
    size = int.from_bytes(content[:4], "big")
    manifest, at, parts = RecordManifest.FromString(content[4 : 4 + size]), 4 + size, []
    for record in manifest.records:
        for part in record.parts:
            parts.append(content[at : at + part.size_bytes])
            assert digest(parts[-1]) == part.digest
            at += part.size_bytes
    assert at == len(content)
    return manifest, parts


def nothing_is_kept(lab: HospitalLab) -> bool:
    stores = lab.hospital.stores
    return not list(stores.records.all()) and not lab.blobs and not stores.outbox.size()
