"""Attacks by size: an eavesdropper counts the bytes of frames, and learns a size class and no more."""

import pytest

from federation.party.member import Member
from federation.protocol.access import Receiver
from federation.protocol.frames import SLICE_BYTES, padded_size
from federation.v1.record_pb2 import SESSION_OUTCOME_GRANT_REVOKED, SESSION_OUTCOME_NO_RECORD
from federation.v1.statement_pb2 import RIGHT_READ
from tests.grants import Terms, wide
from tests.simulator import Federation

Pair = tuple[Member, Member]


@pytest.fixture(scope="module")
def named(shared_federation: Federation) -> list[Pair]:
    """Give doctors and patients whose names have 1 and 64 characters."""
    make = shared_federation
    doctors = [make.new_doctor("D:c"), make.new_doctor("D:" + "c" * 64)]
    return list(zip(doctors, [make.new_patient("P:w"), make.new_patient("P:" + "w" * 64)], strict=True))


def sizes_of_p2(federation: Federation, doctor: Member, patient: Member, biosignal: bytes, terms: Terms | None) -> list:
    federation.refresh(doctor, patient)
    now = federation.clock.now
    waiting, opening = federation.open_consultation(doctor, patient)
    _, reply = federation.receive_opening(opening, doctor).reply(now=now, entropy=federation.entropy)
    established = waiting.receive(reply, patient.verifier(), now=now)
    grant = None if terms is None else federation.grant(terms, doctor, patient)
    shown = federation.shown(grant, patient, on_duty=False)
    return [frame.ByteSize() for frame in established.deliver(biosignal, shown, now=now)[1]]


def test_frames_of_p2_have_one_size_whoever_sends_them_and_whatever_the_patient_allows(
    federation: Federation, named: list[Pair]
) -> None:
    """The last frame had 359 or 472 bytes by the length of an id, and told whether there was a grant."""
    narrow = wide(hospitals=["H:a"], department_classes=["a"], rights=[RIGHT_READ], purpose="")
    seen = {
        tuple(sizes_of_p2(federation, doctor, patient, biosignal, terms))
        for doctor, patient in named
        for terms in (None, wide(), narrow)
        for biosignal in (b"", b"ecg", bytes(2048))
    }
    assert len(seen) == 1


def test_slices_of_p2_tell_the_class_of_its_size_and_no_more(federation: Federation, named: list[Pair]) -> None:
    doctor, patient = named[0]
    for inside in ((padded_size(300_000) - 1, padded_size(300_000)), (SLICE_BYTES - 3000, SLICE_BYTES)):
        first, second = (sizes_of_p2(federation, doctor, patient, bytes(size), None) for size in inside)
        assert first == second


def test_questions_refusals_and_ends_of_a_record_have_one_size(federation: Federation, named: list[Pair]) -> None:
    """D4, whoever asks for whom; and H2's last frame, whether it serves or refuses, and why."""
    asked, ended, hospital, now = set(), set(), federation.hospital_a, federation.clock.now
    for doctor, patient in named:
        federation.refresh(doctor, patient)
        intent = federation.intent(federation.grant(doctor=doctor, patient=patient), patient=patient, doctor=doctor)
        session, requested = federation.establish(hospital, intent, doctor)
        frame = session.query(now=now)[1]
        query = requested.receive(frame, hospital.verifier(), now=now)
        asked.add(frame.ByteSize())
        ended |= {
            query.refuse(outcome, now=now).ByteSize()
            for outcome in (SESSION_OUTCOME_NO_RECORD, SESSION_OUTCOME_GRANT_REVOKED)
        }
        ended.add(query.decide(hospital.verifier(), Receiver(), now=now).recorded().end(2**63, now=now).ByteSize())
    assert (len(asked), len(ended)) == (1, 1)


def test_diagnoses_and_receipts_have_one_size_up_to_the_smallest_class(federation: Federation) -> None:
    """D5 tells the class of its diagnosis' size, P6 nothing."""
    diagnosed, receipts = set(), set()
    waiting, consultation = federation.consult()
    for diagnosis, based_on in ((b"", ()), (b"all is well", (bytes(64),)), (b"x" * 500, (bytes(64),) * 3)):
        _, frame = consultation.diagnose(diagnosis, based_on, now=federation.clock.now)
        diagnosed.add(frame.ByteSize())
        told = waiting.receive(frame, federation.patient.verifier(), now=federation.clock.now)
        receipts.add(told.receipt(now=federation.clock.now)[1].ByteSize())
    assert (len(diagnosed), len(receipts)) == (1, 1)
