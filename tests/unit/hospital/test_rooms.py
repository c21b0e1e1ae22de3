"""The relay's rooms, called without a port: what is malformed is told as such, and nobody is served without a list."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from federation.errors import (
    CertificateRevoked,
    CredentialExpired,
    FieldInvalid,
    MissingField,
    Rejected,
    StaleRevocationList,
)
from federation.hospital.relay import close_room, get_room, open_room, put_frame, require_room
from federation.hospital.services import Held, Hospital
from federation.protocol.parties import reason_of
from federation.protocol.room_requests import ask_for_room
from federation.protocol.verifier import Verifier
from federation.store.inspection import Survey
from federation.v1.consultation_pb2 import (
    DIRECTION_TO_DOCTOR,
    CloseRoomRequest,
    GetRoomRequest,
    PutFrameRequest,
    RelayFrame,
)
from federation.v1.envelope_pb2 import SessionRefusal
from tests.hospital_lab import HospitalLab

SHORT = b"no room's number"[:15]
FRAME = RelayFrame(refusal=SessionRefusal(session_id=bytes(16), sent_at=1))


def opened(lab: HospitalLab) -> bytes:
    federation = lab.federation
    party = federation.party(federation.doctor)
    request = ask_for_room(party, "H:alpha", now=federation.clock.now, entropy=federation.entropy)
    return open_room(lab.hospital, request).room_id


@pytest.mark.parametrize(
    "call",
    [
        lambda hospital: get_room(hospital, GetRoomRequest(room_id=SHORT)),
        lambda hospital: close_room(hospital, CloseRoomRequest(room_id=SHORT, signature=bytes(64))),
        lambda hospital: put_frame(
            hospital, PutFrameRequest(room_id=SHORT, direction=DIRECTION_TO_DOCTOR, number=0, frame=FRAME)
        ),
    ],
    ids=["get", "close", "put"],
)
def test_number_that_no_room_can_have_is_refused_field_invalid(
    lab: HospitalLab, call: Callable[[Hospital], object]
) -> None:
    with pytest.raises(FieldInvalid):
        call(lab.hospital)


def test_frame_that_holds_nothing_is_refused_missing_field(lab: HospitalLab) -> None:
    request = PutFrameRequest(room_id=opened(lab), direction=DIRECTION_TO_DOCTOR, number=0, frame=RelayFrame())
    with pytest.raises(MissingField):
        put_frame(lab.hospital, request)


def test_room_asked_for_by_a_message_played_again_is_refused_message_replayed_and_not_opened(lab: HospitalLab) -> None:
    federation = lab.federation
    party = federation.party(federation.doctor)
    request = ask_for_room(party, "H:alpha", now=federation.clock.now, entropy=federation.entropy)
    open_room(lab.hospital, request)
    with pytest.raises(Rejected) as refused:
        open_room(lab.hospital, request)
    assert reason_of(refused.value) == "MESSAGE_REPLAYED"
    assert Survey(lab.database).rooms_open(now=federation.clock.now) == 1


def put(lab: HospitalLab, room_id: bytes, number: int) -> None:
    request = PutFrameRequest(room_id=room_id, direction=DIRECTION_TO_DOCTOR, number=number, frame=FRAME)
    put_frame(lab.hospital, request)


def test_doctor_of_a_room_is_verified_once_under_one_list_and_again_under_another(
    lab: HospitalLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified, doctor = list[int](), Verifier.doctor
    monkeypatch.setattr(
        Verifier, "doctor", lambda self, *args, **named: verified.append(1) or doctor(self, *args, **named)
    )
    room_id = opened(lab)
    verified.clear()
    for number in range(3):
        put(lab, room_id, number)
    assert len(verified) == 1
    lab.federation.clock.advance(timedelta(minutes=1))
    lab.federation.refresh()
    put(lab, room_id, 3)
    assert len(verified) == 2


def test_doctor_of_a_room_whose_certificate_is_revoked_puts_no_further_frame(lab: HospitalLab) -> None:
    room_id = opened(lab)
    put(lab, room_id, 0)
    lab.federation.revoke_certificate(lab.hospital.member)
    with pytest.raises(CertificateRevoked):
        put(lab, room_id, 1)


@pytest.mark.parametrize("moment", [-1, 0], ids=["before it held", "when it ends"])
def test_what_is_remembered_of_a_doctor_says_nothing_of_another_time(lab: HospitalLab, moment: int) -> None:
    room_id = opened(lab)
    put(lab, room_id, 0)
    lab.hospital.room_doctors.forget()
    now = lab.federation.clock.now
    short = Held(now + 1, now + 9) if moment < 0 else Held(now - 9, now)
    room = require_room(lab.hospital, room_id)
    lists, bundle = lab.hospital.member.verifier().lists, lab.hospital.member.trust.newest()
    exactly = room.key_statement, room.doctor_certificate, lists.sequence, bundle.sequence
    lab.hospital.room_doctors.of(exactly, lambda: short)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Verifier, "doctor", refuse)
        with pytest.raises(CredentialExpired):
            put(lab, room_id, 1)


def refuse(*_: object, **__: object) -> None:
    raise CredentialExpired("outside its validity")


def test_room_of_a_hospital_that_has_heard_no_list_is_refused_stale_revocation_list(lab: HospitalLab) -> None:
    request = GetRoomRequest(room_id=opened(lab))
    unhearing = replace(lab.hospital, member=lab.federation.new_member("H:alpha", lab.keys))
    with pytest.raises(StaleRevocationList):
        get_room(unhearing, request)
