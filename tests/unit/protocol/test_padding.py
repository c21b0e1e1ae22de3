"""p1, d1, d2 and c have one sealed size each, whatever is inside and whatever the outcome (B9)."""

import pytest

from federation.errors import Authorization
from federation.protocol.access_log import MOST_WITNESSES, as_many_as_fit
from federation.protocol.index import Location
from federation.protocol.parsing import LAST_TIME, check
from federation.protocol.search import ACCESSES_PER_PAGE, ACCESSES_ROOM, BESIDE, HOSPITALS_PER_PAGE, ROWS_PER_PAGE, Page
from federation.v1.access_pb2 import ACCESS_GROUND_NONE, ACCESS_KIND_ADD, AccessEntry, ProvedHead
from federation.v1.envelope_pb2 import SessionRefusal
from federation.v1.search_pb2 import IndexHospital
from federation.v1.statement_pb2 import SignedStatement
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


@pytest.mark.parametrize("rows", [0, 1, 9, 255])
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


def longest(row: IndexHospital) -> IndexHospital:
    """Return a hospital whose statements and address are as long as their rules allow."""
    row.ClearField("departments")
    row.address = ".".join(["a" * 63] * 3 + ["a" * 61]) + ":65535"
    row.key_statement.statement += bytes(300)
    row.encryption_key_statement.statement += bytes(80)
    return row


@pytest.mark.parametrize("is_longest", [False, True], ids=["usual", "longest"])
@pytest.mark.parametrize("hospitals", [1, 2, 40])
@pytest.mark.parametrize("departments", [1, 40, 2000])
def test_the_fullest_answer_fits(federation, is_longest, hospitals, departments):
    """However many hospitals with however many departments there are: what a page takes, its plaintext holds, and it is full."""
    awaiting, opening = federation.ask(federation.grant(), after=bytes(256))
    federation.cloud.publish("P:wang", Location("H:alpha/cardiology", bytes(16)))
    _, first = federation.ask(federation.grant())
    answer = c(federation).open(federation.cloud.answer(first))
    page, hospital, taken = Page(), answer.hospitals[0], 0
    hospital = longest(hospital) if is_longest else hospital
    hospital.ClearField("departments")
    while True:
        hospital.hospital_id = f"H:{taken % hospitals:063}" if is_longest else f"H:{taken % hospitals}"
        local = f"{taken % departments:032}" if is_longest else f"{taken % departments}"
        department_id = f"{hospital.hospital_id}/{'c' * 32 if is_longest else 'c'}.{local}"
        if not page.take(hospital, department_id, taken.to_bytes(16, "big")):
            break
        taken += 1
    del answer.hospitals[:]
    answer.hospitals.extend(page.hospitals)
    answer.next = bytes(256)
    answer.sent_at = LAST_TIME
    check(answer)
    size = answer.ByteSize() + 4
    assert size <= SIZES["c"]
    rows = sum(len(it.handles) for one in page.hospitals for it in one.departments)
    assert rows == taken
    is_bounded = rows == ROWS_PER_PAGE or len(page.hospitals) == HOSPITALS_PER_PAGE
    # What the longer framing of a length that could be short, at each department, leaves free.
    spared = 4 * min(departments, rows)
    assert is_bounded or SIZES["c"] - size - spared < BESIDE + hospital.ByteSize() + len(department_id)
    assert d2(federation).open(opening).ByteSize() + 4 <= SIZES["d2"]
    assert awaiting.session_id == opening.session_id


@pytest.mark.parametrize("height", [0, 20, 40, 63])
def test_a_page_of_the_longest_entries_of_a_log_fits(federation, height):
    """As many as have room beside the longest head, however high the tree is."""
    _, opening = federation.ask(federation.grant())
    answer = c(federation).open(federation.cloud.answer(opening))
    entry = AccessEntry(
        number=2**64 - 1,
        at=LAST_TIME,
        asker_id="D:" + "c" * 64,
        kind=ACCESS_KIND_ADD,
        department_class="c" * 32,
        ground=ACCESS_GROUND_NONE,
        authorization=bytes(32),
        reason="R" * 48,
        grant_digest=bytes(32),
        leaf_index=2**63 - 1,
        blind=bytes(32),
        inclusion=[bytes(32)] * height,
    )
    statements = [SignedStatement(statement=bytes(300), signature=bytes(64))] * MOST_WITNESSES
    head = ProvedHead(note=bytes(4096), consistency=[bytes(32)] * 63, witness_key_statements=statements)
    answer.log_head.CopyFrom(head)
    fitting = as_many_as_fit([entry] * ACCESSES_PER_PAGE, head, ACCESSES_ROOM)
    assert fitting >= 8
    answer.accesses.extend([entry] * fitting)
    answer.next, answer.sent_at = bytes(256), LAST_TIME
    check(answer)
    assert answer.ByteSize() + 4 <= SIZES["c"]


def test_a_record_that_is_taken_twice_stands_on_its_page_once(federation):
    """An index in which a row stands under two names makes no answer that nobody takes."""
    federation.cloud.publish("P:wang", Location("H:alpha/cardiology", bytes(16)))
    _, opening = federation.ask(federation.grant())
    (hospital,) = c(federation).open(federation.cloud.answer(opening)).hospitals
    hospital.ClearField("departments")
    page = Page()
    assert all(page.take(hospital, "H:alpha/cardiology", bytes(16)) for _ in range(2))
    ((department,),) = ([*it.departments] for it in page.hospitals)
    assert [*department.handles] == [bytes(16)]
