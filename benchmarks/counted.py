"""What each call costs its server in operations: of the token, of cryptography in software, of SQL; and its messages' bytes.

Cloud and hospital serve in this process, each call is made by its main thread, and what the other threads do is counted:
Python's profiler tells of each call of a primitive, SQLite of each statement. Nothing is remembered meanwhile: a floor is
what a call's messages ask for, and a memory that spares some of it is seen in the ratio. `python -m benchmarks.counted`
prints JSON; it is a process of its own, for nothing is timed in one that is watched so closely.
"""

import json
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

from benchmarks.bare.software import NAMED
from benchmarks.meters import Weighed
from benchmarks.rows import Bench
from benchmarks.steps import BIOSIGNAL_BYTES, RECORD_BYTES, Step, at_cloud, at_hospital
from federation.settings import ServerSettings
from hsm import Pin, Token, pin_from_value
from hsm.softhsm import SoftHsm
from remembered import Memory
from tests.e2e.cloud_lab import cloud_lab
from tests.hospital_lab import JOHNNIE, Client, HospitalLab, ecg, encounter_of, report
from tests.simulator import Federation, simulated

ROUNDS = 3
PIN = "benchmark-pin"
VISIT = "a visit"


@dataclass
class Cost:
    """Of one call: operations by name; messages' bytes to the server and back."""

    token: dict[str, float] = field(default_factory=dict)
    software: dict[str, float] = field(default_factory=dict)
    sql: dict[str, float] = field(default_factory=dict)
    sent: int = 0
    received: int = 0
    content: int = 0


def counted(bench: Bench) -> Mapping[str, Cost]:
    """Return what every call costs, counted in a process of its own."""
    return bench.shared(_counted)


@contextmanager
def _counted(bench: Bench) -> Iterator[Mapping[str, Cost]]:
    command = [sys.executable, "-m", "benchmarks.counted", str(bench.new_directory("counted"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(done.stderr[-400:])
    yield {name: Cost(**found) for name, found in json.loads(done.stdout.splitlines()[-1]).items()}


class Watch:
    """Counts what threads do that aren't the caller's."""

    def __init__(self) -> None:
        """Begin without anything."""
        self.counts: Counter[str] = Counter()
        self._caller: int | None = threading.get_ident()
        self._wrote: set[int] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch threads that begin, and databases that are opened, in the block."""
        connect, watch = sqlite3.connect, self

        def watched(*words: Any, **named: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*words, **named)
            connection.set_trace_callback(watch._statement)
            return connection

        threading.setprofile(self._profiled)
        try:
            with patch.object(sqlite3, "connect", watched), patch.object(sqlite3.dbapi2, "connect", watched):
                yield
        finally:
            threading.setprofile(None)

    @contextmanager
    def everybody(self) -> Iterator[None]:
        """Watch the caller too."""
        caller, self._caller = self._caller, None
        sys.setprofile(self._profiled)
        try:
            yield
        finally:
            sys.setprofile(None)
            self._caller = caller

    def _profiled(self, _: FrameType, event: str, called: Any) -> None:
        if event == "c_call":
            name = NAMED.get(getattr(called, "__qualname__", ""))
            if name is not None:
                self.counts[name] += 1

    def _statement(self, text: str) -> None:
        thread = threading.get_ident()
        if thread == self._caller:
            return
        match text.split(maxsplit=1)[0].upper().rstrip(";"):
            case "SELECT":
                self.counts["SQL read"] += 1
            case "INSERT" | "UPDATE" | "DELETE" | "REPLACE":
                self.counts["SQL write"] += 1
                self._wrote.add(thread)
            case "COMMIT" if thread in self._wrote:
                self._wrote.discard(thread)
                self.counts["SQL commit"] += 1


def cost_of(step: Step, token: Token, watch: Watch, weighed: Weighed) -> Cost:
    """Return what a call costs on average, after one that is not counted."""
    step.run()
    spent, total = Counter[str](), Cost(content=step.content)
    for _ in range(ROUNDS):
        given = step.prepare()
        before, operations = watch.counts.copy(), _operations(token)
        answers: list[object] = []
        sent, received, _ = weighed.of(lambda given=given, answers=answers: answers.append(step.call(given)))  # type: ignore[misc]
        spent.update(watch.counts - before)
        spent.update({f"token {name}": number for name, number in (_operations(token) - operations).items()})
        total.sent, total.received = sent, received
        step.after(answers[0])
    for name, number in spent.items():
        kind = total.token if name.startswith("token ") else total.sql if name.startswith("SQL") else total.software
        kind[name.removeprefix("token ")] = round(number / ROUNDS, 1)
    return total


def visit_cost(federation: Federation, client: Client, watch: Watch) -> Cost:
    """Return what all four parties of a visit do together: consultation, search, one record of 0.7 MB, its deposit."""
    biosignal, diagnosis, grant = ecg(), report(federation), federation.grant()
    members = federation.doctor, federation.patient, federation.hospital_a, federation.cloud

    def operations() -> Counter[str]:
        return sum((_operations(member.keys.token) for member in members), Counter[str]())

    before, began = operations(), watch.counts.copy()
    with watch.everybody():
        federation.consult(biosignal)
        federation.search(grant, "cardiology")
        client.read(federation.intent(grant, department_class="cardiology"))
        client.deposit(encounter_of(federation, biosignal, diagnosis, grant, "neurology"))
    spent = watch.counts - began
    sql = {name: float(number) for name, number in spent.items() if name.startswith("SQL")}
    software = {name: float(number) for name, number in spent.items() if name not in sql}
    token = {name: float(number) for name, number in (operations() - before).items()}
    return Cost(token, software, sql, content=2 * (BIOSIGNAL_BYTES + RECORD_BYTES))


def _operations(token: Token) -> Counter[str]:
    return Counter({name: seen.count for name, seen in token.metrics().operations.items()})


def costs(directory: Path, make: Callable[..., Any]) -> Iterator[tuple[str, Cost]]:
    """Yield every call with what it costs."""
    watch, weighed, pin = Watch(), Weighed(), pin_from_value(PIN)
    unbounded = ServerSettings(openers_per_second=100_000, openers_burst=100_000)
    with watch.watching(), weighed.told(), patch.object(Memory, "of", _learnt_anew):
        with cloud_lab(_made(directory / "cloud"), make, pin, unbounded) as lab:
            guest, doctor = lab.hospital("H:guest"), lab.doctor("D:chen")
            for step in at_cloud(lab, guest, doctor):
                yield step.name, cost_of(step, lab.node.cloud.keys.token, watch, weighed)
        with (
            simulated(make, PIN) as federation,
            HospitalLab(federation, _made(directory / "hospital"), unbounded) as lab,
        ):
            lab.import_files(JOHNNIE)
            with lab.serving() as client:
                for step in at_hospital(federation, client, client.channel):
                    yield step.name, cost_of(step, lab.keys.token, watch, weighed)
                yield VISIT, visit_cost(federation, client, watch)


def _learnt_anew(_memory: object, _key: object, learn: Callable[[], object]) -> object:
    return learn()


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def main() -> None:
    """Count, and print JSON."""
    directory, numbers = Path(sys.argv[1]), count(1)
    softhsm = SoftHsm(directory / "softhsm")
    softhsm.activate()

    def make(prefix: str = "t") -> Any:
        return softhsm.create_token(f"{prefix}-{next(numbers)}", pin=Pin(PIN), so_pin=Pin(PIN))

    print(json.dumps({name: asdict(cost) for name, cost in costs(directory, make)}))


if __name__ == "__main__":
    main()
