"""Attacks on the relay: rooms filled, rooms hoarded, rooms closed by others. What is hit is one room; the rest goes on."""

import threading
import time
from dataclasses import replace

import grpc
import pytest

from federation.errors import FederationError, Limit, NoSuchRoom, SignatureInvalid
from federation.hospital import rpc
from federation.hospital.relay import MOST_FRAMES, MOST_ROOM_BYTES, MOST_ROOMS_PER_DOCTOR
from federation.protocol.room_requests import ask_for_room, ask_to_close
from federation.v1.consultation_pb2 import (
    DIRECTION_TO_DOCTOR,
    CloseRoomRequest,
    FollowFramesRequest,
    GetRoomRequest,
    PutFrameRequest,
    RelayFrame,
)
from federation.v1.consultation_pb2_grpc import RelayServiceStub
from federation.v1.envelope_pb2 import SessionFrame
from federation.wire.status import from_rpc_error
from tests.hospital_lab import Client, HospitalLab
from tests.simulator import Federation

LARGEST = 1_048_576 + 16


@pytest.fixture
def relay(client: Client) -> RelayServiceStub:
    return RelayServiceStub(client.channel)


def refused(call) -> FederationError | None:
    """Call, and give the refusal, if it is refused."""
    try:
        call()
    except grpc.RpcError as error:
        return from_rpc_error(error)
    return None


def opened(federation: Federation, relay: RelayServiceStub, doctor=None) -> bytes:
    party = federation.party(doctor or federation.doctor)
    request = ask_for_room(party, "H:alpha", now=federation.clock.now, entropy=federation.entropy)
    return relay.OpenRoom(request, timeout=60).room_id


def frame(number: int, size: int = 16) -> RelayFrame:
    content = SessionFrame(
        session_id=bytes(16), sequence=number, last=False, sent_at=1_700_000_000_000, sealed=b"x" * size
    )
    return RelayFrame(frame=content)


def put(relay: RelayServiceStub, room_id: bytes, number: int, size: int = 16) -> None:
    request = PutFrameRequest(room_id=room_id, direction=DIRECTION_TO_DOCTOR, number=number, frame=frame(number, size))
    relay.PutFrame(request, timeout=10)


def is_too_fast(refusal: FederationError) -> bool:
    return "too many calls from there" in "".join(refusal.__notes__)


def fill(relay: RelayServiceStub, room_id: bytes, size: int) -> tuple[int, FederationError | None]:
    """Put frames of a size until one is refused; give how many were taken, and the refusal."""
    for number in range(MOST_FRAMES + 1):
        while (refusal := refused(lambda number=number: put(relay, room_id, number, size))) and is_too_fast(refusal):
            time.sleep(0.05)
        if refusal is not None:
            return number, refusal
    return MOST_FRAMES + 1, None


@pytest.mark.parametrize("size", [LARGEST, 16])
def test_room_filled_by_a_stranger_is_full_and_the_others_go_on(
    lab: HospitalLab, relay: RelayServiceStub, size: int
) -> None:
    """Whoever saw a doctor's code fills the room, with few large frames or many small ones, while another visit is on."""
    hit, other = opened(lab.federation, relay), opened(lab.federation, relay)
    filled: list[tuple[int, FederationError | None]] = []
    filler = threading.Thread(target=lambda: filled.append(fill(relay, hit, size)))
    filler.start()
    request = FollowFramesRequest(room_id=other, direction=DIRECTION_TO_DOCTOR, from_number=0)
    followed = relay.FollowFrames(request, timeout=30)
    for number in range(5):
        put(relay, other, number)
        assert next(followed).number == number
    followed.cancel()
    filler.join(60)
    taken, refusal = filled[0]
    assert isinstance(refusal, Limit)
    assert taken <= min(MOST_FRAMES, MOST_ROOM_BYTES // size)
    assert (lab.directory / "store.sqlite").stat().st_size < 2 * MOST_ROOM_BYTES
    put(relay, other, 5)
    relay.CloseRoom(ask_to_close(lab.federation.party(lab.federation.doctor), "H:alpha", hit), timeout=10)
    assert lab.hospital.stores.rooms.frames(hit, DIRECTION_TO_DOCTOR, from_number=0, limit=1) == []


def test_frames_come_no_faster_than_one_caller_may_put_them_into_a_room(
    lab: HospitalLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small frames, and the same one again and again: each is a transaction of the hospital's.

    The bound is lowered to what any machine is faster than.
    """
    monkeypatch.setattr(rpc, "FRAMES_PER_SECOND", 0.1)
    monkeypatch.setattr(rpc, "FRAMES_AT_ONCE", 8)
    with lab.serving() as client:
        relay = RelayServiceStub(client.channel)
        hit, other = opened(lab.federation, relay), opened(lab.federation, relay)
        for _ in range(8):
            put(relay, hit, 0)
        refusal = refused(lambda: put(relay, hit, 0))
        put(relay, other, 0)
    assert isinstance(refusal, Limit)
    assert is_too_fast(refusal)


def test_rooms_together_hold_what_the_hospital_has_room_for(lab: HospitalLab) -> None:
    """Doctors who conspire open 64 rooms each, and fill every one to its own bound."""
    lab.hospital = replace(lab.hospital, most_relay_bytes=3 * LARGEST)
    with lab.serving() as client:
        relay = RelayServiceStub(client.channel)
        rooms = [opened(lab.federation, relay) for _ in range(MOST_ROOMS_PER_DOCTOR)]
        # No room is near its own bound when the last frame of these comes; what all hold is looked at once a second.
        puts = ((room, number) for number in range(MOST_ROOM_BYTES // LARGEST - 1) for room in rooms)
        refusals = (
            refused(lambda room=room, number=number: put(relay, room, number, LARGEST)) for room, number in puts
        )
        refusal = next(refusal for refusal in refusals if refusal is not None)
    assert isinstance(refusal, Limit)
    assert "the rooms of this hospital hold no more" in "".join(refusal.__notes__)


def test_doctor_who_hoards_rooms_is_refused_limit_reached_and_closing_one_makes_room(
    lab: HospitalLab, relay: RelayServiceStub
) -> None:
    """A doctor opens rooms without end; another doctor still gets one."""
    federation = lab.federation
    rooms = [opened(federation, relay) for _ in range(MOST_ROOMS_PER_DOCTOR)]
    assert isinstance(refused(lambda: opened(federation, relay)), Limit)
    opened(federation, relay, federation.other_doctor)
    relay.CloseRoom(ask_to_close(federation.party(federation.doctor), "H:alpha", rooms[0]), timeout=60)
    opened(federation, relay)


def test_room_closed_by_anybody_but_its_doctor_is_refused_signature_invalid(
    lab: HospitalLab, relay: RelayServiceStub
) -> None:
    """Another doctor closes the room; so does one who holds the doctor's signature for another room, or another hospital."""
    federation = lab.federation
    room_id, own = opened(federation, relay), federation.party(federation.doctor)
    elsewhere = ask_to_close(own, "H:alpha", b"x" * 16)
    for request in (
        ask_to_close(federation.party(federation.other_doctor), "H:alpha", room_id),
        ask_to_close(own, "H:beta", room_id),
        CloseRoomRequest(room_id=room_id, signature=elsewhere.signature),
        CloseRoomRequest(room_id=room_id, signature=bytes(64)),
    ):
        assert isinstance(refused(lambda request=request: relay.CloseRoom(request, timeout=60)), SignatureInvalid)
    relay.GetRoom(GetRoomRequest(room_id=room_id), timeout=60)


def test_room_that_is_closed_is_gone_for_everybody_no_such_room(lab: HospitalLab, relay: RelayServiceStub) -> None:
    federation = lab.federation
    room_id = opened(federation, relay)
    put(relay, room_id, 0)
    followed = relay.FollowFrames(
        FollowFramesRequest(room_id=room_id, direction=DIRECTION_TO_DOCTOR, from_number=0), timeout=30
    )
    assert next(followed).number == 0
    request = ask_to_close(federation.party(federation.doctor), "H:alpha", room_id)
    relay.CloseRoom(request, timeout=60)
    assert isinstance(refused(lambda: next(followed)), NoSuchRoom)
    for call in (
        lambda: relay.CloseRoom(request, timeout=60),
        lambda: relay.GetRoom(GetRoomRequest(room_id=room_id), timeout=60),
        lambda: put(relay, room_id, 1),
    ):
        assert isinstance(refused(call), NoSuchRoom)


def test_room_that_expired_goes_with_its_frames_although_nobody_opens_another(
    lab: HospitalLab, relay: RelayServiceStub
) -> None:
    room_id = opened(lab.federation, relay)
    put(relay, room_id, 0)
    rooms = lab.hospital.stores.rooms
    assert rooms.sweep(now=lab.federation.clock.now) == 0
    later = rooms.get(room_id, now=lab.federation.clock.now).expires_at + 1
    assert rooms.sweep(now=later) == 1
    assert rooms.frames(room_id, DIRECTION_TO_DOCTOR, from_number=0, limit=1) == []
