"""A doctor who amends a diagnosis, a patient who learns of it, and the record of both at the doctor's hospital."""

import pytest

from federation.clinical.report import diagnostic_report
from federation.errors import Limit, MessageTooLarge, OutOfOrder
from federation.person.doctor import DoctorRoom
from federation.person.errors import NoAnswer
from federation.person.pending import PendingConsultation
from federation.protocol.consultation import MOST_AMENDMENTS
from federation.v1.diagnosis_pb2 import DiagnosisReceipt
from keystore.transcript import digest
from tests.grants import wide
from tests.hospital_lab import ecg, report
from tests.unit.person.conftest import Surgery
from tests.unit.person.visits import SECONDS, meet, to_doctor

SHORT = 0.5


def amended(surgery: Surgery, before: bytes, conclusion: str) -> bytes:
    """The report that takes another's place."""
    return diagnostic_report(
        patient_id="P:wang",
        doctor_id="D:chen",
        conclusion=conclusion,
        codes=[],
        issued=surgery.federation.clock.moment,
        based_on=[],
        amends=before,
    )


class Case:
    """A visit whose diagnosis the patient has, and has signed for."""

    def __init__(self, surgery: Surgery, room: DoctorRoom) -> None:
        self.surgery, self.room, self.patient = surgery, room, surgery.patient()
        view = self.patient.look(room.code)
        self.waiting, self.present = meet(surgery, room, self.patient, view, to_doctor(view, wide()), ecg())
        self.report = report(surgery.federation)
        self.first = surgery.doctor.diagnose(room, self.present, self.report, [])
        self.patient.await_diagnosis(self.waiting, seconds=SECONDS)

    def kept(self) -> PendingConsultation:
        (kept,) = self.patient.amendable()
        return kept

    def look(self, seconds: float = SHORT):
        return self.patient.look_for_amendment(self.kept(), seconds=seconds)


@pytest.fixture
def case(surgery: Surgery, room: DoctorRoom) -> Case:
    return Case(surgery, room)


def test_amendment_takes_the_first_ones_place_and_both_stay_evidence(case: Case) -> None:
    doctor, patient = case.surgery.doctor, case.patient
    assert doctor.await_receipt(case.room, case.first, seconds=SECONDS) is not None
    content = amended(case.surgery, case.report, "Sinus rhythm; a second look shows a flutter.")
    second = doctor.amend(case.room, case.first, content, [])
    found = case.look()
    assert (found.report, found.amends.report) == (content, case.report)
    assert found.amends.amends is None
    assert patient.diagnoses() == [found]
    receipt = doctor.await_receipt(case.room, second, seconds=SECONDS)
    assert receipt.diagnosis_digest == digest(second.diagnosis.signature)
    for book in (patient.book, doctor.book):
        assert [kept.exhibit.kind for kept in book.all("D5")] == ["D5", "D5"]
    assert [kept.exhibit.kind for kept in doctor.book.all("P6")] == ["P6", "P6"]
    assert not case.room.owed


def test_nobody_waits_for_an_amendment_that_does_not_come(case: Case) -> None:
    assert not list(case.patient.waiting())
    assert case.look() is None
    assert case.kept().has_diagnosis
    assert len(case.patient.diagnoses()) == 1


def test_consultation_whose_room_is_closed_is_forgotten(case: Case) -> None:
    case.surgery.doctor.close_room(case.room)
    assert case.look() is None
    assert not list(case.patient.amendable())
    assert len(case.patient.diagnoses()) == 1


def test_amendments_that_came_while_the_patient_was_away_are_all_taken(case: Case) -> None:
    doctor, before = case.surgery.doctor, case.first
    contents = [case.report]
    for conclusion in ("Second.", "Third."):
        contents.append(amended(case.surgery, contents[-1], conclusion))
        before = doctor.amend(case.room, before, contents[-1], [])
    found = case.look()
    assert [found.report, found.amends.report, found.amends.amends.report] == contents[::-1]
    assert doctor.await_receipt(case.room, before, seconds=SECONDS) is not None
    assert not case.room.owed


def test_first_and_amendment_that_lie_in_the_room_together_are_taken_in_their_order(
    surgery: Surgery, room: DoctorRoom
) -> None:
    patient = surgery.patient()
    view = patient.look(room.code)
    waiting, present = meet(surgery, room, patient, view, None, ecg())
    first = report(surgery.federation)
    awaiting = surgery.doctor.diagnose(room, present, first, [])
    second = amended(surgery, first, "Second.")
    surgery.doctor.amend(room, awaiting, second, [])
    assert patient.await_diagnosis(waiting, seconds=SECONDS).report == first
    (kept,) = patient.amendable()
    assert patient.look_for_amendment(kept, seconds=SHORT).report == second


def test_the_same_amendment_again_is_the_same_message_and_another_of_the_first_is_out_of_order(case: Case) -> None:
    doctor, content = case.surgery.doctor, amended(case.surgery, case.report, "Second.")
    second = doctor.amend(case.room, case.first, content, [])
    assert doctor.amend(case.room, case.first, content, []) == second
    with pytest.raises(OutOfOrder):
        doctor.amend(case.room, case.first, content + b" ", [])
    with pytest.raises(OutOfOrder):
        doctor.diagnose(case.room, case.present, case.report, [])
    assert case.look().report == content


def test_room_is_needed_until_the_newest_diagnosis_is_signed_for(case: Case) -> None:
    """The first one's receipt never comes: the room was full, say. Who signed for the second has the first."""
    doctor, room = case.surgery.doctor, case.room
    second = doctor.amend(room, case.first, amended(case.surgery, case.report, "Second."), [])
    case.look()
    receipts = [frame for frame in room.follow(seconds=SHORT) if frame.HasField("frame")]
    room.set_aside = receipts[1:]
    assert room.is_needed
    assert doctor.await_receipt(room, second, seconds=SECONDS) is not None
    assert room.owed
    assert not room.is_needed


def test_report_that_cannot_be_sent_leaves_the_consultation_as_it_was(surgery: Surgery, room: DoctorRoom) -> None:
    patient = surgery.patient()
    _, present = meet(surgery, room, patient, patient.look(room.code), None, ecg())
    with pytest.raises(MessageTooLarge):
        surgery.doctor.diagnose(room, present, bytes(2**20), [])
    content = report(surgery.federation)
    first = surgery.doctor.diagnose(room, present, content, [])
    with pytest.raises(MessageTooLarge):
        surgery.doctor.amend(room, first, bytes(2**20), [])
    assert surgery.doctor.diagnose(room, present, content, []) == first


def test_limit_reached_for_one_amendment_too_many(case: Case) -> None:
    doctor, newest, content = case.surgery.doctor, case.first, case.report
    for number in range(MOST_AMENDMENTS):
        content = amended(case.surgery, content, f"Look {number}.")
        newest = doctor.amend(case.room, newest, content, [])
    with pytest.raises(Limit):
        doctor.amend(case.room, newest, amended(case.surgery, content, "Once more."), [])


def test_receipts_that_come_during_the_next_visit_are_told_for_each(case: Case) -> None:
    doctor, told = case.surgery.doctor, []
    doctor.amend(case.room, case.first, amended(case.surgery, case.report, "Second."), [])
    case.look()

    def note(patient_id: str, receipt: DiagnosisReceipt) -> None:
        told.append((patient_id, receipt.diagnosis_digest))

    with pytest.raises(NoAnswer):
        doctor.await_patient(case.room, seconds=SHORT, on_receipt=note)
    assert len(set(told)) == 2
    assert not case.room.owed


def test_amendment_is_the_records_next_version_though_the_first_one_was_not_sent_yet(case: Case) -> None:
    doctor, hospital = case.surgery.doctor, case.surgery.lab.hospital
    address = "H:alpha", case.surgery.address, "cardiology"
    waiting = doctor.prepare_deposit(case.first, *address)
    second = doctor.amend(case.room, case.first, amended(case.surgery, case.report, "Second."), [])
    receipt = doctor.deposit(doctor.prepare_deposit(second, *address))
    assert receipt.version == 2
    assert [record.version for record in hospital.stores.administration.versions(receipt.handle)] == [1, 2]
    assert doctor.waiting_deposits() == []
    again = doctor.deposit(waiting)
    assert (again.handle, again.version) == (receipt.handle, 1)
