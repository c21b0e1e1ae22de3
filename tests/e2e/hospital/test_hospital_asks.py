"""What each call of a hospital asks its database, statement by statement: who adds a look, or a commit, says so here."""

import pytest

from federation.hospital import relay
from federation.protocol.room_requests import ask_for_room
from federation.v1.consultation_pb2 import (
    DIRECTION_TO_DOCTOR,
    GetRoomRequest,
    OpenRoomRequest,
    PutFrameRequest,
    RelayFrame,
)
from federation.v1.consultation_pb2_grpc import RelayServiceStub
from federation.v1.envelope_pb2 import SessionRefusal
from tests.asked import ENTRY, REPLAY_KEY, Asked, asked_of, committed
from tests.hospital_lab import Client, HospitalLab, ecg, encounter_of, report

HOSPITAL = {
    "open_session": committed(*REPLAY_KEY),
    "open_room": [
        "reads shifts",
        *committed(*REPLAY_KEY, "removes rooms", "reads rooms", "adds rooms"),
    ],
    "get_room": ["reads rooms", "reads shifts"],
    "_put": [
        "reads rooms",
        "reads shifts",
        *committed("reads rooms", "reads frames", "adds frames", "changes rooms"),
    ],
    "log": committed(*ENTRY),
}
DEPOSIT = [
    "reads deposit_answers",
    "reads restrictions",
    "reads shifts",
    "reads records",
    *committed("adds records", *["adds record_blobs"] * 4, "adds outbox", "adds deposit_answers", *ENTRY),
]
QUERY = ["reads restrictions", "reads shifts", *committed(*ENTRY, "adds evidence"), "reads records"]


@pytest.fixture
def asked(lab: HospitalLab, client: Client, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What a hospital asked for each call, the second time."""
    monkeypatch.setattr(relay, "ALL_ROOMS_SEEN_SECONDS", 3600)  # not again while this runs
    federation, mailboxes = lab.federation, RelayServiceStub(client.channel)
    with asked_of(lab.database) as watched:
        for _ in range(2):
            client.deposit(encounter_of(federation, ecg(), report(federation), federation.grant()))
        for _ in range(2):
            client.read(federation.intent(federation.grant()))
            room_id = mailboxes.OpenRoom(_ask_for_room(lab)).room_id
            mailboxes.GetRoom(GetRoomRequest(room_id=room_id))
            for number in range(2):
                mailboxes.PutFrame(_frame(room_id, number))
        return watched


def test_calls_of_a_hospital_ask_its_database_no_more_than_this(asked: Asked) -> None:
    assert {call: asked.last(call) for call in HOSPITAL} == HOSPITAL
    assert asked.by_step["answer"][1::2] == [DEPOSIT, QUERY]


def _ask_for_room(lab: HospitalLab) -> OpenRoomRequest:
    federation = lab.federation
    party = federation.party(federation.doctor)
    return ask_for_room(party, "H:alpha", now=federation.clock.now, entropy=federation.entropy)


def _frame(room_id: bytes, number: int) -> PutFrameRequest:
    frame = RelayFrame(refusal=SessionRefusal(session_id=bytes(16), sent_at=1))
    return PutFrameRequest(room_id=room_id, direction=DIRECTION_TO_DOCTOR, number=number, frame=frame)
