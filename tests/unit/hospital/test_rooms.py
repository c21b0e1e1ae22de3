"""The relay's rooms, called without a port: what is malformed is told as such, and nobody is served without a list."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from federation.errors import FieldInvalid, MissingField, StaleRevocationList
from federation.hospital.relay import close_room, get_room, open_room, put_frame
from federation.hospital.services import Hospital
from federation.protocol.consultation import ask_for_room
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


def test_room_of_a_hospital_that_has_heard_no_list_is_refused_stale_revocation_list(lab: HospitalLab) -> None:
    request = GetRoomRequest(room_id=opened(lab))
    unhearing = replace(lab.hospital, member=lab.federation.new_member("H:alpha", lab.keys))
    with pytest.raises(StaleRevocationList):
        get_room(unhearing, request)
