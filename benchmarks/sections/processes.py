"""A public cloud of one process and of two, on SQLite and PostgreSQL: what a call costs in CPU when they share the work."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count

from benchmarks.meters import MILLI, cpu_seconds
from benchmarks.rows import Bench, Row, Section
from benchmarks.world import PIN, ServedStage, softhsm_maker
from demo.stage import forked
from federation.party.channels import call
from federation.v1.directory_pb2 import GetDirectoryRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.v1.membership_pb2_grpc import MembershipServiceStub
from tests.contract import postgresql_server
from tests.e2e.processes_stage import Guest

CALLERS = 16
TWO_OVER_ONE = 1.05


@dataclass
class Load:
    """One cloud, its callers' connections, and what came of each round."""

    stage: ServedStage
    guest: Guest
    cpu: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    plain_cpu: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open a connection for each caller: the processes share them."""
        self._channels = [self.guest.channel() for _ in range(CALLERS)]
        self._pids = self.stage.pids("cloud")

    def sealed(self, calls: int) -> None:
        """Put encryption keys: sealed, signed, logged."""
        requests = [self.guest.renewal() for _ in range(calls)]
        stubs = [MembershipServiceStub(channel) for channel in self._channels]
        spent, seconds = self._round(
            calls, lambda number: call(stubs[number % CALLERS].PutEncryptionKey, requests[number])
        )
        self.cpu.append(spent)
        self.rate.append(calls / seconds)

    def plain(self, calls: int) -> None:
        """Fetch directories."""
        stubs = [DirectoryServiceStub(channel) for channel in self._channels]
        spent, _ = self._round(calls, lambda number: call(stubs[number % CALLERS].GetDirectory, GetDirectoryRequest()))
        self.plain_cpu.append(spent)

    def _round(self, calls: int, each: Callable[[int], object]) -> tuple[float, float]:
        with ThreadPoolExecutor(CALLERS) as callers:
            before, began = cpu_seconds(self._pids), time.perf_counter()
            list(callers.map(each, range(calls)))
            seconds = time.perf_counter() - began
            return (cpu_seconds(self._pids) - before) * MILLI / calls, seconds


def rows(bench: Bench) -> Iterator[Row]:
    """Yield CPU a call and throughput of each, two processes over one."""
    for database in ("sqlite", "postgresql"):
        if database == "postgresql" and not postgresql_server.is_installed():
            yield Row("PostgreSQL", "", failure="there is no PostgreSQL on this machine")
            continue
        with _loads(bench, database) as loads:
            for _ in range(bench.pick(3, 6)):
                for load in loads:  # in turns: a slow moment is everybody's
                    load.sealed(bench.pick(40, 96))
                    load.plain(bench.pick(300, 800))
        yield from _told({"sqlite": "SQLite", "postgresql": "PostgreSQL"}[database], *loads)


def _told(name: str, one: Load, two: Load) -> Iterator[Row]:
    sealed, plain = f"PutEncryptionKey, {name}", f"GetDirectory, {name}"
    yield Row(f"{sealed}, one process", "ms CPU", one.cpu[1:])
    yield Row(f"{sealed}, two processes, over one", "ms CPU", two.cpu[1:], one.cpu[1:], TWO_OVER_ONE)
    yield Row(f"{sealed}, one process: throughput", "a second", one.rate[1:], more_is_better=True)
    yield Row(
        f"{sealed}, two processes: throughput, over one", "a second", two.rate[1:], one.rate[1:], more_is_better=True
    )
    yield Row(f"{plain}, two processes, over one", "ms CPU", two.plain_cpu[1:], one.plain_cpu[1:], TWO_OVER_ONE)


@contextmanager
def _loads(bench: Bench, database: str) -> Iterator[Sequence[Load]]:
    """Serve two clouds, of one process and of two."""
    make, numbers = softhsm_maker(bench), count(1)
    with forked(), ExitStack() as stack:
        loads = []
        for processes in (1, 2):
            stage = ServedStage(bench.new_directory(f"{database}-{processes}"), database, processes)
            stack.callback(stage.stop)
            stage.found(*stage.options())
            guest = Guest(stage, lambda label: make(f"{label}-{next(numbers)}-{os.urandom(3).hex()}"), PIN)
            stack.callback(guest.close)
            loads.append(Load(stage, guest))
        yield loads


SECTION = Section(
    "processes",
    "Processes",
    "Two clouds side by side, of one process and of two, called in turns by 16 callers who share the machine's cores with "
    "them. CPU of the serving processes; that of PostgreSQL's own is not in it.",
    rows,
)
