"""What a hospital sends and what it keeps, as the tests look at it."""

from federation.party.member import Member
from federation.protocol.parsing import parse
from federation.protocol.record import Intent
from federation.protocol.shown import Shown
from federation.v1.access_pb2 import AccessEntry
from federation.v1.record_pb2 import PURPOSE_LOG, RecordManifest, Scope
from keystore.transcript import digest
from tests.hospital_lab import Client, HospitalLab

OWN = Shown.by_own_right("P:wang")


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


def manifest_of(
    lab: HospitalLab,
    client: Client,
    asker: Member,
    shown: Shown = OWN,
    known_size: int = 0,
    before: int | None = None,
    **scope: object,
) -> RecordManifest:
    """Ask for the log, or for what is before a leaf; give what the manifest has."""
    asked = Scope(**{"purpose": PURPOSE_LOG, "department_class": "*"} | scope)
    intent = Intent(shown, asked, lab.federation.entropy(32))
    content, received = client.read(intent, doctor=asker, known_size=known_size, before=before)
    manifest = parse(RecordManifest, content[4:])
    assert (manifest.patient_id, manifest.hospital_id, received.end.version) == ("P:wang", "H:alpha", 0)
    assert not manifest.records
    return manifest


def log_of(lab: HospitalLab, client: Client, asker: Member, shown: Shown = OWN, **scope: object) -> list[AccessEntry]:
    """Ask for the log; give its entries."""
    return list(manifest_of(lab, client, asker, shown, **scope).accesses)
