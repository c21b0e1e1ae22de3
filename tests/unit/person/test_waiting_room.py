"""Several patients one after the other in one room, and the desk that sees them."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import click
import pytest

from federation.cli.consultation import Desk, Plan
from federation.errors import Refused
from federation.person import doctor as doctor_module
from federation.person.code import DoctorCode
from federation.person.doctor import DoctorRoom
from federation.person.errors import NoAnswer
from federation.person.patient import PatientClient
from federation.protocol.consultation import InConsultation
from federation.v1 import consultation_pb2 as pb
from federation.v1.consultation_pb2 import RelayFrame
from tests.grants import wide
from tests.hospital_lab import report
from tests.unit.person.conftest import Surgery
from tests.unit.person.visits import SECONDS, go_in, to_doctor
from tests.waiting import until


def come(surgery: Surgery, room: DoctorRoom, patient: PatientClient) -> InConsultation:
    with ThreadPoolExecutor(1) as pool:
        present: Future[InConsultation] = pool.submit(surgery.doctor.await_patient, room, seconds=SECONDS)
        go_in(patient, room.code, wide(), b"")
        return present.result(SECONDS)


def test_two_patients_come_one_after_the_other_into_one_room(surgery: Surgery, room: DoctorRoom) -> None:
    first, second = surgery.patient(), surgery.patient(surgery.federation.other_patient)
    for patient, patient_id in ((first, "P:wang"), (second, "P:lin")):
        present = come(surgery, room, patient)
        assert present.patient_id == patient_id
        awaiting = surgery.doctor.diagnose(room, present, report(surgery.federation, patient_id), [])
        (waiting,) = patient.waiting()
        assert patient.await_diagnosis(waiting, seconds=SECONDS).doctor_id == "D:chen"
        assert surgery.doctor.await_receipt(room, awaiting, seconds=SECONDS) is not None
    assert not room.owed


def test_patient_who_comes_while_another_is_there_is_answered_afterwards(
    surgery: Surgery, room: DoctorRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = come(surgery, room, surgery.patient())
    second = surgery.patient(surgery.federation.other_patient)
    view = second.look(room.code)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(second.visit, view)
        until(lambda: frames(surgery, room) >= 4, "P1 of the second is in the room")
        awaiting = surgery.doctor.diagnose(room, present, report(surgery.federation), [])
        # The first one's receipt does not come, and what came instead is not lost.
        assert surgery.doctor.await_receipt(room, awaiting, seconds=0.5) is None
        assert surgery.doctor.await_patient(room, seconds=SECONDS).patient_id == "P:lin"
        coming.result(SECONDS)


def test_patient_asks_anew_until_the_doctor_answers(
    surgery: Surgery, room: DoctorRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.person.patient.REPLY_SECONDS", 0.5)
    patient = surgery.patient()
    view, told = patient.look(room.code), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(patient.visit, view, answer_seconds=SECONDS, waiting=told.set)
        assert told.wait(SECONDS)
        surgery.federation.clock.now += 31_000  # the first P1 is stale by now
        reasons: list[str] = []
        present = surgery.doctor.await_patient(room, seconds=SECONDS, on_refusal=reasons.append)
        coming.result(SECONDS)
    assert present.patient_id == "P:wang"
    assert reasons == [], "nobody waited for the first P1"


@pytest.mark.parametrize("milliseconds", [-1_000, 1_000], ids=["into the time before", "after it"])
def test_doctor_hears_of_a_patient_whose_clock_is_behind(surgery: Surgery, room: DoctorRoom, milliseconds: int) -> None:
    """Who asked before the doctor looked asks anew by itself; whose clock is behind never comes in, however often it asks."""
    present = come(surgery, room, surgery.patient())
    awaiting = surgery.doctor.diagnose(room, present, report(surgery.federation), [])
    assert surgery.doctor.await_receipt(room, awaiting, seconds=0.2) is None
    surgery.federation.clock.now += 5_000
    patients_clock = surgery.federation.clock.now + milliseconds
    behind = surgery.patient(surgery.federation.other_patient, clock=lambda: patients_clock)
    view = behind.look(room.code)
    reasons: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(surgery.doctor.await_patient, room, seconds=SECONDS, on_refusal=reasons.append)
        until(lambda: room.unattended.until is not None, "the doctor waits for the next patient")
        surgery.federation.clock.now += 91_000
        surgery.cloud.is_dark = True  # a list of now would be newer than that clock, and tell
        with pytest.raises(Refused):
            behind.visit(view, answer_seconds=SECONDS)
        assert reasons == ["STALE"]
        surgery.cloud.is_dark = False
        go_in(surgery.patient(surgery.federation.other_patient), room.code, wide(), b"")
        assert waiting.result(SECONDS).patient_id == "P:lin"


class GivenUp(Exception):
    """The patient does not wait any longer."""


def test_patient_who_gives_up_before_the_doctor_answers_has_signed_no_consent(
    surgery: Surgery, room: DoctorRoom
) -> None:
    patient, asked = surgery.patient(), iter([True, False])
    view = patient.look(room.code)

    def go_on() -> None:
        if not next(asked):
            raise GivenUp

    with pytest.raises(GivenUp):
        patient.visit(view, b"", to_doctor(view, wide()), answer_seconds=SECONDS, go_on=go_on)
    assert frames(surgery, room) == 1, "P1 alone went out"
    assert patient.consents.grants() == []
    assert list(patient.waiting()) == []


def test_patient_who_goes_on_is_answered_however_often_it_is_asked(
    surgery: Surgery, room: DoctorRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.person.patient.SLICE_SECONDS", 0.05)
    patient, asked = surgery.patient(), threading.Semaphore(0)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(patient.visit, patient.look(room.code), answer_seconds=SECONDS, go_on=asked.release)
        for _ in range(3):
            assert asked.acquire(timeout=SECONDS)
        assert surgery.doctor.await_patient(room, seconds=SECONDS).patient_id == "P:wang"
        assert coming.result(SECONDS).doctor_id == "D:chen"


def test_no_answer_ends_the_waiting_when_the_time_is_over(
    surgery: Surgery, room: DoctorRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.person.patient.REPLY_SECONDS", 0.2)
    patient = surgery.patient()
    with pytest.raises(NoAnswer):
        patient.visit(patient.look(room.code), answer_seconds=1.0)
    assert patient.consents.grants() == []


def test_receipt_that_comes_while_the_next_patient_is_waited_for_is_taken(surgery: Surgery, room: DoctorRoom) -> None:
    first = surgery.patient()
    present = come(surgery, room, first)
    awaiting = surgery.doctor.diagnose(room, present, report(surgery.federation), [])
    assert surgery.doctor.await_receipt(room, awaiting, seconds=0.2) is None
    assert room.owed
    (waiting,) = first.waiting()
    first.await_diagnosis(waiting, seconds=SECONDS)
    signed: list[str] = []
    with pytest.raises(NoAnswer):
        surgery.doctor.await_patient(room, seconds=1.0, on_receipt=lambda patient_id, _: signed.append(patient_id))
    assert signed == ["P:wang"]
    assert not room.owed
    assert [kept.exhibit.kind for kept in surgery.doctor.book.all("P6")] == ["P6"]


def test_refused_by_peer_who_is_between_two_messages_when_another_is_present(
    surgery: Surgery, room: DoctorRoom
) -> None:
    awaiting, opening = surgery.federation.open_consultation(patient=surgery.federation.other_patient)
    mailbox = surgery.patient(surgery.federation.other_patient)._mailbox(room.code)
    mailbox.put(RelayFrame(opening=opening))
    come(surgery, room, surgery.patient())
    said = [frame.WhichOneof("content") for frame in mailbox.follow(seconds=1) if is_of(frame, awaiting.session_id)]
    assert said == ["reply", "refusal"]


def is_of(frame: RelayFrame, session_id: bytes) -> bool:
    return getattr(frame, frame.WhichOneof("content")).session_id == session_id


def frames(surgery: Surgery, room: DoctorRoom) -> int:
    rooms = surgery.lab.hospital.stores.rooms
    return len(rooms.frames(room.code.room_id, pb.DIRECTION_TO_DOCTOR, from_number=0, limit=99))


@pytest.fixture
def desk(surgery: Surgery, tmp_path: Path) -> Desk:
    plan = Plan(
        hospital_id="H:alpha",
        address=surgery.address,
        department="cardiology",
        fetch=False,
        conclusion=None,
        codes=(),
        deposit=True,
        code_file=tmp_path / "code",
        save=None,
        patience_seconds=SECONDS,
        receipt_seconds=SECONDS,
        most_fetched_bytes=0,
    )
    return Desk(surgery.doctor, "D:chen", plan)


def open_for(monkeypatch: pytest.MonkeyPatch, patients: int) -> None:
    """Let the desk's time be over when so many have been there: each is asked for twice."""
    left = iter([SECONDS] * (2 * patients) + [0.0])
    monkeypatch.setattr(Plan, "seconds_left", property(lambda _plan: next(left)))


def codes_of(plan: Plan) -> Iterator[DoctorCode]:
    """Give the code that the desk shows, then the next that is another."""
    shown = ""
    file = plan.code_file
    assert file is not None
    while True:
        until(lambda before=shown: file.exists() and file.read_text() != before, "the desk shows a code")
        shown = file.read_text()
        yield DoctorCode.parse(shown)


def seen(surgery: Surgery, code: DoctorCode, *patients: PatientClient) -> None:
    """Let patients come, each after the other, and take their diagnoses."""
    for patient in patients:
        waiting = go_in(patient, code, wide(), b"")
        patient.await_diagnosis(waiting, seconds=SECONDS)


def test_desk_sees_one_after_the_other_by_one_code_and_leaves_no_room(
    surgery: Surgery, desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_for(monkeypatch, patients=2)
    desk.plan = replace(desk.plan, until=1.0, conclusion="Well.")
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(desk.run)
        code = next(codes_of(desk.plan))
        seen(surgery, code, surgery.patient(), surgery.patient(surgery.federation.other_patient))
        ended.result(SECONDS)
    story = capsys.readouterr().out
    assert story.count("Show this code to your patients") == 1
    assert story.index("P:wang is here") < story.index("P:lin is here") < story.index("Nobody else is waited for.")
    assert "For D:chen (certified by M:chamber), until" in story
    assert "H:alpha states that you are on duty in cardiology, neurology until" in story
    assert surgery.lab.hospital.stores.rooms.get(code.room_id, now=surgery.federation.clock.now) is None


def test_desk_shows_another_code_for_each_patient_if_asked(
    surgery: Surgery, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_for(monkeypatch, patients=2)
    desk.plan = replace(desk.plan, until=1.0, conclusion="Well.", code_per_patient=True)
    with ThreadPoolExecutor(1) as pool:
        ended, codes = pool.submit(desk.run), codes_of(desk.plan)
        seen(surgery, next(codes), surgery.patient())
        seen(surgery, next(codes), surgery.patient(surgery.federation.other_patient))
        ended.result(SECONDS)
    assert len({room.code.room_id for room in desk.rooms}) == 2


def test_desk_goes_on_after_a_visit_that_ended_early_and_tells_it_in_the_end(
    surgery: Surgery, desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_for(monkeypatch, patients=2)
    desk.plan = replace(
        desk.plan, until=1.0, conclusion="Well.", department="oncology"
    )  # where the hospital keeps none
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(desk.run)
        code = next(codes_of(desk.plan))
        seen(surgery, code, surgery.patient(), surgery.patient(surgery.federation.other_patient))
        with pytest.raises(click.exceptions.Exit):
            ended.result(SECONDS)
    story = capsys.readouterr().out
    assert story.count("THIS VISIT ENDED EARLY.") == 2
    assert story.count("The patient signed for the diagnosis") == 2


def test_room_that_is_nearly_full_gives_way_to_another(
    surgery: Surgery, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_for(monkeypatch, patients=2)
    monkeypatch.setattr(doctor_module, "WORN_FRAMES", 2)
    desk.plan = replace(desk.plan, until=1.0, conclusion="Well.")
    with ThreadPoolExecutor(1) as pool:
        ended, codes = pool.submit(desk.run), codes_of(desk.plan)
        seen(surgery, next(codes), surgery.patient())
        seen(surgery, next(codes), surgery.patient(surgery.federation.other_patient))
        ended.result(SECONDS)
    assert len(desk.rooms) == 2
