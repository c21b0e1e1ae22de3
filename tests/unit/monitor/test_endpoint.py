"""Metrics over HTTP: one page, in bounded time, whatever a client or a source does."""

import asyncio
import http.client
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from federation.errors import Unavailable
from federation.monitor.addresses import is_local, worker_address
from federation.monitor.endpoint import MOST_AT_ONCE, metrics_endpoint
from federation.monitor.readings import Reading, Readings
from federation.settings import ConfigError
from tests.waiting import until, until_async

SOURCES_PATIENCE_SECONDS = 0.2
KEY = "metrics.listen"


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Counter("things", "Things.", registry=made).inc(3)
    return made


def answer(address: str, method: str = "GET", path: str = "/metrics") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request(method, path)
    return connection.getresponse()


def scraped(address: str) -> dict[tuple[str, ...], float]:
    page = answer(address).read().decode()
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def served(made: CollectorRegistry, ask: Callable[[str], object], listen: str = "127.0.0.1:0") -> object:
    async def main() -> object:
        async with metrics_endpoint(listen, made) as address:
            return await asyncio.to_thread(ask, address)

    return asyncio.run(main())


def test_page_holds_the_metrics() -> None:
    assert served(registry(), scraped)["things_total",] == 3


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("GET", "/metrics?x=1", 200), ("POST", "/metrics", 405)]
)
def test_other_requests_are_refused(method: str, path: str, status: int) -> None:
    assert served(registry(), lambda address: answer(address, method, path).status) == status


def test_silent_clients_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.monitor.endpoint.PATIENCE_SECONDS", 600)

    def ask(address: str) -> dict[tuple[str, ...], float]:
        host, port = address.split(":")
        with ExitStack() as silent:
            for _ in range(2 * MOST_AT_ONCE):
                silent.enter_context(socket.create_connection((host, int(port))))
            return scraped(address)  # while the silent ones are still heard

    assert served(registry(), ask)["things_total",] == 3


def test_silent_client_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.monitor.endpoint.PATIENCE_SECONDS", 0.3)

    def ask(address: str) -> bytes:
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as silent, suppress(ConnectionResetError):
            return silent.recv(1)
        return b""

    assert served(registry(), ask) == b""


def test_source_that_hangs_leaves_the_page_in_time_with_its_old_values_marked() -> None:
    hangs, answers, asked = threading.Event(), threading.Event(), []

    def source() -> list[Reading]:
        asked.append(1)
        if hangs.is_set():
            answers.wait(150)
        return [Reading("medunion_log_entries", len(asked))]

    other = [Reading("medunion_worker_threads", 4)]
    made = CollectorRegistry()
    made.register(Readings({"database": source, "workers": lambda: other}, SOURCES_PATIENCE_SECONDS))

    def ask(address: str) -> None:
        fresh = scraped(address)
        assert fresh["medunion_reading_failed", "database"] == 0
        assert fresh["medunion_reading_age_seconds", "database"] == 0
        hangs.set()
        for _ in range(12):  # more than any executor has threads for
            stale = scraped(address)  # while the source hangs
        assert len(asked) == fresh["medunion_log_entries",] + 1, "one thread waits, and no more"
        assert stale["medunion_log_entries",] == fresh["medunion_log_entries",]
        assert stale["medunion_reading_failed", "database"] == 1
        assert stale["medunion_reading_age_seconds", "database"] > 1
        assert stale["medunion_reading_failed", "workers"] == 0
        assert stale["medunion_worker_threads",] == 4
        hangs.clear()
        answers.set()
        until(lambda: not scraped(address)["medunion_reading_failed", "database"])

    served(made, ask)


def test_hung_scrapes_take_no_thread_from_others() -> None:
    """What asyncio.to_thread runs, all of the process share."""
    answers, hanging = threading.Event(), threading.Event()

    class Hanging:
        def collect(self):
            hanging.set()
            answers.wait(150)
            return []

    async def main() -> None:
        made = CollectorRegistry(auto_describe=False)
        made.register(Hanging())
        async with metrics_endpoint("127.0.0.1:0", made) as address:
            host, port = address.split(":")
            writers = []
            for _ in range(MOST_AT_ONCE):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
                writers.append(writer)
            await until_async(hanging.is_set)
            await asyncio.wait_for(asyncio.to_thread(lambda: None), 60)
            answers.set()
            for writer in writers:
                writer.close()

    # An executor as small as that of a machine with one core: 5 threads.
    asyncio.run(main())


def test_source_that_raises_is_marked_and_the_others_are_read() -> None:
    def broken() -> list[Reading]:
        raise OSError("no")

    made = CollectorRegistry()
    made.register(Readings({"database": broken, "workers": lambda: [Reading("medunion_worker_threads", 4)]}))
    page = served(made, scraped)
    assert page["medunion_reading_failed", "database"] == 1
    assert ("medunion_reading_age_seconds", "database") not in page
    assert page["medunion_worker_threads",] == 4


def test_port_that_is_taken_is_unavailable() -> None:
    def ask(address: str) -> None:
        with pytest.raises(Unavailable, match=address):
            served(registry(), lambda _: None, address)

    served(registry(), ask)


@pytest.mark.parametrize(
    ("listen", "local"),
    [
        ("127.0.0.1:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:/x", True),
        ("0.0.0.0:1", False),
        ("10.0.0.1:1", False),
        ("127.0.0.1.example.org:1", False),
    ],
)
def test_local_is_what_only_this_machine_reaches(listen: str, local: bool) -> None:
    assert is_local(listen, KEY) is local


@pytest.mark.parametrize("listen", ["127.0.0.1", ":1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1"])
def test_what_is_no_address_names_the_key(listen: str) -> None:
    for read in (is_local, lambda address, key: worker_address(address, 1, key)):
        with pytest.raises(ConfigError, match=r"^metrics\.listen: "):
            read(listen, KEY)


@pytest.mark.parametrize(
    ("listen", "worker", "address"),
    [
        ("127.0.0.1:9464", 0, "127.0.0.1:9464"),
        ("127.0.0.1:9464", 3, "127.0.0.1:9467"),
        ("[::1]:9464", 1, "[::1]:9465"),
        ("127.0.0.1:0", 2, "127.0.0.1:0"),
        ("unix:/a/admin.sock", 0, "unix:/a/admin.sock"),
        ("unix:/a/admin.sock", 2, "unix:/a/admin.sock.2"),
    ],
)
def test_every_worker_has_an_address_of_its_own(listen: str, worker: int, address: str) -> None:
    assert worker_address(listen, worker, KEY) == address


def test_workers_without_ports_left_name_the_key() -> None:
    with pytest.raises(ConfigError, match=r"^metrics\.listen: .*enough ports"):
        worker_address("127.0.0.1:65535", 1, KEY)
