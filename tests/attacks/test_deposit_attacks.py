"""Attacks on deposits: what patient and doctor signed in one consultation, shown in another."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from federation.clinical.report import diagnostic_report
from federation.errors import Rejected
from federation.protocol.consultation import diagnosis_transcript
from federation.v1.statement_pb2 import SignedStatement
from keystore.transcript import digest, listing
from tests.e2e.hospital.records import parts_of
from tests.hospital_lab import Client, Encounter, HospitalLab, ecg, encounter_of, report
from tests.simulator import Federation


def read_evidence(lab: HospitalLab, client: Client) -> tuple[bytes, dict[str, str | int]]:
    """D:chen deposits an encounter; D:roe, with a grant of its own, reads M_SD and its evidence."""
    federation, rogue = lab.federation, lab.federation.other_doctor
    receipt, _ = client.deposit(encounter_of(federation, ecg(), report(federation), federation.grant()))
    intent = federation.intent(federation.grant(doctor=rogue), handles=(receipt.handle,), doctor=rogue)
    _, parts = parts_of(client.read(intent, doctor=rogue)[0])
    return parts[1], json.loads(parts[3])


def forged(
    federation: Federation, biosignal: bytes, evidence: dict[str, str | int], grant: SignedStatement
) -> Encounter:
    """D:roe's own report over D:chen's biosignal, with the patient's genuine signature."""
    rogue, patient, now = federation.other_doctor, federation.patient.identity, federation.clock.now
    th1, signature = bytes.fromhex(evidence["consultation_digest"]), base64.b64decode(evidence["biosignal_signature"])
    diagnosis = diagnostic_report(
        patient_id=patient,
        doctor_id=rogue.identity,
        conclusion="Not what the patient asked for.",
        codes=[],
        issued=federation.clock.moment,
        based_on=[],
    )
    encounter = encounter_of(federation, biosignal, diagnosis, grant, doctor=rogue)
    deposit = encounter.deposit
    deposit.consultation_digest = th1
    deposit.biosignal_sent_at, deposit.biosignal_signature = evidence["biosignal_sent_at"], signature
    signed = diagnosis_transcript(th1, digest(diagnosis), signature, listing([]), now)
    deposit.diagnosis_signature = rogue.keys.signing_key.sign(signed)
    return replace(encounter, deposit=deposit)


Choose = Callable[[Federation, dict], SignedStatement]


def own_grant(federation: Federation, evidence: dict) -> SignedStatement:
    return federation.grant(doctor=federation.other_doctor)


def test_e1_another_doctors_biosignal_with_the_patients_genuine_signature_gets_no_report(lab: HospitalLab) -> None:
    """A doctor with a default grant reads one record, where TH1, Sig_P2 and T_P2 lie readable, and deposits a report of its
    own over another doctor's biosignal. Sig_P2 names the doctor whom the patient addressed, and its grant.
    """
    federation = lab.federation
    with lab.serving() as client:
        biosignal, evidence = read_evidence(lab, client)
        kept = len(list(lab.hospital.stores.records.all()))
        encounter = forged(federation, biosignal, evidence, own_grant(federation, evidence))
        with client.session() as session:
            established = client.establish(session, encounter.intent, federation.other_doctor)
            for frame in established.deposit(encounter.biosignal, encounter.diagnosis, encounter.deposit)[1]:
                session.send(frame=frame)
            with pytest.raises(Rejected):
                session.receive()
    assert lab.reasons[-1] == "SIGNATURE_INVALID"
    assert len(list(lab.hospital.stores.records.all())) == kept
