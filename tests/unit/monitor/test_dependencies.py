"""Dependencies of a server as they go and come: a shared database that is stopped, one that hangs, and what that costs others."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from federation.monitor.readings import Readings
from federation.monitor.targets import database_readings, own_dependencies
from federation.store.database import Database, open_database
from federation.store.inspection import Survey
from federation.store.party import Settings
from federation.wire.health import Dependency, watch
from hsm import Token
from tests.contract.postgresql_server import Server
from tests.contract.store_support import IMPLEMENTATIONS
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)


class Watching:
    """What is told of dependencies, watched in a thread with an event loop of its own."""

    def __init__(self, dependencies: list[Dependency]) -> None:
        self.up: dict[str, bool] = {}
        self._dependencies = dependencies

    @contextmanager
    def going_on(self) -> Iterator["Watching"]:
        stop = asyncio.Event()
        loops: list[asyncio.AbstractEventLoop] = []

        async def main() -> None:
            loops.append(asyncio.get_running_loop())
            tasks = [asyncio.create_task(watch(one, self.up.__setitem__)) for one in self._dependencies]
            await stop.wait()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        try:
            yield self
        finally:
            loops[0].call_soon_threadsafe(stop.set)
            thread.join(60)
            assert not thread.is_alive()

    def until(self, name: str, up: bool) -> None:
        until(lambda: self.up.get(name) is up, f"{name} is told to be {'up' if up else 'lost'}")


class Shared:
    """A PostgreSQL of the test's own that can be stopped and frozen, and a database in it."""

    def __init__(self) -> None:
        self.server = Server()
        self.name = self.server.new_database()
        self.database: Database = open_database(self.server.url(self.name))

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Refuse every connection for the block, and end those that there are."""
        self.server.execute(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false")
        self.server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'")
        yield
        self.server.execute(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Answer nothing for the block, and keep every connection."""
        processes = [self.server.process.pid, *children(self.server.process.pid)]
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(params=[name for name in IMPLEMENTATIONS if name == "postgresql"])
def shared(request: pytest.FixtureRequest) -> Iterator[Shared]:
    made = Shared()
    yield made
    made.database.close()
    # Fast: an attempt to connect that was given up is not closed before it is collected as garbage.
    made.server.process.send_signal(signal.SIGINT)
    made.server.stop()


def test_shared_database_that_is_stopped_is_told_and_that_it_is_back(shared: Shared, token: Token) -> None:
    with Watching(dependencies(shared, token)).going_on() as watching:
        for name in ("token", "database", "log"):
            watching.until(name, up=True)
        with shared.stopped():
            watching.until("database", up=False)
            watching.until("log", up=False)
            assert watching.up["token"]
        watching.until("database", up=True)
        watching.until("log", up=True)


def test_shared_database_that_hangs_is_told_and_metrics_come_in_time(shared: Shared, token: Token) -> None:
    survey = Survey(shared.database)
    readings = Readings({"database": lambda: database_readings(survey, now=0)}, 0.5)
    registry = CollectorRegistry()
    registry.register(readings)

    def failed() -> float | None:
        return registry.get_sample_value("medunion_reading_failed", {"source": "database"})

    with Watching(dependencies(shared, token)).going_on() as watching:
        watching.until("database", up=True)
        assert failed() == 0
        with shared.frozen():
            watching.until("database", up=False)
            for _ in range(10):
                assert failed() == 1
                # They came although their source hangs, in one thread that is asked no second time.
                assert sum(thread.name == "medunion-reading-database" for thread in threading.enumerate()) <= 1
            assert watching.up["token"]
        watching.until("database", up=True)
        assert failed() == 0


def dependencies(shared: Shared, token: Token) -> list[Dependency]:
    brief = timedelta(seconds=0.5)
    own = own_dependencies(token, Settings(shared.database), Survey(shared.database))
    return [Dependency(one.name, one.probe, brief, timedelta(seconds=2)) for one in own]


def test_probes_that_hang_hold_up_no_other() -> None:
    """More of them than any executor that a process shares has threads."""
    answer = threading.Event()

    def hang() -> bool:
        return answer.wait(100)

    brief = timedelta(milliseconds=20)
    hanging = [Dependency(f"thing-{number}", hang, brief, brief) for number in range(40)]
    with Watching([*hanging, Dependency("token", switch := Switch(), brief, brief * 10)]).going_on() as watching:
        watching.until("thing-39", up=False)
        watching.until("token", up=True)
        switch.on = False
        watching.until("token", up=False)
        answer.set()
        watching.until("thing-0", up=True)


class Switch:
    on = True

    def __call__(self) -> bool:
        return self.on


def test_probe_that_hangs_does_not_keep_the_server_from_ending() -> None:
    answer: Callable[[], bool] = threading.Event().wait
    brief = timedelta(milliseconds=50)
    with Watching([Dependency("database", answer, brief, brief)]).going_on() as watching:
        watching.until("database", up=False)
