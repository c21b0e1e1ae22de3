"""The roster, as doctors and patients meet it: rooms, duties and deposits of who is on duty, and the end of a shift."""

import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from federation.errors import (
    CredentialRevoked,
    DutyExpired,
    DutyMissing,
    FederationError,
    FieldInvalid,
    NotOnDuty,
    SignatureInvalid,
    StaleMessage,
)
from federation.protocol.access import ToDepartment, ToHospital, Validity
from federation.protocol.anchors import statement_entry
from federation.protocol.consent import Shift, make_duty, peek_duty
from federation.protocol.consultation import (
    check_duty,
    check_room,
    code_digest,
)
from federation.protocol.duty import ask_for_duty, duty_transcript, verify_duty
from federation.protocol.frames import SLICE_BYTES
from federation.protocol.record import Received, Slice
from federation.protocol.room_requests import ask_for_room
from federation.protocol.shown import Shown
from federation.v1.access_pb2 import ShownDuty
from federation.v1.consultation_pb2 import (
    DIRECTION_TO_DOCTOR,
    DIRECTION_TO_PATIENT,
    FollowFramesRequest,
    GetRoomRequest,
    OpenRoomResponse,
    PutFrameRequest,
    RelayFrame,
)
from federation.v1.consultation_pb2_grpc import RelayServiceStub
from federation.v1.envelope_pb2 import SessionRefusal
from federation.v1.record_pb2 import GetDutyRequest
from federation.v1.record_pb2_grpc import RecordServiceStub
from federation.wire.status import from_rpc_error
from tests.e2e.hospital.records import nothing_is_kept
from tests.grants import wide
from tests.hospital_lab import JOHNNIE, OWN_CLASSES, Client, HospitalLab, Session, ecg, encounter_of, report
from tests.waiting import until

PATIENCE = 60.0
DAY = timedelta(days=1)


def refused(call: Callable[[], object]) -> FederationError:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return from_rpc_error(error.value)


def open_room(lab: HospitalLab, client: Client) -> OpenRoomResponse:
    federation = lab.federation
    party = federation.party(federation.doctor)
    request = ask_for_room(party, "H:alpha", now=federation.clock.now, entropy=federation.entropy)
    return RelayServiceStub(client.channel).OpenRoom(request, timeout=PATIENCE)


def duty_request(lab: HospitalLab, hospital_id: str = "H:alpha") -> GetDutyRequest:
    federation = lab.federation
    party = federation.party(federation.doctor)
    return ask_for_duty(party, hospital_id, now=federation.clock.now, entropy=federation.entropy)


def get_duty(client: Client, request: GetDutyRequest) -> ShownDuty:
    return RecordServiceStub(client.channel).GetDuty(request, timeout=PATIENCE).duty


def only_shift(lab: HospitalLab, *classes: str, lasts: timedelta = timedelta(hours=12)) -> bytes:
    """Leave the doctor with one shift, from now; give its id."""
    lab.off_duty()
    (shift,) = lab.on_duty("D:chen", *classes, lasts=lasts)
    return shift.shift_id


class Followers:
    """Both sides of a room, each following it; what each is told when it ends."""

    def __init__(self, client: Client, room_id: bytes) -> None:
        self._stub = RelayServiceStub(client.channel)
        self._told: queue.SimpleQueue[type] = queue.SimpleQueue()
        for direction in (DIRECTION_TO_DOCTOR, DIRECTION_TO_PATIENT):
            frame = RelayFrame(refusal=SessionRefusal(session_id=bytes(16), sent_at=1_700_000_000_000))
            put = PutFrameRequest(room_id=room_id, direction=direction, number=0, frame=frame)
            self._stub.PutFrame(put, timeout=PATIENCE)
            followed = self._stub.FollowFrames(
                FollowFramesRequest(room_id=room_id, direction=direction, from_number=0), timeout=PATIENCE
            )
            assert next(followed).number == 0
            threading.Thread(target=self._follow, args=(followed,), daemon=True).start()

    def _follow(self, followed) -> None:
        try:
            next(followed)
        except grpc.RpcError as error:
            self._told.put(type(from_rpc_error(error)))

    def told(self) -> set[type]:
        """What both are told while they follow."""
        return {self._told.get(timeout=PATIENCE) for _ in range(2)}


def test_room_comes_with_the_doctors_duty_and_the_patient_is_shown_it(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    shift_id = only_shift(lab, "cardiology")
    opened = open_room(lab, client)
    assert peek_duty(opened.duty).id == shift_id
    served = RelayServiceStub(client.channel).GetRoom(GetRoomRequest(room_id=opened.room_id), timeout=PATIENCE)
    statement = served.key_statement
    code = code_digest(statement.statement, statement.signature, served.doctor_certificate)
    verifier, now = federation.patient.verifier(), federation.clock.now
    doctor = check_room(served, code, verifier, now=now)
    duty = check_duty(served, doctor, "H:alpha", verifier, now=now)
    assert (duty.id, duty.department_classes) == (shift_id, ("cardiology",))


def test_room_is_refused_off_duty_and_the_same_request_is_taken_on_duty_not_on_duty(
    lab: HospitalLab, client: Client
) -> None:
    federation = lab.federation
    lab.off_duty()
    party, relay = federation.party(federation.doctor), RelayServiceStub(client.channel)
    request = ask_for_room(party, "H:alpha", now=federation.clock.now, entropy=federation.entropy)
    assert isinstance(refused(lambda: relay.OpenRoom(request, timeout=PATIENCE)), NotOnDuty)
    assert lab.reasons == ["NOT_ON_DUTY"]
    lab.on_duty("D:chen")
    relay.OpenRoom(request, timeout=PATIENCE)


def test_room_is_refused_before_a_shift_begins_and_when_it_is_over_not_on_duty(
    lab: HospitalLab, client: Client
) -> None:
    lab.off_duty()
    lab.on_duty("D:chen", begins=timedelta(minutes=10), lasts=timedelta(minutes=10))
    assert isinstance(refused(lambda: open_room(lab, client)), NotOnDuty)
    lab.federation.clock.advance(timedelta(minutes=10))
    open_room(lab, client)
    lab.federation.clock.advance(timedelta(minutes=10))
    assert isinstance(refused(lambda: open_room(lab, client)), NotOnDuty)


def end_by_hand(lab: HospitalLab) -> None:
    lab.off_duty()


def end_by_itself(lab: HospitalLab) -> None:
    lab.federation.clock.advance(timedelta(minutes=10))


@pytest.mark.parametrize("end", [end_by_hand, end_by_itself])
def test_room_closes_to_both_sides_within_two_seconds_of_the_end_of_duty_not_on_duty(
    lab: HospitalLab, client: Client, end: Callable[[HospitalLab], None]
) -> None:
    only_shift(lab, lasts=timedelta(minutes=10))
    room_id, relay = open_room(lab, client).room_id, RelayServiceStub(client.channel)
    followers = Followers(client, room_id)
    end(lab)
    assert followers.told() == {NotOnDuty}
    frame = RelayFrame(refusal=SessionRefusal(session_id=bytes(16), sent_at=lab.federation.clock.now))
    put = PutFrameRequest(room_id=room_id, direction=DIRECTION_TO_DOCTOR, number=1, frame=frame)
    for call in (
        lambda: relay.PutFrame(put, timeout=PATIENCE),
        lambda: relay.GetRoom(GetRoomRequest(room_id=room_id), timeout=PATIENCE),
        lambda: next(
            relay.FollowFrames(
                FollowFramesRequest(room_id=room_id, direction=DIRECTION_TO_DOCTOR, from_number=0), timeout=PATIENCE
            )
        ),
    ):
        assert isinstance(refused(call), NotOnDuty)


def test_room_goes_on_from_one_shift_to_the_next_and_shows_the_duty_of_now(lab: HospitalLab, client: Client) -> None:
    first = only_shift(lab, "cardiology", lasts=timedelta(hours=1))
    (second,) = lab.on_duty("D:chen", "neurology", begins=timedelta(hours=1), lasts=timedelta(hours=1))
    relay, opened = RelayServiceStub(client.channel), open_room(lab, client)
    assert peek_duty(opened.duty).id == first
    lab.federation.clock.advance(timedelta(hours=1))
    lab.federation.refresh()
    served = relay.GetRoom(GetRoomRequest(room_id=opened.room_id), timeout=PATIENCE)
    assert peek_duty(served.duty).id == second.shift_id


def test_duty_is_stated_to_its_doctor_and_is_the_same_however_often_it_is_asked_for(
    lab: HospitalLab, client: Client
) -> None:
    federation = lab.federation
    shift_id = only_shift(lab, *OWN_CLASSES)
    shown = get_duty(client, duty_request(lab))
    own = federation.party(federation.doctor).self_
    duty = verify_duty(shown, own, "H:alpha", federation.doctor.verifier(), now=federation.clock.now)
    assert duty.id == shift_id
    assert get_duty(client, duty_request(lab)) == shown == open_room(lab, client).duty
    stated = [it.event for it in lab.hospital.audit.entries() if it.event.kind == "DUTY-STATED"]
    assert len(stated) == 1


def test_of_several_shifts_the_one_in_most_departments_is_stated_then_the_longest(
    lab: HospitalLab, client: Client
) -> None:
    only_shift(lab, "cardiology", lasts=timedelta(hours=20))
    (both,) = lab.on_duty("D:chen", *OWN_CLASSES, lasts=timedelta(hours=2))
    assert peek_duty(get_duty(client, duty_request(lab))).id == both.shift_id
    (longer,) = lab.on_duty("D:chen", *OWN_CLASSES, lasts=timedelta(hours=3))
    assert peek_duty(get_duty(client, duty_request(lab))).id == longer.shift_id


def test_duty_is_stated_anew_under_the_hospitals_next_credential(own_federation, tmp_path: Path) -> None:
    with HospitalLab(own_federation, tmp_path) as lab, lab.serving() as client:
        before = get_duty(client, duty_request(lab))
        own_federation.clock.advance(timedelta(hours=1))
        own_federation.renew(own_federation.hospital_a)
        own_federation.refresh()
        after = get_duty(client, duty_request(lab))
        assert peek_duty(after) == peek_duty(before)
        assert after != before
        own, now = own_federation.party(own_federation.doctor).self_, own_federation.clock.now
        verify_duty(after, own, "H:alpha", own_federation.doctor.verifier(), now=now)


def test_duty_asked_for_by_a_faulty_request_is_refused_field_invalid(lab: HospitalLab, client: Client) -> None:
    request = duty_request(lab)
    request.nonce = b"short"
    assert isinstance(refused(lambda: get_duty(client, request)), FieldInvalid)


def test_duty_asked_for_long_ago_is_refused_stale(lab: HospitalLab, client: Client) -> None:
    request = duty_request(lab)
    lab.federation.clock.advance(timedelta(minutes=10))
    assert isinstance(refused(lambda: get_duty(client, request)), StaleMessage)


def test_duty_of_a_revoked_doctor_is_refused_credential_revoked(lab: HospitalLab, client: Client) -> None:
    request = duty_request(lab)
    lab.federation.revoke(lab.federation.doctor)
    assert isinstance(refused(lambda: get_duty(client, request)), CredentialRevoked)


def test_duty_asked_of_another_hospital_or_by_another_is_refused_signature_invalid(
    lab: HospitalLab, client: Client
) -> None:
    assert isinstance(refused(lambda: get_duty(client, duty_request(lab, "H:beta"))), SignatureInvalid)
    forged = duty_request(lab)
    other = lab.federation.other_doctor.keys.signing_key
    forged.signature = other.sign(duty_transcript(forged, "D:chen", "H:alpha"))
    assert isinstance(refused(lambda: get_duty(client, forged)), SignatureInvalid)


def test_duty_of_a_doctor_who_is_not_on_the_roster_is_refused_not_on_duty(lab: HospitalLab, client: Client) -> None:
    lab.off_duty()
    assert isinstance(refused(lambda: get_duty(client, duty_request(lab))), NotOnDuty)


def test_duty_that_the_list_takes_back_is_not_stated_again_by_a_restored_roster_not_on_duty(
    lab: HospitalLab, client: Client
) -> None:
    """A backup from before the shift was ended says that it goes on."""
    shift_id = only_shift(lab)
    get_duty(client, duty_request(lab))
    lab.federation.cloud.revoked_statements.append(statement_entry("duty", "H:alpha", shift_id))
    lab.federation.refresh()
    assert isinstance(refused(lambda: get_duty(client, duty_request(lab))), NotOnDuty)


def deposit_with(lab: HospitalLab, client: Client, duty: ShownDuty) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    encounter.deposit.access.consent.duty.CopyFrom(duty)
    client.deposit(replace(encounter, intent=replace(encounter.intent, shown=Shown.of(encounter.deposit))))


def of_another_hospital(lab: HospitalLab) -> ShownDuty:
    return lab.federation.duty(hospital=lab.federation.hospital_b)


def of_another_doctor(lab: HospitalLab) -> ShownDuty:
    return lab.federation.duty(lab.federation.other_doctor)


def of_no_roster(lab: HospitalLab) -> ShownDuty:
    """By the hospital's own key, as who stole it would state one."""
    federation, now = lab.federation, lab.federation.clock.now
    hospital, doctor = federation.party(federation.hospital_a), federation.party(federation.doctor).self_
    shift = Shift(federation.entropy(16), doctor.identity, OWN_CLASSES, Validity(now, now + 3_600_000))
    return ShownDuty(duty=make_duty(hospital, shift, doctor.verifying_key), key_statement=hospital.self_.key_statement)


def that_was_ended(lab: HospitalLab) -> ShownDuty:
    duty = lab.federation.duty()
    lab.off_duty()
    lab.on_duty("D:chen", *OWN_CLASSES)  # whoever is on duty again shows the duty of now
    return duty


@pytest.mark.parametrize(
    ("make", "told", "reason"),
    [
        (of_another_hospital, DutyMissing, "DUTY_INVALID"),
        (of_another_doctor, DutyMissing, "DUTY_INVALID"),
        (of_no_roster, DutyExpired, "DUTY_REVOKED"),
        (that_was_ended, DutyExpired, "DUTY_REVOKED"),
    ],
)
def test_deposit_with_a_duty_that_is_not_this_doctors_here_now_is_refused(
    lab: HospitalLab,
    client: Client,
    make: Callable[[HospitalLab], ShownDuty],
    told: type[FederationError],
    reason: str,
) -> None:
    duty = make(lab)
    with pytest.raises(told):
        deposit_with(lab, client, duty)
    assert lab.reasons == [reason]
    assert nothing_is_kept(lab)


def test_deposit_with_yesterdays_duty_is_refused_duty_over(lab: HospitalLab, client: Client) -> None:
    yesterdays = lab.federation.duty()
    lab.federation.clock.advance(DAY)
    lab.federation.refresh()
    with pytest.raises(DutyExpired):
        deposit_with(lab, client, yesterdays)
    assert lab.reasons == ["DUTY_EXPIRED"]


def test_department_grant_reads_for_those_on_duty_there_and_nobody_else(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    lab.import_files()
    only_shift(lab, "cardiology")
    there = federation.grant(grantee=ToDepartment("H:alpha", "cardiology"))
    client.read(federation.intent(there))
    elsewhere = federation.grant(grantee=ToDepartment("H:alpha", "neurology"))
    with pytest.raises(DutyMissing):
        client.read(federation.intent(elsewhere))
    ended = federation.intent(there)
    lab.off_duty()
    with pytest.raises(DutyExpired):
        client.read(ended)
    until(lambda: len(lab.reasons) == 4)
    assert lab.reasons == ["BEGUN", "OK", "DUTY_INVALID", "DUTY_REVOKED"]


def test_doctors_own_grant_reads_whatever_became_of_the_duty_beside_it(lab: HospitalLab, client: Client) -> None:
    lab.import_files()
    intent = lab.federation.intent(lab.federation.grant())
    lab.off_duty()
    client.read(intent)


def take_all(lab: HospitalLab, session: Session, state) -> None:
    piece: object = None
    while not isinstance(piece, Received):
        frame = session.receive().frame
        state, piece = state.receive(frame, lab.federation.doctor.verifier(), now=lab.federation.clock.now)


def test_record_under_way_by_a_hospitals_grant_ends_with_the_outcome_when_the_duty_ends(
    lab: HospitalLab, client: Client, tmp_path: Path
) -> None:
    federation = lab.federation
    scan = tmp_path / "scan.bin"
    scan.write_bytes(bytes(120 * SLICE_BYTES))
    lab.import_files(JOHNNIE, "P:wang", "H:alpha/cardiology", scan)
    intent = federation.intent(federation.grant(wide(), grantee=ToHospital("H:alpha")))
    with client.session() as session:
        state, frame = client.establish(session, intent).query(now=federation.clock.now)
        session.send(frame=frame)

        state, piece = state.receive(session.receive().frame, federation.doctor.verifier(), now=federation.clock.now)
        assert isinstance(piece, Slice)
        lab.off_duty()
        until(lambda: lab.reasons == ["BEGUN", "DUTY_REVOKED"], seconds=PATIENCE)
        with pytest.raises(DutyExpired):
            take_all(lab, session, state)
