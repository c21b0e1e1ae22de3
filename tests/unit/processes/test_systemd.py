"""What systemd is told, over a real socket of its kind."""

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from federation.processes.systemd import ServiceManager, successor_environment


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """Listen as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.settimeout(60)
        yield listening


def told(listening: socket.socket) -> list[str]:
    return listening.recv(4096).decode().split("\n")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


def test_ready_reloading_and_stopping_are_told(path: str) -> None:
    with manager(path) as listening:
        service = ServiceManager.of({"NOTIFY_SOCKET": path})
        service.ready("H:a serves at a.example:7101")
        assert told(listening) == ["READY=1", "STATUS=H:a serves at a.example:7101"]
        service.reloading()
        first, second = told(listening)
        assert first == "RELOADING=1"
        assert second.removeprefix("MONOTONIC_USEC=").isdecimal()
        service.main_process(4711)
        assert told(listening) == ["MAINPID=4711"]
        service.stopping()
        assert told(listening) == ["STOPPING=1"]


def test_abstract_socket_is_told() -> None:
    name = f"medunion-test-{os.getpid()}"
    with manager(f"\0{name}") as listening:
        ServiceManager.of({"NOTIFY_SOCKET": f"@{name}"}).stopping()
        assert told(listening) == ["STOPPING=1"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_nothing_is_said_where_nobody_asked(environment: dict[str, str]) -> None:
    service = ServiceManager.of(environment | {"WATCHDOG_USEC": "1000000"})
    service.ready("serves")
    assert service.watchdog is None


def test_manager_gone_stops_nobodys_service(path: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "medunion.operations"):
        logging.getLogger("medunion.operations").propagate = True
        ServiceManager.of({"NOTIFY_SOCKET": path}).ready("serves")
    assert "service-manager-not-told" in caplog.text


def test_signs_of_life_come_twice_as_often_as_asked_for_and_end_with_the_block(path: str) -> None:
    service = ServiceManager.of({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": str(os.getpid())})
    assert service.watchdog == timedelta(milliseconds=200)

    with manager(path) as listening:

        async def live() -> list[list[str]]:
            async with service.alive():
                return [await asyncio.to_thread(told, listening) for _ in range(3)]

        assert asyncio.run(live()) == [["WATCHDOG=1"]] * 3
        listening.settimeout(0)
        with suppress(BlockingIOError):
            while True:  # what was told while the last one was read
                assert told(listening) == ["WATCHDOG=1"]
        listening.settimeout(0.5)
        with pytest.raises(TimeoutError):
            told(listening)


@pytest.mark.parametrize("wrong", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "0"}])
def test_watchdog_of_another_process_or_without_a_time_is_none_of_ours(path: str, wrong: dict[str, str]) -> None:
    service = ServiceManager.of({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"} | wrong)
    assert service.watchdog is None


def test_successor_gives_the_signs_of_life_in_its_predecessor_s_place(path: str) -> None:
    environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    assert ServiceManager.of(environment).watchdog is None
    assert ServiceManager.of(successor_environment(environment)).watchdog == timedelta(seconds=1)


def test_who_is_cancelled_while_the_signs_of_life_end_is_cancelled(path: str) -> None:
    service = ServiceManager.of({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())})

    async def live() -> None:
        async with service.alive():
            await asyncio.sleep(0)

    async def cancelled_at_the_end() -> None:
        living = asyncio.create_task(live())
        for _ in range(2):
            await asyncio.sleep(0)
        living.cancel()
        with pytest.raises(asyncio.CancelledError):
            await living

    with manager(path):
        asyncio.run(cancelled_at_the_end())
