"""What a public cloud of one and of two processes answers, over TLS on this machine: `python -m benchmarks.processes`.

The callers share the machine's cores with the servers: CPU a call is what can be compared, and calls a second what came of it.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count, repeat
from pathlib import Path

from demo.stage import Federation
from federation.party.channels import call
from federation.v1.directory_pb2 import GetDirectoryRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.v1.membership_pb2_grpc import MembershipServiceStub
from hsm import Pin
from hsm.softhsm import SoftHsm
from tests.e2e.processes_stage import Guest, Stage, set_server, told

CALLERS = 16
SEALED = 400
PLAIN = 4_000
PIN = "benchmark-pin"
_TICKS = os.sysconf("SC_CLK_TCK")
_numbers = count(1)


class BenchmarkStage(Stage):
    """A cloud that bounds nobody's rate."""

    def serve(self, kind: str, directory: Path) -> None:
        set_server(directory, processes=self.processes, openers_per_second=100_000, openers_burst=100_000)
        Federation.serve(self, kind, directory)


@contextmanager
def served(root: Path, database: str, processes: int) -> Iterator[tuple[BenchmarkStage, list[int]]]:
    """Serve, and give the processes that do."""
    stage = BenchmarkStage(root, database, processes)
    try:
        stage.found(*stage.options())
        ready = told(root / "cloud")
        yield stage, ready.get("workers", [ready["pid"]])
    finally:
        stage.stop()


def cpu_seconds(processes: Sequence[int]) -> float:
    """Return the CPU that processes have used."""
    fields = [Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split() for process in processes]
    return sum(int(each[11]) + int(each[12]) for each in fields) / _TICKS


def measured(name: str, processes: Sequence[int], each: Callable[[int], object], calls: int) -> str:
    """Make so many calls, so many at a time, and give a row of the table."""
    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(each, range(CALLERS)))  # everybody is connected
        before, began = cpu_seconds(processes), time.perf_counter()
        list(callers.map(each, range(CALLERS, CALLERS + calls)))
        seconds, used = time.perf_counter() - began, cpu_seconds(processes) - before
    load = os.getloadavg()[0]
    return f"| {name} | {len(processes)} | {calls / seconds:,.0f} | {1000 * used / calls:.2f} | {load:.1f} |"


def rows(root: Path, database: str, processes: int, make_uri: Callable[..., object]) -> Iterator[str]:
    """Measure a cloud of so many processes."""
    with served(root, database, processes) as (stage, serving), ExitStack() as opened:
        guest = Guest(stage, make_uri, PIN)
        opened.callback(guest.close)
        channels = [guest.channel() for _ in range(CALLERS)]
        directories = [DirectoryServiceStub(channel) for channel in channels]
        members = [MembershipServiceStub(channel) for channel in channels]

        def plain(number: int) -> object:
            return call(directories[number % CALLERS].GetDirectory, GetDirectoryRequest())

        yield measured(f"GetDirectory, {database}", serving, plain, PLAIN)
        requests = [guest.renewal() for _ in repeat(None, SEALED + CALLERS)]

        def sealed(number: int) -> object:
            return call(members[number % CALLERS].PutEncryptionKey, requests[number])

        yield measured(f"PutEncryptionKey (sealed, signed, logged), {database}", serving, sealed, SEALED)


def main() -> None:
    """Measure, and print a Markdown table."""
    print("| calls | processes | a second | CPU ms a call | load of the machine |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as place:
        softhsm = SoftHsm(Path(place) / "softhsm")
        softhsm.activate()

        def make_uri(label: str) -> object:
            return softhsm.create_token(f"{label}-{next(_numbers)}", pin=Pin(PIN), so_pin=Pin(PIN))

        for database in ("sqlite", "postgresql"):
            for processes in (1, 2):
                for row in rows(Path(place) / f"{database}-{processes}", database, processes, make_uri):
                    print(row, flush=True)


if __name__ == "__main__":
    main()
