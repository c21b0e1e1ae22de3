"""p1, d1, d2 and c have one sealed size each, whatever is inside and whatever the outcome (B9)."""

import pytest

from federation.errors import Authorization
from federation.protocol.index import Location
from federation.v1.envelope_pb2 import SessionRefusal
from tests.grants import Terms, wide
from tests.mallory import c, d2

SIZES = {"p1": 4096, "d1": 8192, "d2": 16384, "c": 32768, "d3": 8192, "h1": 4096}
SEAL_OVERHEAD = 1169


@pytest.fixture(scope="module")
def named(shared_federation):
    """Give patients and doctors whose names have 1 and 64 characters."""
    make = shared_federation
    doctors = [make.new_doctor("D:c"), make.new_doctor("D:" + "c" * 64)]
    patients = [make.new_patient("P:w"), make.new_patient("P:" + "w" * 64)]
    return list(zip(doctors, patients, strict=True))


def terms(many: bool) -> Terms:
    if not many:
        return wide(hospitals=["H:a"], department_classes=["a"], purpose="")
    names = [f"H:{'h' * 60}{number:02}" for number in range(32)]
    classes = [f"{'c' * 29}{number:02}" for number in range(32)]
    return wide(hospitals=names, department_classes=classes, purpose="p" * 128)


def test_openings_and_replies_of_a_consultation_have_one_size(federation, named):
    now = federation.clock.now
    for doctor, patient in named:
        federation.refresh(doctor, patient)
        _, opening = federation.open_consultation(doctor, patient)
        _, reply = federation.receive_opening(opening, doctor).reply(now=now, entropy=federation.entropy)
        assert len(opening.sealed) == SIZES["p1"] + SEAL_OVERHEAD
        assert len(reply.sealed) == SIZES["d1"] + SEAL_OVERHEAD


def test_questions_have_one_size(federation, named):
    for doctor, patient in named:
        federation.refresh(doctor, patient)
        grants = [None, *(federation.grant(terms(many), doctor, patient) for many in (False, True))]
        for grant in grants:
            _, opening = federation.ask(grant, doctor=doctor, patient=patient)
            assert len(opening.sealed) == SIZES["d2"] + SEAL_OVERHEAD


@pytest.mark.parametrize("rows", [0, 1, 8, 9])
def test_answers_have_one_size_whatever_is_found(federation, rows):
    for number in range(rows):
        federation.cloud.publish("P:wang", Location("H:alpha/cardiology." + "l" * 32, bytes([number]) * 16))
    _, opening = federation.ask(federation.grant())
    assert len(federation.cloud.answer(opening).sealed) == SIZES["c"] + SEAL_OVERHEAD


def test_answers_that_refuse_have_the_size_of_those_that_find(federation):
    other = federation.grant(doctor=federation.other_doctor)
    narrow = federation.grant(wide(department_classes=[]))
    for grant in (None, other, narrow):
        awaiting, opening = federation.ask(grant)
        reply = federation.cloud.answer(opening)
        assert len(reply.sealed) == SIZES["c"] + SEAL_OVERHEAD
        with pytest.raises(Authorization):
            awaiting.receive(reply, federation.doctor.verifier(), now=federation.clock.now)


def test_session_openings_have_one_size(federation, named):
    for doctor, patient in named:
        federation.refresh(doctor, patient)
        intent = federation.intent(federation.grant(doctor=doctor, patient=patient), patient=patient)
        _, opening = federation.open_session(federation.hospital_a, intent, doctor)
        _, reply = federation.receive_session(federation.hospital_a, opening).reply(
            now=federation.clock.now, entropy=federation.entropy
        )
        assert len(opening.sealed) == SIZES["d3"] + SEAL_OVERHEAD
        assert len(reply.sealed) == SIZES["h1"] + SEAL_OVERHEAD


def _refusal(federation, received):
    return SessionRefusal(session_id=received.session_id, sent_at=federation.clock.now)


def test_a_refusal_through_the_relay_has_one_size(federation):
    _, first = federation.open_consultation()
    _, second = federation.open_consultation(patient=federation.other_patient)
    sizes = {
        len(_refusal(federation, federation.receive_opening(opening)).SerializeToString())
        for opening in (first, second)
    }
    assert len(sizes) == 1


def test_the_largest_answer_fits(federation):
    """Eight rows whose department, statements and address are as long as their rules allow."""
    awaiting, opening = federation.ask(federation.grant())
    federation.cloud.publish("P:wang", Location("H:alpha/cardiology", bytes(16)))
    answer = c(federation).open(federation.cloud.answer(opening))
    row = answer.rows[0]
    row.hospital_id = "H:" + "h" * 63
    row.department_id = row.hospital_id + "/" + "c" * 32 + "." + "l" * 32
    row.address = "a" * 249 + ":65535"
    row.key_statement.statement += bytes(300)
    row.encryption_key_statement.statement += bytes(80)
    del answer.rows[:]
    answer.rows.extend([row] * 8)
    assert answer.ByteSize() + 4 <= SIZES["c"]
    assert d2(federation).open(opening).ByteSize() + 4 <= SIZES["d2"]
    assert awaiting.session_id == opening.session_id
