"""Revoked while it is being served: a record under way, a deposit, a session that waits, a room. Each is cut.

The list comes while the stream is open; what the hospital does then is seen at the doctor's end and in the access log.
"""

import queue
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from federation.errors import CertificateRevoked, CredentialRevoked, FederationError, GrantRevoked, Rejected
from federation.protocol.access import AccessEvent
from federation.protocol.frames import SLICE_BYTES, TAG_BYTES
from federation.protocol.record import Established, Intent, Slice
from federation.protocol.room_requests import ask_for_room
from federation.v1.consultation_pb2 import (
    DIRECTION_TO_DOCTOR,
    FollowFramesRequest,
    GetRoomRequest,
    PutFrameRequest,
    RelayFrame,
)
from federation.v1.consultation_pb2_grpc import RelayServiceStub
from federation.v1.envelope_pb2 import SessionRefusal
from federation.wire.status import from_rpc_error
from tests.hospital_lab import JOHNNIE, Client, HospitalLab, Session, ecg, encounter_of, report
from tests.simulator import Federation
from tests.waiting import until

Revoke = Callable[[Federation, Intent], None]
SLICES = 120
CAME = 3 * SLICE_BYTES
IN_FLIGHT = 3
"""Slices that may be on their way when the list comes: the reader's window holds less than one more."""
PATIENCE = 60.0


def grant(federation: Federation, intent: Intent) -> None:
    federation.revoke_grant(intent.shown.consent.grant)


def serial(federation: Federation, _: Intent) -> None:
    federation.revoke(federation.doctor, federation.hospital_a)


def certificate(federation: Federation, _: Intent) -> None:
    federation.revoke_certificate(federation.hospital_a)


GRANT = (grant, GrantRevoked, "GRANT_REVOKED")
SERIAL = (serial, Rejected, "CREDENTIAL_REVOKED")
CERTIFICATE = (certificate, Rejected, "CERTIFICATE_REVOKED")


def _large(lab: HospitalLab, tmp_path: Path) -> None:
    scan = tmp_path / "scan.bin"
    scan.write_bytes(bytes(SLICES * SLICE_BYTES))
    lab.import_files(JOHNNIE, "P:wang", "H:alpha/cardiology", scan)


def _slices(client: Client, session: Session, state, frame, size: int):
    """Take slices of so many bytes; give the state after them."""
    session.send(frame=frame)
    while state.incoming.arrived < size:
        state, piece = _next(client, session, state)
        assert isinstance(piece, Slice)
    return state


def _next(client: Client, session: Session, state):
    federation = client.federation
    return state.receive(session.receive().frame, federation.doctor.verifier(), now=federation.clock.now)


def _rest(client: Client, session: Session, state, told: type[FederationError]) -> int:
    """Take what comes until the refusal; give how many slices came."""
    number = 0
    while True:
        try:
            state, _ = _next(client, session, state)
        except told:
            return number
        number += 1


def _last_event(lab: HospitalLab) -> AccessEvent:
    return [entry.event for entry in lab.hospital.audit.entries() if isinstance(entry.event, AccessEvent)][-1]


@pytest.mark.parametrize(("revoke", "told", "reason"), [GRANT, SERIAL, CERTIFICATE])
def test_e2_a_record_under_way_is_cut_within_bounded_slices_of_the_list(
    lab: HospitalLab, client: Client, tmp_path: Path, revoke: Revoke, told: type[FederationError], reason: str
) -> None:
    """103 of 105 MB went out after grant or doctor were on the hospital's list, and the log said OK."""
    _large(lab, tmp_path)
    intent = lab.federation.intent(lab.federation.grant())
    with client.session() as session:
        state = _slices(client, session, *client.establish(session, intent).query(now=lab.federation.clock.now), CAME)
        revoke(lab.federation, intent)
        after = _rest(client, session, state, told)
    print(f"{after} slices after the list")
    assert after <= IN_FLIGHT
    event = _last_event(lab)
    assert (event.kind, event.reason) == ("READ", reason)
    sent = int(event.detail.removesuffix(" bytes sent"))
    assert CAME <= sent <= CAME + IN_FLIGHT * SLICE_BYTES + SLICES * TAG_BYTES


@pytest.mark.parametrize(("revoke", "told", "reason"), [SERIAL, CERTIFICATE])
def test_a_reader_that_takes_nothing_is_cut_too(
    lab: HospitalLab, client: Client, tmp_path: Path, revoke: Revoke, told: type[FederationError], reason: str
) -> None:
    """It stops reading, so that no next slice is ever asked for, and would take the rest later."""
    _large(lab, tmp_path)
    intent = lab.federation.intent(lab.federation.grant())
    with client.session() as session:
        state = _slices(client, session, *client.establish(session, intent).query(now=lab.federation.clock.now), CAME)
        revoke(lab.federation, intent)
        until(lambda: {"READ", "REFUSAL"} <= {entry.event.kind for entry in lab.hospital.audit.entries()})
        after = _rest(client, session, state, told)
    assert after <= IN_FLIGHT
    assert _last_event(lab).reason == reason


@pytest.mark.parametrize(("revoke", "told", "reason"), [SERIAL, CERTIFICATE])
def test_a_session_that_waits_for_d4_is_cut(
    lab: HospitalLab, client: Client, revoke: Revoke, told: type[FederationError], reason: str
) -> None:
    intent = lab.federation.intent(lab.federation.grant())
    with client.session() as session:
        client.establish(session, intent)
        revoke(lab.federation, intent)
        with pytest.raises(told):
            session.receive()
    assert lab.reasons == [reason]


@pytest.mark.parametrize(("revoke", "told", "reason"), [SERIAL, CERTIFICATE])
def test_a_deposit_in_progress_is_cut(
    lab: HospitalLab, client: Client, revoke: Revoke, told: type[FederationError], reason: str
) -> None:
    federation = lab.federation
    encounter = encounter_of(federation, ecg(), report(federation), federation.grant())
    with client.session() as session:
        established: Established = client.establish(session, encounter.intent)
        first, *_ = established.deposit(encounter.biosignal, encounter.diagnosis, encounter.deposit)[1]
        session.send(frame=first)
        revoke(federation, encounter.intent)
        with pytest.raises(told):
            session.receive()
    assert lab.reasons == [reason]
    assert not list(lab.hospital.stores.records.all())


@pytest.mark.parametrize(
    ("revoke", "told"), [(serial, CredentialRevoked), (certificate, CertificateRevoked)], ids=["serial", "CRL"]
)
def test_a_revoked_doctors_room_takes_and_gives_no_frame(
    lab: HospitalLab, client: Client, revoke: Revoke, told: type[FederationError]
) -> None:
    federation, stub = lab.federation, RelayServiceStub(client.channel)
    request = ask_for_room(
        federation.party(federation.doctor), "H:alpha", now=federation.clock.now, entropy=federation.entropy
    )
    room = stub.OpenRoom(request).room_id
    frame = RelayFrame(refusal=SessionRefusal(session_id=bytes(16), sent_at=federation.clock.now))
    put = PutFrameRequest(
        room_id=room,
        direction=DIRECTION_TO_DOCTOR,
        number=0,
        frame=frame,
    )
    follow = FollowFramesRequest(room_id=room, direction=DIRECTION_TO_DOCTOR, from_number=0)
    stub.PutFrame(put)
    followed: queue.SimpleQueue[object] = queue.SimpleQueue()

    def following() -> None:
        try:
            for frame in stub.FollowFrames(follow, timeout=PATIENCE):
                followed.put(frame.number)
        except grpc.RpcError as error:
            followed.put(type(from_rpc_error(error)))

    threading.Thread(target=following, daemon=True).start()
    assert followed.get(timeout=PATIENCE) == 0
    revoke(federation, federation.intent(federation.grant()))
    assert followed.get(timeout=PATIENCE) is told
    put.number = 1
    for refused in (
        lambda: stub.PutFrame(put),
        lambda: next(iter(stub.FollowFrames(follow))),
        lambda: stub.GetRoom(GetRoomRequest(room_id=room)),
    ):
        with pytest.raises(grpc.RpcError) as raised:
            refused()
        assert type(from_rpc_error(raised.value)) is told


def test_a_record_that_was_sent_whole_is_logged_with_its_bytes(
    lab: HospitalLab, client: Client, tmp_path: Path
) -> None:
    lab.import_files()
    client.read(lab.federation.intent(lab.federation.grant()))
    until(lambda: lab.reasons == ["BEGUN", "OK"])
    assert int(_last_event(lab).detail.removesuffix(" bytes sent")) > JOHNNIE.stat().st_size


def test_a_record_whose_reader_leaves_is_logged_as_cut_short(lab: HospitalLab, client: Client, tmp_path: Path) -> None:
    _large(lab, tmp_path)
    intent = lab.federation.intent(lab.federation.grant())
    with client.session() as session:
        _slices(client, session, *client.establish(session, intent).query(now=lab.federation.clock.now), 1)
    until(lambda: lab.reasons == ["BEGUN", "RECORD_CUT_SHORT"])
