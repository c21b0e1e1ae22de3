"""What a hospital serves of its records, and to which grants: no grant, no record (C1)."""

from datetime import timedelta
from pathlib import Path

import pytest

from federation.errors import GrantExpired, GrantMissing, GrantRevoked, GrantScope, NoSuchRecord, Rejected
from federation.hospital.evidence import requests
from federation.party.log_upkeep import REQUEST
from federation.protocol.consent import Terms
from federation.protocol.exhibit import read_file, write_file
from federation.protocol.judge import judge
from federation.protocol.judging import Judgement
from federation.v1.record_pb2 import PURPOSE_STORE, GetHospitalRequest
from federation.v1.record_pb2_grpc import RecordServiceStub
from federation.v1.statement_pb2 import RIGHT_INDEX
from keystore.errors import SealBroken
from keystore.identities import PatientId
from keystore.transcript import statement_digest
from tests.e2e.hospital.records import parts_of
from tests.grants import wide
from tests.hospital_lab import JOHNNIE, Client, HospitalLab
from tests.waiting import until


def test_a_record_that_was_imported_is_read_as_it_was(lab: HospitalLab, client: Client, tmp_path: Path) -> None:
    scan = tmp_path / "scan.bin"
    scan.write_bytes(bytes(range(256)) * 10_000)
    handle = lab.import_files(JOHNNIE, "P:wang", "H:alpha/cardiology", scan)
    content, received = client.read(lab.federation.intent(lab.federation.grant()))
    manifest, parts = parts_of(content)
    assert parts == [JOHNNIE.read_bytes(), scan.read_bytes()]
    assert [record.handle for record in manifest.records] == [handle]
    assert [part.name for part in manifest.records[0].parts] == ["synthea-johnnie679.json", "scan.bin"]
    assert manifest.patient_id == "P:wang"
    assert manifest.hospital_id == "H:alpha"
    assert received.end.version == 1
    # How it ended is logged once its last frame is out.
    until(lambda: len(lab.reasons) > 1, "how it ended in the log")
    assert lab.reasons == ["BEGUN", "OK"]


def test_only_the_classes_of_the_scope_and_the_grant_are_read(lab: HospitalLab, client: Client) -> None:
    lab.import_files(department_id="H:alpha/neurology")
    wanted = lab.import_files(department_id="H:alpha/cardiology")
    narrow = lab.federation.grant(wide(department_classes=["cardiology"]))
    for intent in (lab.federation.intent(narrow), lab.federation.intent(lab.federation.grant(), 1, "cardiology")):
        manifest, _ = parts_of(client.read(intent)[0])
        assert [record.handle for record in manifest.records] == [wanted]


def test_the_hospital_gives_its_own_statements(lab: HospitalLab, client: Client) -> None:
    answer = RecordServiceStub(client.channel).GetHospital(GetHospitalRequest(), timeout=60)
    assert answer.key_statement == lab.federation.hospital_a.key_statement


def test_without_a_grant_there_is_no_record_grant_missing(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    with pytest.raises(GrantMissing):
        client.read(lab.federation.intent(None))
    assert lab.reasons == ["GRANT_MISSING"]


def test_another_doctors_grant_is_rejected_grant_invalid(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    with pytest.raises(Rejected):
        client.read(lab.federation.intent(lab.federation.grant(doctor=lab.federation.other_doctor)))
    assert lab.reasons == ["GRANT_INVALID", "GRANT_INVALID"]  # the access log, and the refused call


def test_another_patients_grant_is_rejected_grant_invalid(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    with pytest.raises(Rejected):
        client.read(lab.federation.intent(lab.federation.grant(patient=lab.federation.other_patient)))
    assert lab.reasons[0] == "GRANT_INVALID"


def test_an_expired_grant_is_refused_grant_expired(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    grant = lab.federation.grant()
    lab.federation.clock.advance(timedelta(hours=24))
    lab.federation.refresh()
    with pytest.raises(GrantExpired):
        client.read(lab.federation.intent(grant))
    assert lab.reasons == ["GRANT_EXPIRED"]


def test_a_grant_is_refused_once_the_list_that_names_it_arrives_grant_revoked(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    grant = lab.federation.grant()
    client.read(lab.federation.intent(grant))
    lab.federation.revoke_grant(grant)
    with pytest.raises(GrantRevoked):
        client.read(lab.federation.intent(grant))
    assert lab.reasons == ["BEGUN", "OK", "GRANT_REVOKED"]


@pytest.mark.parametrize(
    "terms",
    [
        wide(department_classes=["psychiatry"]),
        wide(hospitals=["H:beta"]),
        wide(rights=[RIGHT_INDEX]),
        wide(department_classes=[]),
        wide(hospitals=[]),
    ],
)
def test_a_grant_for_something_else_is_refused_grant_scope(lab: HospitalLab, client: Client, terms: Terms) -> None:
    lab.import_files()
    with pytest.raises(GrantScope):
        client.read(lab.federation.intent(lab.federation.grant(terms), 1, "cardiology"))
    assert lab.reasons == ["GRANT_SCOPE"]


def test_unknown_patient_and_unknown_record_are_one_outcome_no_record(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    with pytest.raises(NoSuchRecord) as nobody:
        client.read(federation.intent(federation.grant()))
    lab.import_files(department_id="H:alpha/neurology")
    with pytest.raises(NoSuchRecord) as nothing:
        client.read(federation.intent(federation.grant(), handles=(b"h" * 16,)))
    with pytest.raises(NoSuchRecord) as elsewhere:
        client.read(federation.intent(federation.grant(), 1, "cardiology"))
    assert str(nobody.value) == str(nothing.value) == str(elsewhere.value)
    assert lab.reasons == ["BEGUN", "NO_SUCH_RECORD"] * 3


def test_a_store_session_does_not_read(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    federation = lab.federation
    with pytest.raises(Rejected):
        client.read(federation.intent(federation.grant(), PURPOSE_STORE, "cardiology"))


def asked(lab: HospitalLab, patient_id: str = "P:wang") -> list[Judgement]:
    """What a judge makes of all that the hospital shows of who asked about a patient."""
    shown = read_file(write_file(requests(lab.hospital, PatientId(patient_id))))
    return judge(shown, lab.federation.cloud.anchors)


def test_who_was_given_a_record_and_by_what_is_evidence_of_the_hospital(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    grant = lab.federation.grant()
    client.read(lab.federation.intent(grant, 1, "cardiology"))
    (found,) = asked(lab)
    assert (found.kind, found.signer, found.holds, found.about) == ("D3", "D:chen", True, "P:wang")
    proved = "\n".join(found.proves)
    assert "D:chen opened a session with H:alpha at " in proved
    assert "for content about P:wang" in proved
    assert "with the purpose read, department class cardiology, on the ground: consent" in proved
    assert f"a grant of P:wang was shown for it, H(grant) {statement_digest('grant', grant.statement).hex()}" in proved
    assert "a duty of H:alpha was shown for it" in proved
    assert asked(lab, "P:lin") == []


def test_evidence_of_who_asked_is_kept_after_a_restart_and_is_not_what_was_refused(
    lab: HospitalLab, client: Client
) -> None:
    lab.import_files()
    client.read(lab.federation.intent(lab.federation.grant()))
    with pytest.raises(GrantMissing):
        client.read(lab.federation.intent(None))
    lab.restart()
    assert [it.holds for it in asked(lab)] == [True]


def test_evidence_of_who_asked_that_was_altered_is_not_shown_seal_broken(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    client.read(lab.federation.intent(lab.federation.grant()))
    ((kind, reference, sealed, at),) = lab.hospital.stores.evidence.all(REQUEST)
    lab.hospital.stores.evidence.add(kind, reference, sealed[:-1] + bytes([sealed[-1] ^ 1]), at=at + 1)
    with pytest.raises(SealBroken):
        asked(lab)
