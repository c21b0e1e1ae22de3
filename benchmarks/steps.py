"""The calls that are measured, each prepared beforehand: at a served federation, or at one in this process that counts."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

import grpc

from federation.party.channels import call
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.party.registration import register
from federation.protocol.room_requests import ask_for_room, ask_to_close
from federation.v1 import consultation_pb2 as pb
from federation.v1.consultation_pb2_grpc import RelayServiceStub
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.statement_pb2 import ROLE_PATIENT
from tests.e2e.cloud_lab import CloudLab
from tests.hospital_lab import Client, ecg, encounter_of, report
from tests.simulator import Federation

ADDRESS: Final = "127.0.0.1:9"
FRAME_BYTES: Final = 1_000
RECORD_BYTES: Final = 700_000
BIOSIGNAL_BYTES: Final = 427_000
SEARCHED: Final = (1, 8)
_numbers = count(1)


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Step:
    """One call. `prepare` and `after` are not measured; `content` is what it seals or hashes beside small messages, in bytes."""

    name: str
    at: str
    call: Callable[[Any], object]
    prepare: Callable[[], Any] = _nothing
    after: Callable[[Any], object] = _nothing
    content: int = 0

    def run(self) -> None:
        """Make the call, from its preparation on."""
        self.after(self.call(self.prepare()))


def at_cloud(lab: CloudLab, guest: tuple[Member, CloudClient], doctor: Member) -> Iterator[Step]:
    """Yield the calls that a public cloud answers."""
    member, hospital = guest
    client = lab.client()
    client.refresh(doctor)
    for rows in SEARCHED:
        patient = lab.patient(f"P:rows{rows}-{next(_numbers)}", guest)
        for _ in range(rows):
            lab.publish(guest, patient.identity, "cardiology")
        question = replace(lab.question(patient, doctor), department_class="cardiology")
        named = f"Search, {rows} row{'s' if rows > 1 else ''}"
        yield Step(named, "cloud", lambda _, asked=question: client.search(doctor, asked))  # type: ignore[misc]
    yield Step("Publish", "cloud", lambda _: lab.publish(guest, "P:anyone", "cardiology"))
    yield Step("PutEncryptionKey", "cloud", lambda _: client.renew(member, ADDRESS))
    yield Step("GetDirectory", "cloud", lambda _: client.directory())

    def newcomer() -> tuple[Member, bytes]:
        identity = f"P:new{next(_numbers)}"
        return lab.member(identity), hospital.issue_ticket(member, identity).ticket  # type: ignore[arg-type]

    yield Step(
        "OpenRegistration and Register",
        "cloud",
        lambda given: register(given[0], client, ROLE_PATIENT, bytes(32), given[1]),
        newcomer,
    )


def at_hospital(federation: Federation, client: Client, channel: grpc.Channel) -> Iterator[Step]:
    """Yield the calls that a hospital answers. Its only record of this patient's cardiology has 0.7 MB."""
    party, relay = federation.party(federation.doctor), RelayServiceStub(channel)
    hospital_id = "H:alpha"
    grant, biosignal, diagnosis = federation.grant(), ecg(), report(federation)
    yield Step(
        "Open, 0.7 MB",
        "hospital",
        client.read,
        lambda: federation.intent(grant, department_class="cardiology"),
        content=RECORD_BYTES,
    )
    yield Step(
        "Deposit, 427 kB",
        "hospital",
        client.deposit,
        lambda: encounter_of(federation, biosignal, diagnosis, grant, "neurology"),
        content=BIOSIGNAL_BYTES,
    )

    def asked() -> pb.OpenRoomRequest:
        return ask_for_room(party, hospital_id, now=federation.clock.now, entropy=federation.entropy)  # type: ignore[arg-type]

    def close(opened: pb.OpenRoomResponse) -> None:
        call(relay.CloseRoom, ask_to_close(party, hospital_id, opened.room_id))  # type: ignore[arg-type]

    yield Step("OpenRoom", "hospital", lambda request: call(relay.OpenRoom, request), asked, close)
    room, numbers = call(relay.OpenRoom, asked()).room_id, count()
    frame = pb.RelayFrame(
        frame=SessionFrame(
            session_id=os.urandom(16),
            sequence=1,
            last=False,
            sent_at=federation.clock.now,
            sealed=os.urandom(FRAME_BYTES),
        )
    )

    def put() -> pb.PutFrameRequest:
        return pb.PutFrameRequest(room_id=room, direction=pb.DIRECTION_TO_DOCTOR, number=next(numbers), frame=frame)

    yield Step("PutFrame, 1 kB", "hospital", lambda request: call(relay.PutFrame, request), put)
