"""Deposits at a hospital: kept once and read back with their evidence, or refused, and then nothing is kept."""

import json
from datetime import timedelta

import pytest

from federation.errors import GrantScope, Limit, RecordCutShort, Rejected
from federation.v1.statement_pb2 import RIGHT_READ
from keystore.transcript import digest
from tests.e2e.hospital.records import nothing_is_kept, parts_of
from tests.grants import wide
from tests.hospital_lab import JOHNNIE, Client, HospitalLab, ecg, encounter_of, report


def test_a_deposit_is_read_back_with_its_evidence(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    receipt, _ = client.deposit(encounter)
    manifest, parts = parts_of(client.read(federation.intent(federation.grant(), handles=(receipt.handle,)))[0])
    assert [part.name for part in manifest.records[0].parts] == [
        "encounter.json",
        "biosignal.json",
        "diagnosis.json",
        "evidence.json",
    ]
    assert manifest.records[0].department_id == "H:alpha/cardiology"
    assert parts[1] == encounter.biosignal
    assert parts[2] == encounter.diagnosis
    assert json.loads(parts[3])["biosignal_digest"] == digest(encounter.biosignal).hex()
    assert lab.outbox.publish_due() == 1
    assert [p.doctor_id for p in lab.published] == ["D:chen"]
    assert len(lab.published[0].consent_digest) == 32


def test_the_same_deposit_again_gets_the_same_receipt(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    first = client.deposit(encounter)[1]
    federation.clock.advance(timedelta(minutes=10))  # even when its T is long stale
    assert client.deposit(encounter)[1] == first
    assert len(list(lab.hospital.stores.records.all())) == 1
    assert lab.hospital.stores.outbox.size() == 1
    assert len(lab.blobs) == 4


def test_the_same_encounter_sent_anew_under_another_time_is_kept_once(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    first = client.deposit(encounter)[0]
    federation.clock.advance(timedelta(minutes=1))
    encounter.deposit.sent_at = federation.clock.now
    again = client.deposit(encounter)[0]
    assert (again.handle, again.version) == (first.handle, first.version)
    assert again.deposit_digest != first.deposit_digest
    assert len(list(lab.hospital.stores.records.all())) == 1
    assert lab.hospital.stores.outbox.size() == 1
    assert len(lab.blobs) == 4


def test_another_doctor_does_not_get_the_receipt_of_a_deposit(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    client.deposit(encounter)
    with client.session() as session:
        established = client.establish(session, encounter.intent, federation.other_doctor)
        _, frames = established.deposit(encounter.biosignal, encounter.diagnosis, encounter.deposit)
        for frame in frames:
            session.send(frame=frame)
        with pytest.raises(Rejected):
            session.receive()
    assert lab.reasons[-1] == "IDENTITY_MISMATCH"


@pytest.mark.parametrize(
    ("biosignal", "diagnosis", "reason"),
    [
        (ecg(), b'{"resourceType":"DiagnosticReport"}', "FHIR_INVALID"),
        (b"ecg", None, "FHIR_NOT_JSON"),
        (ecg("P:somebody"), None, "WRONG_SUBJECT"),
        (JOHNNIE.read_bytes(), None, "FHIR_INVALID"),
    ],
)
def test_a_faulty_deposit_is_rejected_and_nothing_is_kept(
    lab: HospitalLab, client: Client, biosignal: bytes, diagnosis: bytes | None, reason: str
) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, biosignal, diagnosis or report(federation), federation.grant())
    with pytest.raises(Rejected):
        client.deposit(encounter)
    assert nothing_is_kept(lab)
    assert lab.reasons == [reason, reason]


def test_a_deposit_under_a_grant_without_write_is_refused_grant_scope(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    grant = federation.grant(wide(rights=[RIGHT_READ]))
    with pytest.raises(GrantScope):
        client.deposit(encounter_of(federation, ecg(), report(federation), grant))
    assert nothing_is_kept(lab)


def test_a_deposit_to_a_class_without_a_department_is_rejected_department_foreign(
    lab: HospitalLab, client: Client
) -> None:
    federation = lab.federation
    with pytest.raises(Rejected):
        client.deposit(encounter_of(federation, ecg(), report(federation), federation.grant(), "psychiatry"))
    assert nothing_is_kept(lab)
    assert lab.reasons[-1] == "DEPARTMENT_FOREIGN"


def test_a_deposit_whose_diagnosis_another_doctor_signed_is_rejected_signature_invalid(
    lab: HospitalLab, client: Client
) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    encounter.deposit.diagnosis_signature = bytes(64)
    with pytest.raises(Rejected):
        client.deposit(encounter)
    assert nothing_is_kept(lab)
    assert lab.reasons[-1] == "SIGNATURE_INVALID"


def test_a_deposit_cut_off_leaves_nothing(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    with client.session() as session:
        _, frames = client.establish(session, encounter.intent).deposit(
            encounter.biosignal, encounter.diagnosis, encounter.deposit
        )
        session.send(frame=next(frames))
    with client.session() as session:
        _, frames = client.establish(session, encounter.intent).deposit(
            encounter.biosignal, encounter.diagnosis, encounter.deposit
        )
        session.send(frame=next(frames))
        session.half_close()
        with pytest.raises(RecordCutShort):
            session.receive()
    assert nothing_is_kept(lab)


def test_limit_reached_for_more_deposits_at_once_than_the_hospital_takes(
    lab: HospitalLab, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.hospital.rpc.MOST_DEPOSITS_AT_ONCE", 0)
    federation = lab.federation
    with pytest.raises(Limit):
        client.deposit(encounter_of(federation, ecg(), report(federation), federation.grant()))
    nothing_is_kept(lab)
