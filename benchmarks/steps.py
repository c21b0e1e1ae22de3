"""How long each step of a visit takes, both sides, on SoftHSM tokens and without sockets: `python -m benchmarks.steps`."""

import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from federation.protocol.access import Receiver
from federation.protocol.frames import pieces
from federation.protocol.index import Location
from federation.protocol.record import ReceivedQuery
from hsm import Pin, Token, open_token, pin_from_value
from hsm.softhsm import SoftHsm
from tests.contents import record_of
from tests.simulator import Federation

REPEATS = 50
RECORD = record_of(os.urandom(700_000))
BIOSIGNAL = os.urandom(427_000)
PIN = "benchmark-pin"


class Timings:
    """Times of named steps, in milliseconds."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is inside."""
        began = time.perf_counter()
        yield
        self._times[name].append((time.perf_counter() - began) * 1000)

    def table(self) -> str:
        """Return a Markdown table: median and 95th percentile."""
        rows = ["| step | median ms | 95 % ms |", "| --- | --- | --- |"]
        for name, times in self._times.items():
            rows.append(f"| {name} | {statistics.median(times):.2f} | {statistics.quantiles(times, n=20)[-1]:.2f} |")
        return "\n".join(rows)


def tokens(directory: Path) -> Callable[[str], Token]:
    """Return a maker of fresh SoftHSM tokens in that directory."""
    softhsm = SoftHsm(directory)
    softhsm.activate()
    numbers = iter(range(1000))

    def make(prefix: str) -> Token:
        uri = softhsm.create_token(f"{prefix}-{next(numbers)}", pin=Pin(PIN), so_pin=Pin(PIN))
        return open_token(uri, pin_from_value(PIN))

    return make


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
        for piece in pieces([RECORD]):
            release, sliced = release.slice(piece, now=now)
            sent.append(sliced)
        end = release.end(1, now=now)
    with timings.step("doctor: check H2"):
        for sliced in sent:
            receiving, _ = receiving.receive(sliced, federation.doctor.verifier(), now=now)
        receiving.receive(end, federation.doctor.verifier(), now=now)


def main() -> None:
    """Time a visit many times and print the table."""
    timings = Timings()
    with tempfile.TemporaryDirectory() as directory:
        federation = Federation(tokens(Path(directory)), os.urandom)
        federation.cloud.publish("P:wang", Location("H:alpha/cardiology", bytes(16)))
        for _ in range(REPEATS):
            consult(federation, timings)
            search(federation, timings)
            read(federation, timings)
    print(timings.table())


if __name__ == "__main__":
    main()
