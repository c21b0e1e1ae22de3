"""The doctor's and the patient's client in one room, at a relay that really serves."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import grpc
import pytest

from demo.stage import free_address
from federation.cli.consultation import Desk, Plan
from federation.errors import IdentityMismatch, Limit, NoSuchRoom, OutOfOrder, Refused, Unavailable
from federation.person.code import DoctorCode
from federation.person.doctor import DoctorRoom
from federation.person.errors import NoAnswer
from federation.person.interruption import Interruption
from federation.person.pending import PendingConsultation
from federation.person.relay import Mailbox
from federation.protocol.consultation import InConsultation
from federation.v1 import consultation_pb2 as pb
from federation.v1.consultation_pb2 import RelayFrame
from federation.v1.envelope_pb2 import SealedReply, SessionFrame, SessionRefusal
from tests.grants import Terms, wide
from tests.hospital_lab import ecg, report
from tests.unit.person.conftest import Surgery, make_doctor
from tests.unit.person.visits import SECONDS, go_in, meet, to_doctor
from tests.waiting import until


def visit(surgery: Surgery, room: DoctorRoom, terms: Terms | None) -> tuple[PendingConsultation, InConsultation]:
    patient = surgery.patient()
    view = patient.look(room.code)
    return meet(surgery, room, patient, view, None if terms is None else to_doctor(view, terms), ecg())


def onlooker(surgery: Surgery, room: DoctorRoom, direction: int) -> Mailbox:
    """Somebody else who has the code."""
    return Mailbox(surgery.channel, room.code.room_id, direction)


def fill(mailbox: Mailbox) -> None:
    """Leave no room for a frame of the smallest kind."""
    for size in (2**20, 2**16, 2**12, 2**8, 16):
        junk = RelayFrame(
            frame=SessionFrame(session_id=bytes(16), sequence=0, last=False, sent_at=0, sealed=bytes(size))
        )
        with suppress(Limit):
            for _ in range(2**12):
                mailbox.put(junk)


def test_visit_brings_biosignal_and_grant_and_a_signed_diagnosis_back(surgery: Surgery, room: DoctorRoom) -> None:
    waiting, present = visit(surgery, room, wide())
    assert present.biosignal == ecg()
    assert present.shown.consent is not None
    content = report(surgery.federation)
    awaiting = surgery.doctor.diagnose(room, present, content, [])
    patient = surgery.patient()
    diagnosis = patient.await_diagnosis(waiting, seconds=SECONDS)
    assert (diagnosis.doctor_id, diagnosis.report) == ("D:chen", content)
    assert surgery.doctor.await_receipt(room, awaiting, seconds=SECONDS) is not None
    assert not list(patient.waiting())
    assert [kept.exhibit.kind for kept in surgery.doctor.book.all()].count("P6") == 1


def test_receipt_is_taken_though_the_hospital_does_not_answer_a_deposit(
    surgery: Surgery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("federation.person.deposits.PAUSE_SECONDS", 0.0)
    channels = chain([surgery.channel], repeat(grpc.insecure_channel(free_address())))  # nobody there after the room
    doctor = make_doctor(surgery.federation, surgery.directory, lambda _address, _identity: next(channels))
    plan = Plan(
        hospital_id="H:alpha",
        address=surgery.address,
        department="cardiology",
        fetch=False,
        conclusion="Well.",
        codes=(),
        deposit=True,
        code_file=tmp_path / "code",
        save=None,
        patience_seconds=SECONDS,
        receipt_seconds=SECONDS,
        most_fetched_bytes=0,
    )
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(Desk(doctor, "D:chen", plan).run)
        until((tmp_path / "code").exists, "the room is open")
        patient = surgery.patient()
        waiting = go_in(patient, DoctorCode.parse((tmp_path / "code").read_text().strip()), wide())
        patient.await_diagnosis(waiting, seconds=SECONDS)
        with pytest.raises(Unavailable):
            ended.result(SECONDS)
    story = capsys.readouterr().out
    assert story.index("`medunion doctor deposit` tries again") < story.index("The patient signed for the diagnosis")
    assert "P6" in {kept.exhibit.kind for kept in doctor.book.all()}
    assert len(doctor.waiting_deposits()) == 1


def test_patient_who_comes_back_reads_the_diagnosis_from_the_room(surgery: Surgery, room: DoctorRoom) -> None:
    _, present = visit(surgery, room, None)
    surgery.doctor.diagnose(room, present, report(surgery.federation), [])
    (waiting,) = surgery.patient().waiting()
    assert surgery.patient().await_diagnosis(waiting, seconds=SECONDS).doctor_id == "D:chen"


def test_receipt_is_made_once_however_often_it_is_sent(surgery: Surgery, room: DoctorRoom) -> None:
    waiting, present = visit(surgery, room, None)
    awaiting = surgery.doctor.diagnose(room, present, report(surgery.federation), [])
    patient = surgery.patient()
    patient.await_diagnosis(waiting, seconds=SECONDS)
    # As after a crash between the two: the kept state has the receipt, and nothing says that it was sent.
    frames = list(onlooker(surgery, room, pb.DIRECTION_TO_PATIENT).follow(seconds=1))
    receipt = frames[-1].frame
    (kept,) = patient.amendable()
    assert kept.receipt is None
    patient.pending.put(replace(kept, receipt=receipt))
    (again,) = patient.amendable()
    assert patient.look_for_amendment(again, seconds=0.5) is None
    sent = [frame.frame for frame in onlooker(surgery, room, pb.DIRECTION_TO_PATIENT).follow(seconds=1)]
    assert sent.count(receipt) == 2
    assert {frame.SerializeToString() for frame in sent if frame.sequence == receipt.sequence} == {
        receipt.SerializeToString()
    }
    assert surgery.doctor.await_receipt(room, awaiting, seconds=SECONDS) is not None


def test_diagnosis_is_had_though_somebody_filled_the_room(
    surgery: Surgery, room: DoctorRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.person.relay.MOST_PUT_ATTEMPTS", 1)  # the room stays as full as it is
    waiting, present = visit(surgery, room, None)
    content = report(surgery.federation)
    surgery.doctor.diagnose(room, present, content, [])
    fill(onlooker(surgery, room, pb.DIRECTION_TO_DOCTOR))
    assert surgery.patient().await_diagnosis(waiting, seconds=SECONDS).report == content


def test_out_of_order_for_a_second_diagnosis_and_the_same_again_is_the_same(surgery: Surgery, room: DoctorRoom) -> None:
    waiting, present = visit(surgery, room, None)
    content = report(surgery.federation)
    first = surgery.doctor.diagnose(room, present, content, [])
    assert surgery.doctor.diagnose(room, present, content, []) == first
    with pytest.raises(OutOfOrder):
        surgery.doctor.diagnose(room, present, content + b" ", [])
    assert surgery.patient().await_diagnosis(waiting, seconds=SECONDS).report == content


def test_refused_by_peer_for_a_false_biometric_password_and_the_room_waits_on(
    surgery: Surgery, room: DoctorRoom
) -> None:
    refused: list[str] = []
    came = threading.Event()

    def noted(reason: str) -> None:
        refused.append(reason)
        came.set()

    with ThreadPoolExecutor(1) as pool:
        present = pool.submit(surgery.doctor.await_patient, room, seconds=SECONDS, on_refusal=noted)
        with pytest.raises(Refused):
            go_in(surgery.patient(password=bytes(32)), room.code)
        assert came.wait(SECONDS)
        go_in(surgery.patient(surgery.federation.other_patient), room.code, biosignal=ecg("P:lin"))
        assert present.result(SECONDS).patient.identity == "P:lin"
    assert refused == ["CREDENTIAL_INVALID"]
    assert surgery.reasons() == ["CREDENTIAL_INVALID"]


def test_message_replayed_into_the_room_is_refused(surgery: Surgery, room: DoctorRoom) -> None:
    visit(surgery, room, None)
    opening, *later = onlooker(surgery, room, pb.DIRECTION_TO_PATIENT).follow(seconds=1)
    replayer = onlooker(surgery, room, pb.DIRECTION_TO_DOCTOR)
    replayer.next_put = 1 + len(later)
    replayer.put(opening)
    with pytest.raises(NoAnswer):
        surgery.doctor.await_patient(room, seconds=1)
    assert surgery.reasons() == ["MESSAGE_REPLAYED"]


def test_stale_message_is_refused(surgery: Surgery, room: DoctorRoom) -> None:
    _, opening = surgery.federation.open_consultation()
    surgery.federation.clock.now += 31_000
    onlooker(surgery, room, pb.DIRECTION_TO_DOCTOR).put(RelayFrame(opening=opening))
    with pytest.raises(NoAnswer):
        surgery.doctor.await_patient(room, seconds=1)
    assert surgery.reasons() == ["STALE"]


def test_frames_of_onlookers_do_not_come_between(surgery: Surgery, room: DoctorRoom) -> None:
    waiting, present = visit(surgery, room, None)
    session_id = present.session.session_id
    forged = SessionFrame(session_id=session_id, sequence=0, last=True, sealed=bytes(64), sent_at=1)
    for frame in (
        RelayFrame(frame=forged),
        RelayFrame(reply=SealedReply(session_id=session_id, sealed=b"x", sent_at=1)),
    ):
        onlooker(surgery, room, pb.DIRECTION_TO_PATIENT).put(frame)
        onlooker(surgery, room, pb.DIRECTION_TO_DOCTOR).put(frame)
    awaiting = surgery.doctor.diagnose(room, present, report(surgery.federation), [])
    surgery.patient().await_diagnosis(waiting, seconds=SECONDS)
    assert surgery.doctor.await_receipt(room, awaiting, seconds=SECONDS) is not None


def test_onlookers_frames_in_the_patients_own_session_do_not_end_it(surgery: Surgery, room: DoctorRoom) -> None:
    """The session id is in clear: who follows the room can put a frame of that session, or a refusal, first."""
    intruder = onlooker(surgery, room, pb.DIRECTION_TO_DOCTOR)
    put = Mailbox.put

    def put_after_rubbish(mailbox: Mailbox, frame: RelayFrame) -> None:
        if frame.WhichOneof("content") == "frame" and mailbox is not intruder:
            session_id, now = frame.frame.session_id, surgery.federation.clock.now
            rubbish = SessionFrame(session_id=session_id, sequence=0, last=True, sealed=b"x" * 64, sent_at=now)
            put(intruder, RelayFrame(frame=rubbish))
            put(intruder, RelayFrame(refusal=SessionRefusal(session_id=session_id, sent_at=now)))
        put(mailbox, frame)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Mailbox, "put", put_after_rubbish)
        _, present = visit(surgery, room, None)
    assert present.biosignal == ecg()
    assert "SEAL_INVALID" in surgery.reasons()


def test_refusal_of_another_session_is_not_ours(surgery: Surgery, room: DoctorRoom) -> None:
    onlooker(surgery, room, pb.DIRECTION_TO_PATIENT).put(
        RelayFrame(refusal=SessionRefusal(session_id=bytes(16), sent_at=1))
    )
    visit(surgery, room, None)


def test_wait_that_the_relay_holds_ends_when_it_is_interrupted(surgery: Surgery, room: DoctorRoom) -> None:
    """Under way, and before it began; the next one takes the diagnosis."""
    waiting, present = visit(surgery, room, None)
    patient, interruption = surgery.patient(), Interruption()
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(patient.await_diagnosis, waiting, seconds=10 * SECONDS, interruption=interruption)
        until(lambda: bool(interruption._ends), "the relay holds the wait")
        interruption.set()
        assert isinstance(held.exception(SECONDS), NoAnswer)
    with pytest.raises(NoAnswer):
        patient.await_diagnosis(waiting, seconds=10 * SECONDS, interruption=interruption)
    interruption.clear()
    surgery.doctor.diagnose(room, present, report(surgery.federation), [])
    assert patient.await_diagnosis(waiting, seconds=SECONDS, interruption=interruption).doctor_id == "D:chen"


def test_no_answer_when_no_diagnosis_comes(surgery: Surgery, room: DoctorRoom) -> None:
    waiting, _ = visit(surgery, room, None)
    with pytest.raises(NoAnswer):
        surgery.patient().await_diagnosis(waiting, seconds=0.5)
    assert list(surgery.patient().waiting())


def test_identity_mismatch_when_the_relay_serves_another_doctor(surgery: Surgery, room: DoctorRoom) -> None:
    code = replace(room.code, digest=bytes(32))
    with pytest.raises(IdentityMismatch):
        surgery.patient().look(code)
    assert not list(onlooker(surgery, room, pb.DIRECTION_TO_PATIENT).follow(seconds=0.5))


def test_no_such_room(surgery: Surgery) -> None:
    code = DoctorCode(surgery.address, "H:alpha", bytes(16), bytes(32))
    with pytest.raises(NoSuchRoom):
        surgery.patient().look(code)


def test_frames_are_followed_through_streams_that_end(surgery: Surgery, room: DoctorRoom) -> None:
    reader = Mailbox(surgery.channel, room.code.room_id, pb.DIRECTION_TO_PATIENT, stream_seconds=0.2)
    writer = onlooker(surgery, room, pb.DIRECTION_TO_DOCTOR)
    sent = [RelayFrame(refusal=SessionRefusal(session_id=bytes(16), sent_at=at)) for at in range(1, 4)]
    found = []
    writer.put(sent[0])
    for frame in reader.follow(seconds=SECONDS):
        found.append(frame)
        if len(found) == len(sent):
            break
        threading.Timer(0.7, writer.put, [sent[len(found)]]).start()
    assert found == sent


def test_frame_put_again_after_a_lost_answer_is_taken_once(surgery: Surgery, room: DoctorRoom) -> None:
    frame = RelayFrame(refusal=SessionRefusal(session_id=bytes(16), sent_at=1))
    for _ in range(2):
        onlooker(surgery, room, pb.DIRECTION_TO_DOCTOR).put(frame)
    assert len(list(onlooker(surgery, room, pb.DIRECTION_TO_PATIENT).follow(seconds=0.5))) == 1
