"""The pages of a search's answer, at a real public cloud: nothing is passed over, and nobody goes on where no answer said so."""

import hashlib
import itertools
from dataclasses import replace

import pytest

from federation.cloud import index_rows
from federation.party.member import Member
from federation.protocol.index import Location
from federation.protocol.search import Question
from federation.protocol.shown import Shown
from federation.v1.statement_pb2 import RIGHT_LOG
from keystore.identities import PatientId
from tests.e2e.cloud_lab import CloudLab

_NUMBERS = itertools.count()


def filed(lab: CloudLab, patient_id: str, hospital_id: str, count: int) -> set[bytes]:
    """File so many records at a hospital, and return their handles."""
    handles = [hashlib.sha256(b"%d %s" % (number, hospital_id.encode())).digest()[:16] for number in range(count)]
    for handle in handles:
        index_rows.put_row(lab.node.cloud, PatientId(patient_id), Location(f"{hospital_id}/surgery", handle))
    return set(handles)


def test_more_rows_than_a_page_holds_come_on_pages(lab: CloudLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_rows, "ROWS_PER_PAGE", 8)
    monkeypatch.setattr(index_rows, "ROWS_PER_TURN", 2)
    hospitals = [lab.hospital(f"H:pages{number}") for number in range(3)]
    patient, doctor = lab.patient("P:pages", hospitals[0]), lab.doctor("D:pages")
    handles = set().union(*(filed(lab, "P:pages", it[0].identity, 10 + n) for n, it in enumerate(hospitals)))
    question, client, found = lab.question(patient, doctor), lab.client(), []
    while True:
        answer = client.search(doctor, question)
        found += [place.handle for place in answer.locations]
        if not answer.next:
            break
        assert len(answer.locations) == 8
        question = replace(question, after=answer.next)
    assert (len(found), set(found)) == (33, handles)


def test_more_hospitals_than_a_page_holds_come_on_pages_and_one_that_left_keeps_none_back(
    lab: CloudLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a page ends, and that a hospital is left out, is decided after its rows were read: none is passed over for it."""
    monkeypatch.setattr(index_rows, "ROWS_PER_PAGE", 4)
    monkeypatch.setattr("federation.protocol.search.HOSPITALS_PER_PAGE", 2)
    hospitals = [lab.hospital(f"H:many{number}") for number in range(4)]
    patient, doctor = lab.patient("P:many", hospitals[0]), lab.doctor("D:many")
    handles = set().union(*(filed(lab, "P:many", it[0].identity, 2) for it in hospitals))
    filed(lab, "P:many", "H:left", 7)
    question, client, found, pages = lab.question(patient, doctor), lab.client(), [], []
    while True:
        answer = client.search(doctor, question)
        found += [place.handle for place in answer.locations]
        pages.append({place.hospital.identity for place in answer.locations})
        if not answer.next:
            break
        question = replace(question, after=answer.next)
    assert (len(found), set(found)) == (8, handles)
    assert max(map(len, pages)) <= 2


Cut = tuple[Member, Member, Question, bytes]
"""A patient with more records than a page holds, a doctor, what it asks, and where the answer goes on."""


@pytest.fixture
def cut(lab: CloudLab, monkeypatch: pytest.MonkeyPatch) -> Cut:
    """File three records where a page holds two, and ask for the first page."""
    monkeypatch.setattr(index_rows, "ROWS_PER_PAGE", 2)
    name = f"cut{next(_NUMBERS)}"
    hospital = lab.hospital(f"H:{name}")
    patient, doctor = lab.patient(f"P:{name}", hospital), lab.doctor(f"D:{name}")
    filed(lab, patient.identity, hospital[0].identity, 3)
    question = lab.question(patient, doctor)
    return patient, doctor, question, lab.client().search(doctor, question).next


def test_next_page_may_be_asked_for_twice(lab: CloudLab, cut: Cut) -> None:
    _, doctor, question, place = cut
    later = [lab.client().search(doctor, replace(question, after=place)) for _ in range(2)]
    assert [(len(it.locations), it.next) for it in later] == [(1, b"")] * 2


def test_place_of_another_question_is_rejected(lab: CloudLab, cut: Cut) -> None:
    """An asker goes on where an answer to itself, about that patient, class and right, said so, and nowhere else."""
    patient, doctor, question, place = cut
    other = lab.patient(f"{patient.identity}-other", lab.hospital(f"H:{patient.identity[2:]}-other"))
    colleague = lab.doctor(f"{doctor.identity}-colleague")
    own = Question(Shown.by_own_right(patient.identity), after=place)
    for asker, asked in (
        (doctor, lab.question(other, doctor)),
        (doctor, replace(question, department_class="surgery")),
        (colleague, lab.question(patient, colleague)),
        (patient, own),
        (patient, replace(own, right=RIGHT_LOG)),
    ):
        with lab.rejected_for("FIELD_INVALID"):
            lab.client().search(asker, replace(asked, after=place))


def test_place_that_was_made_up_is_rejected(lab: CloudLab, cut: Cut) -> None:
    _, doctor, question, place = cut
    for made_up in (place[:-1] + bytes([place[-1] ^ 1]), place[:-1], b"8", bytes(256)):
        with lab.rejected_for("FIELD_INVALID"):
            lab.client().search(doctor, replace(question, after=made_up))


def test_place_says_nothing_of_what_the_index_calls_a_row(lab: CloudLab, cut: Cut) -> None:
    *_, place = cut
    for row in lab.node.cloud.stores.index.walk():
        assert not any(name in place for name in (row.row_id, row.row_key, row.hospital_key))
