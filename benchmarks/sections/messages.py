"""What each message of a visit costs who makes it and who checks it, in one process and without sockets."""

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.rows import Bench, Row, Section
from benchmarks.steps import BIOSIGNAL_BYTES, RECORD_BYTES
from benchmarks.world import PIN, softhsm_maker
from federation.protocol.access import Receiver
from federation.protocol.frames import SLICE_BYTES, pieces
from federation.protocol.index import Location
from federation.protocol.record_hospital import ReceivedQuery
from hsm import open_token, pin_from_value
from tests.contents import record_of
from tests.simulator import Federation

RECORD = record_of(os.urandom(RECORD_BYTES))
BIOSIGNAL = os.urandom(BIOSIGNAL_BYTES)


class Timings:
    """CPU milliseconds of named steps."""

    def __init__(self) -> None:
        """Begin without any."""
        self.of: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is inside."""
        began = time.process_time()
        yield
        self.of[name].append((time.process_time() - began) * 1000)


def consult(federation: Federation, timings: Timings) -> None:
    """P1, D1, P2."""
    now, patient, doctor = federation.clock.now, federation.patient.verifier(), federation.doctor.verifier()
    with timings.step("patient: P1"):
        awaiting, opening = federation.open_consultation()
    with timings.step("doctor: check P1"):
        asked = federation.receive_opening(opening)
    with timings.step("doctor: D1, SEK_1"):
        state, reply = asked.reply(now=now, entropy=os.urandom)
    with timings.step("patient: check D1, SEK_1"):
        established = awaiting.receive(reply, patient, now=now)
    with timings.step("patient: P2, 427 kB"):
        _, frames = established.deliver(BIOSIGNAL, federation.shown(federation.grant(), on_duty=False), now=now)
        sealed = list(frames)
    duty = federation.duty()
    with timings.step("doctor: check P2"):
        for frame in sealed:
            state = state.receive(frame, doctor, duty, now=now)


def search(federation: Federation, timings: Timings) -> None:
    """D2, C."""
    grant = federation.grant()
    with timings.step("doctor: D2"):
        awaiting, opening = federation.ask(grant)
    with timings.step("cloud: check D2, look up, C"):
        reply = federation.cloud.answer(opening)
    with timings.step("doctor: check C"):
        awaiting.receive(reply, federation.doctor.verifier(), now=federation.clock.now)


def read(federation: Federation, timings: Timings) -> None:
    """D3, H1, D4, H2."""
    now, hospital = federation.clock.now, federation.hospital_a
    intent = federation.intent(federation.grant())
    with timings.step("doctor: D3"):
        awaiting, opening = federation.open_session(hospital, intent)
    with timings.step("hospital: check D3"):
        asked = federation.receive_session(hospital, opening)
    with timings.step("hospital: H1, SEK_2"):
        requested, reply = asked.reply(now=now, entropy=os.urandom)
    with timings.step("doctor: check H1, SEK_2"):
        established = awaiting.receive(reply, federation.doctor.verifier(), now=now)
    with timings.step("doctor: D4"):
        receiving, frame = established.query(now=now)
    with timings.step("hospital: check D4 and the access"):
        query = requested.receive(frame, hospital.verifier(), now=now)
        assert isinstance(query, ReceivedQuery)
        release = query.decide(hospital.verifier(), Receiver(), now=now).recorded()
    with timings.step("hospital: H2, 700 kB"):
        sent = []
        for piece in pieces([RECORD], next_size=lambda _offset: SLICE_BYTES):
            release, sliced = release.slice(piece, now=now)
            sent.append(sliced.frame)
        end = release.end(1, now=now)
    with timings.step("doctor: check H2"):
        for sliced in sent:
            receiving, _ = receiving.receive(sliced, federation.doctor.verifier(), now=now)
        receiving.receive(end, federation.doctor.verifier(), now=now)


def rows(bench: Bench) -> Iterator[Row]:
    """Yield each message, and all together."""
    make, timings = softhsm_maker(bench), Timings()
    tokens = []

    def opened(prefix: str):
        tokens.append(open_token(make(prefix), pin_from_value(PIN)))
        return tokens[-1]

    federation = Federation(opened, os.urandom)
    federation.cloud.publish("P:wang", Location("H:alpha/cardiology", bytes(16)))
    for _ in range(bench.pick(12, 50)):
        for part in (consult, search, read):
            part(federation, timings)
    for name, taken in timings.of.items():
        yield Row(name, "ms CPU", taken[1:])
    whole = [sum(taken) for taken in zip(*timings.of.values(), strict=True)][1:]
    yield Row("all of them", "ms CPU", whole, note=f"{len(timings.of)} steps; {statistics.mean(whole):.1f} on average")
    for token in tokens:
        token.close()


SECTION = Section(
    "messages",
    "Messages of a visit",
    "Both sides of each message with their keys in tokens, no socket and no database on disk: what the protocol itself costs.",
    rows,
)
