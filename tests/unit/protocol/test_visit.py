"""The whole visit in memory: every phase of the paper, each side's own steps, real tokens."""

from federation.protocol.doctor_record import Received, Slice
from federation.protocol.hospital_record import AcceptedDeposit, ReceivedDeposit, ReceivedQuery
from federation.protocol.index import Location
from federation.v1.record_pb2 import PURPOSE_STORE, Deposit
from keystore.transcript import digest, statement_digest
from tests.simulator import Federation


def test_a_visit_runs_from_the_biosignal_to_the_deposit(federation: Federation) -> None:
    now = federation.clock.now
    federation.cloud.publish("P:wang", Location("H:alpha/cardiology", b"h" * 16))
    waiting, consultation = federation.consult(b"ecg" * 400_000)
    assert consultation.biosignal == b"ecg" * 400_000

    answer = federation.search(consultation.grant)
    assert [place.department_id for place in answer.places] == ["H:alpha/cardiology"]

    record = b"record" * 300_000
    reading, requested = federation.establish(federation.hospital_a, federation.intent(consultation.grant))
    state, frame = reading.query(now=now)
    query = requested.receive(frame, federation.hospital_a.verifier(), now=now)
    assert isinstance(query, ReceivedQuery)
    release = query.decide(federation.hospital_a.verifier(), now=now).recorded()
    received = b""
    for start in range(0, len(record), 500_000):
        release, frame = release.slice(record[start : start + 500_000], now=now)
        state, piece = state.receive(frame, federation.doctor.verifier(), now=now)
        assert isinstance(piece, Slice)
        received += piece.content
    state, end = state.receive(release.end(3, now=now), federation.doctor.verifier(), now=now)
    assert isinstance(end, Received)
    assert received == record
    assert end.end.version == 3

    awaiting_receipt, frame = consultation.diagnose(b"all is well", (end.end.signature,), now=now)
    diagnosed = waiting.receive(frame, federation.patient.verifier(), now=now)
    assert diagnosed.delivery.diagnosis == b"all is well"
    awaiting_receipt.receive(diagnosed.receipt(now=now), federation.doctor.verifier(), now=now)

    intent = federation.intent(consultation.grant, PURPOSE_STORE, "cardiology")
    storing, requested = federation.establish(federation.hospital_b, intent)
    d5, p2 = awaiting_receipt.diagnosis, consultation.delivery
    deposit = Deposit(
        patient_id="P:wang",
        doctor_id="D:chen",
        sent_at=now,
        blind=intent.blind,
        scope=intent.scope,
        grant=consultation.grant,
        patient_key_statement=federation.patient.key_statement,
        consultation_digest=consultation.transcript_hash,
        biosignal_size_bytes=len(consultation.biosignal),
        biosignal_digest=p2.biosignal_digest,
        biosignal_grant_digest=statement_digest("grant", consultation.grant.statement),
        biosignal_sent_at=p2.sent_at,
        biosignal_signature=p2.signature,
        diagnosis_digest=digest(d5.diagnosis),
        based_on=d5.based_on,
        diagnosis_sent_at=d5.sent_at,
        diagnosis_signature=d5.signature,
    )
    receiving, frames = storing.deposit(consultation.biosignal, d5.diagnosis, deposit)
    taken: object = requested
    for frame in frames:
        taken = taken.receive(frame, federation.hospital_b.verifier(), now=now)
    assert isinstance(taken, ReceivedDeposit)
    accepted = taken.decide(federation.hospital_b.verifier(), now=now).recorded()
    assert isinstance(accepted, AcceptedDeposit)
    assert accepted.diagnosis == b"all is well"
    receipt = accepted.receipt(b"r" * 16, 1, now=now)
    shown, _ = receiving.receive(taken.answer(receipt, now=now), now=now)
    assert shown.handle == b"r" * 16
