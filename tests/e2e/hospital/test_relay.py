"""The relay of a hospital: rooms for its doctors, and frames that arrive once and in order."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import grpc
import pytest

from federation.errors import (
    CertificateRevoked,
    Conflict,
    FieldInvalid,
    Limit,
    NoSuchRoom,
    OutOfOrder,
    Rejected,
    SignatureInvalid,
)
from federation.hospital.relay import MOST_ROOMS_PER_DOCTOR
from federation.protocol.room_requests import ask_for_room, room_transcript
from federation.v1.consultation_pb2 import (
    DIRECTION_TO_DOCTOR,
    DIRECTION_TO_PATIENT,
    FollowFramesRequest,
    GetRoomRequest,
    PutFrameRequest,
    RelayFrame,
)
from federation.v1.consultation_pb2_grpc import RelayServiceStub
from federation.v1.envelope_pb2 import SessionRefusal
from federation.wire.status import from_rpc_error
from tests.hospital_lab import Client, HospitalLab
from tests.simulator import Federation


def refused(call: Callable[[], object]) -> Exception:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return from_rpc_error(error.value)


def frame_of(number: int) -> RelayFrame:
    return RelayFrame(refusal=SessionRefusal(session_id=number.to_bytes(16, "big"), sent_at=number))


def open_room(federation: Federation, client: Client) -> bytes:
    request = ask_for_room(
        federation.party(federation.doctor), "H:alpha", now=federation.clock.now, entropy=federation.entropy
    )
    return RelayServiceStub(client.channel).OpenRoom(request, timeout=60).room_id


def follow(client: Client, room_id: bytes, *, from_number: int = 0):
    request = FollowFramesRequest(room_id=room_id, direction=DIRECTION_TO_DOCTOR, from_number=from_number)
    return RelayServiceStub(client.channel).FollowFrames(request, timeout=10)


def test_a_room_serves_its_doctors_statements_and_the_lists(lab: HospitalLab, client: Client) -> None:
    room_id = open_room(lab.federation, client)
    room = RelayServiceStub(client.channel).GetRoom(GetRoomRequest(room_id=room_id), timeout=60)
    party = lab.federation.party(lab.federation.doctor)
    assert room.key_statement == party.self_.key_statement
    assert room.doctor_certificate == party.certificate
    assert room.encryption_key_statement == party.encryption_key_statement
    assert room.certificate_revocation_list == lab.federation.authority.crl()
    lab.federation.patient.verifier().doctor(room.key_statement, room.doctor_certificate, now=lab.federation.clock.now)


def test_frames_arrive_in_order_as_they_are_put(lab: HospitalLab, client: Client) -> None:
    relay = RelayServiceStub(client.channel)
    room = open_room(lab.federation, client)
    followed = follow(client, room)
    for number in range(6):
        request = PutFrameRequest(room_id=room, direction=DIRECTION_TO_DOCTOR, number=number, frame=frame_of(number))
        relay.PutFrame(request, timeout=60)
        relay.PutFrame(request, timeout=60)  # the same again is taken once
        answer = next(followed)
        assert (answer.number, answer.frame) == (number, frame_of(number))
    followed.cancel()
    later = follow(client, room, from_number=4)
    assert [next(later).number, next(later).number] == [4, 5]
    later.cancel()


def test_a_frame_that_another_process_put_is_found_by_looking(lab: HospitalLab, client: Client) -> None:
    room = open_room(lab.federation, client)
    request = FollowFramesRequest(room_id=room, direction=DIRECTION_TO_PATIENT, from_number=0)
    followed = RelayServiceStub(client.channel).FollowFrames(request, timeout=10)
    frame = frame_of(7).SerializeToString(deterministic=True)
    lab.hospital.stores.rooms.put_frame(
        room, DIRECTION_TO_PATIENT, 0, frame, now=lab.federation.clock.now, most_bytes=10_000
    )
    assert next(followed).frame == frame_of(7)
    followed.cancel()


def test_frames_out_of_order_or_different_are_refused(lab: HospitalLab, client: Client) -> None:
    relay = RelayServiceStub(client.channel)
    room = open_room(lab.federation, client)

    def put(number: int, content: int) -> object:
        frame = frame_of(content)
        request = PutFrameRequest(room_id=room, direction=DIRECTION_TO_DOCTOR, number=number, frame=frame)
        return relay.PutFrame(request, timeout=60)

    put(0, 1)
    assert isinstance(refused(lambda: put(0, 2)), Conflict)
    assert isinstance(refused(lambda: put(2, 2)), OutOfOrder)
    assert isinstance(refused(lambda: put(5_000, 2)), Limit)


def test_an_expired_or_unknown_room_is_refused_no_such_room(lab: HospitalLab, client: Client) -> None:
    relay = RelayServiceStub(client.channel)
    room = open_room(lab.federation, client)
    followed = follow(client, room)
    lab.federation.clock.advance(timedelta(hours=12, seconds=1))
    assert isinstance(refused(lambda: next(followed)), NoSuchRoom)
    for request in (GetRoomRequest(room_id=room), GetRoomRequest(room_id=b"r" * 16)):
        assert isinstance(refused(partial(relay.GetRoom, request, timeout=60)), NoSuchRoom)


def test_a_room_is_opened_for_its_signer_alone(lab: HospitalLab, client: Client) -> None:
    federation = lab.federation
    relay = RelayServiceStub(client.channel)

    def ask(hospital_id: str = "H:alpha"):
        party = federation.party(federation.doctor)
        return ask_for_room(party, hospital_id, now=federation.clock.now, entropy=federation.entropy)

    assert isinstance(refused(lambda: relay.OpenRoom(ask("H:beta"), timeout=60)), SignatureInvalid)
    forged = ask()
    forged.signature = federation.other_doctor.keys.signing_key.sign(room_transcript(forged, "D:chen", "H:alpha"))
    assert isinstance(refused(lambda: relay.OpenRoom(forged, timeout=60)), SignatureInvalid)
    once = ask()
    relay.OpenRoom(once, timeout=60)
    assert isinstance(refused(lambda: relay.OpenRoom(once, timeout=60)), Rejected)
    assert lab.reasons[-1] == "MESSAGE_REPLAYED"
    federation.authority.revoke(federation.doctor.certificate)
    unknowing = ask()
    federation.refresh()
    assert isinstance(refused(lambda: relay.OpenRoom(unknowing, timeout=60)), CertificateRevoked)


def test_a_doctor_has_a_bounded_number_of_rooms(lab: HospitalLab, client: Client) -> None:
    for _ in range(MOST_ROOMS_PER_DOCTOR):
        open_room(lab.federation, client)
    assert isinstance(refused(lambda: open_room(lab.federation, client)), Limit)


def test_follower_of_a_number_that_no_room_can_have_is_refused_field_invalid(client: Client) -> None:
    assert isinstance(refused(lambda: next(follow(client, b"short"))), FieldInvalid)
