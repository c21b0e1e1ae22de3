"""Frames that are reordered, dropped, doubled, reflected or from another session are refused: the sequence is the state."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.errors import FederationError
from federation.protocol.access import Receiver
from federation.protocol.consultation import AwaitingBiosignal
from federation.protocol.frames import SLICE_BYTES
from federation.protocol.record import AwaitingRecord
from federation.protocol.record_hospital import AwaitingRequest, ReceivedQuery
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.record_pb2 import PURPOSE_STORE
from tests.contents import cut, record_of
from tests.properties.exchange import Steps, world_of
from tests.simulator import Federation
from tests.vectors import scenario

FRAMES = 4


@dataclass(frozen=True)
class Flow:
    """A receiver's state, the frames that it expects in this order, and what a step gives."""

    start: Any
    frames: tuple[SessionFrame, ...]
    step: Callable[[Any, SessionFrame], Any]

    def feed(self, order: list[int]) -> Any:
        """Give the state after these frames. Raises at the first that does not belong."""
        state = self.start
        for number in order:
            state = self.step(state, self.frames[number])
        return state


@pytest.fixture(scope="module")
def biosignal(federation: Federation) -> Flow:
    """Give P2 in four frames."""
    now, verifier = federation.clock.now, federation.doctor.verifier()
    waiting, opening = federation.open_consultation()
    replying, reply = federation.receive_opening(opening).reply(now=now, entropy=federation.entropy)
    established = waiting.receive(reply, federation.patient.verifier(), now=now)
    _, frames = established.deliver(
        bytes(SLICE_BYTES * (FRAMES - 1)), federation.shown(federation.grant(), on_duty=False), now=now
    )

    def step(state: Any, frame: SessionFrame) -> Any:
        assert isinstance(state, AwaitingBiosignal), "nothing may follow the last frame"
        return state.receive(frame, verifier, now=now)

    return Flow(replying, tuple(frames), step)


@pytest.fixture(scope="module")
def record(federation: Federation) -> Flow:
    """Give H2 in four frames."""
    now, verifier = federation.clock.now, federation.doctor.verifier()
    hospital = federation.hospital_a
    reading, requested = federation.establish(hospital, federation.intent(federation.grant()))
    state, frame = reading.query(now=now)
    query = requested.receive(frame, hospital.verifier(), now=now)
    assert isinstance(query, ReceivedQuery)
    release, frames = query.decide(hospital.verifier(), Receiver(), now=now).recorded(), []
    for piece in cut(record_of(b"three slices"), 10, 20):
        release, sealed = release.slice(piece, now=now)
        frames.append(sealed.frame)
    frames.append(release.end(1, now=now))
    return Flow(state, tuple(frames), lambda state, frame: state.receive(frame, verifier, now=now)[0])


@pytest.fixture(scope="module")
def deposit(federation: Federation) -> Flow:
    """Give STO in four frames."""
    now, hospital = federation.clock.now, federation.hospital_a
    world = world_of(federation)
    consulted = scenario.consult(world, lambda step: step.receive(step.message, now=now))
    diagnosed, _ = consulted.doctor.diagnose(scenario.DIAGNOSIS, (), now=now)
    intent = federation.intent(consulted.consent.grant, PURPOSE_STORE, "cardiology")
    storing, requested = federation.establish(hospital, intent)
    sto = scenario._deposit(world, consulted, diagnosed.diagnosis, intent)
    _, frames = storing.deposit(bytes(SLICE_BYTES * (FRAMES - 1)), b"", sto)

    def step(state: Any, frame: SessionFrame) -> Any:
        assert isinstance(state, AwaitingRequest), "nothing may follow the last frame"
        return state.receive(frame, hospital.verifier(), now=now)

    return Flow(requested, tuple(frames), step)


@pytest.fixture(params=["record", "deposit"])
def flow(request: pytest.FixtureRequest) -> Flow:
    """Give each flow that does not check its content before the last frame's signature does."""
    flow: Flow = request.getfixturevalue(request.param)
    return flow


def _require_order(flow: Flow) -> None:
    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.integers(0, FRAMES - 1), min_size=1, max_size=FRAMES))
    def holds(order: list[int]) -> None:
        if order == list(range(len(order))):
            flow.feed(order)
            return
        with pytest.raises(FederationError):
            flow.feed(order)

    holds()


def test_frames_of_a_record_or_deposit_out_of_order_are_refused(flow: Flow) -> None:
    _require_order(flow)


def test_frames_of_a_biosignal_out_of_order_are_refused(biosignal: Flow) -> None:
    _require_order(biosignal)


def test_frame_after_the_last_of_a_record_is_refused(record: Flow) -> None:
    done = record.feed(list(range(FRAMES)))
    for frame in record.frames:
        with pytest.raises(FederationError):
            record.step(done, frame)


def test_record_whose_last_frame_never_comes_is_never_received(record: Flow) -> None:
    state = record.feed(list(range(FRAMES - 1)))
    assert isinstance(state, AwaitingRecord)


def test_frames_of_another_session_are_refused(biosignal: Flow, record: Flow, deposit: Flow) -> None:
    for flow, other in permutations((biosignal, record, deposit), 2):
        with pytest.raises(FederationError):
            flow.step(flow.start, other.frames[0])


REFLECTED = (
    ("P2-0", "D5"),
    ("P2-1", "D5"),
    ("D5", "P2-0"),
    ("D5", "P6"),
    ("P6", "D5"),
    ("D4", "H2-0"),
    ("H2-0", "D4"),
    ("H2-2", "D4"),
    ("STO-0", "STOACK"),
    ("STOACK", "STO-0"),
    ("STO-1", "STOACK"),
)


@pytest.mark.parametrize(("sent", "taken_as"), REFLECTED)
def test_frame_reflected_to_its_sender_is_refused(
    steps: Steps, federation: Federation, sent: str, taken_as: str
) -> None:
    with pytest.raises(FederationError):
        steps[taken_as].receive(steps[sent].message, now=federation.clock.now)


@pytest.mark.parametrize("sequence", range(4))
def test_reflected_frame_with_the_expected_sequence_is_refused(
    steps: Steps, federation: Federation, sequence: int
) -> None:
    """The sequence is in clear: only the key of the direction, and the associated data, keep a reflection out."""
    for sent, taken_as in REFLECTED:
        message = SessionFrame()
        message.CopyFrom(steps[sent].message)
        message.sequence = sequence
        with pytest.raises(FederationError):
            steps[taken_as].receive(message, now=federation.clock.now)


OPENINGS = ("reg1-patient", "P1", "D2", "D3-read", "pub", "ekput", "tlsca", "tkt", "rev")


@pytest.mark.parametrize("sent", OPENINGS)
def test_opening_taken_for_another_message_is_refused(steps: Steps, federation: Federation, sent: str) -> None:
    for taken_as in set(OPENINGS) - {sent}:
        with pytest.raises(FederationError):
            steps[taken_as].receive(steps[sent].message, now=federation.clock.now)


@pytest.mark.parametrize("sent", ["reg2-patient", "D1", "C", "H1-read", "H1-store"])
def test_reply_taken_for_another_message_is_refused(steps: Steps, federation: Federation, sent: str) -> None:
    for taken_as in {"reg2-patient", "D1", "C", "H1-read", "H1-store"} - {sent}:
        message = type(steps[sent].message)()
        message.CopyFrom(steps[sent].message)
        message.session_id = steps[taken_as].message.session_id
        with pytest.raises(FederationError):
            steps[taken_as].receive(message, now=federation.clock.now)
