"""The whole visit in memory: every phase of the paper, each side's own steps, and what each side keeps for a judge."""

from federation.protocol import exhibits
from federation.protocol.access import Receiver
from federation.protocol.consultation import AwaitingBiosignal, AwaitingDiagnosis, InConsultation
from federation.protocol.exhibit import Exhibit
from federation.protocol.frames import pieces
from federation.protocol.index import Location
from federation.protocol.record import (
    Received,
    Slice,
)
from federation.protocol.record_hospital import AcceptedDeposit, ReceivedDeposit, ReceivedQuery
from federation.v1.record_pb2 import PURPOSE_STORE
from tests.contents import deposit_of, record_of
from tests.simulator import Federation


def consult(federation: Federation) -> tuple[AwaitingDiagnosis, InConsultation, list[Exhibit]]:
    """P1, D1, P2."""
    now, patient = federation.clock.now, federation.patient
    awaiting, opening = federation.open_consultation()
    replying, reply = federation.receive_opening(opening).reply(now=now, entropy=federation.entropy)
    established = awaiting.receive(reply, patient.verifier(), now=now)
    grant = federation.grant()
    shown = federation.shown(grant, on_duty=False)
    waiting, frames = established.deliver(b"ecg" * 400_000, shown, now=now)
    state: object = replying
    for frame in frames:
        assert isinstance(state, AwaitingBiosignal)
        state = state.receive(frame, federation.doctor.verifier(), federation.duty(), now=now)
    assert isinstance(state, InConsultation)
    assert state.biosignal == b"ecg" * 400_000
    kept = [
        exhibits.of_opening(state.session),
        exhibits.of_reply(established.session),
        exhibits.of_biosignal(state),
        exhibits.of_own_biosignal(waiting, state.biosignal, shown, now),
        exhibits.of_grant(grant, federation.party(patient).self_),
    ]
    return waiting, state, kept


def visit(federation: Federation) -> list[Exhibit]:
    """Run a visit from the biosignal to the deposit, and give the exhibits of both sides."""
    now = federation.clock.now
    federation.cloud.publish("P:wang", Location("H:alpha/cardiology", b"h" * 16))
    waiting, consultation, kept = consult(federation)

    consent = consultation.shown.consent
    assert consent is not None
    answer = federation.search(consent.grant)
    assert [place.department_id for place in answer.locations] == ["H:alpha/cardiology"]
    kept.extend(exhibits.of_answer(answer, federation.cloud.anchors.cloud_id))

    record = record_of(b"record" * 300_000)
    awaiting, opening = federation.open_session(federation.hospital_a, federation.intent(consent.grant))
    requested, reply = federation.receive_session(federation.hospital_a, opening).reply(
        now=now, entropy=federation.entropy
    )
    reading = awaiting.receive(reply, federation.doctor.verifier(), now=now)
    state, frame = reading.query(now=now)
    query = requested.receive(frame, federation.hospital_a.verifier(), now=now)
    assert isinstance(query, ReceivedQuery)
    kept += [exhibits.of_request(query.request.session.opening, query.query), exhibits.of_reply(reading.session)]
    release = query.decide(federation.hospital_a.verifier(), Receiver(), now=now).recorded()
    received = b""
    for sent in pieces([record]):
        release, sealed = release.slice(sent, now=now)
        state, piece = state.receive(sealed.frame, federation.doctor.verifier(), now=now)
        assert isinstance(piece, Slice)
        received += piece.content
    state, end = state.receive(release.end(3, now=now), federation.doctor.verifier(), now=now)
    assert isinstance(end, Received)
    assert received == record
    assert end.end.version == 3
    kept.append(exhibits.of_record(reading.session, reading.intent, end))

    awaiting_receipt, frame = consultation.diagnose(b"all is well", (end.end.signature,), now=now)
    diagnosed = waiting.receive(frame, federation.patient.verifier(), now=now)
    assert diagnosed.delivery.diagnosis == b"all is well"
    _, receipt_frame = diagnosed.receipt(now=now)
    _, signed = awaiting_receipt.receive(receipt_frame, federation.doctor.verifier(), now=now)
    kept += [exhibits.of_own_diagnosis(awaiting_receipt), exhibits.of_diagnosis(diagnosed)]
    kept.append(exhibits.of_receipt(signed, consultation.patient))

    intent = federation.intent(consent.grant, PURPOSE_STORE, "cardiology", hospital=federation.hospital_b)
    storing, requested = federation.establish(federation.hospital_b, intent)
    deposit = deposit_of(consultation, awaiting_receipt.diagnosis, intent, now=now)
    receiving, frames = storing.deposit(consultation.biosignal, awaiting_receipt.diagnosis.diagnosis, deposit)
    taken: object = requested
    for frame in frames:
        taken = taken.receive(frame, federation.hospital_b.verifier(), now=now)
    assert isinstance(taken, ReceivedDeposit)
    accepted = taken.decide(federation.hospital_b.verifier(), Receiver(), now=now).recorded()
    assert isinstance(accepted, AcceptedDeposit)
    assert accepted.diagnosis == b"all is well"
    shown, signed = receiving.receive(taken.answer(accepted.receipt(b"r" * 16, 1, now=now), now=now), now=now)
    assert shown.handle == b"r" * 16
    kept.append(exhibits.of_deposit(signed, storing.session.peer.party, deposit))
    return kept
