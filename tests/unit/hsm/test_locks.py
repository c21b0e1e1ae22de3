"""Turns between processes, on file systems that keep them and on those that can't."""

import errno
import fcntl
import multiprocessing
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from hsm import locks
from tests.waiting import until


def _take_a_turn(said: Connection, configuration: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", configuration)
        said.send("waiting")
        with locks.login_lock():
            said.send("in")


def test_another_process_waits_for_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = tmp_path / "softhsm2.conf"
    configuration.touch()
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    here, there = multiprocessing.Pipe()
    with locks.login_lock():
        other = multiprocessing.get_context("spawn").Process(target=_take_a_turn, args=(there, str(configuration)))
        other.start()
        assert here.recv() == "waiting"
        assert not here.poll(0.5)
    assert here.poll(10)
    assert here.recv() == "in"
    other.join(10)


def test_a_file_system_without_locks_keeps_nobody_from_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with locks.login_lock():
        pass


def test_so_many_permits_are_taken_and_one_more_waits_until_one_is_given_back() -> None:
    permits, waiting = locks.Permits(2), threading.Event()
    assert [permits.take() for _ in range(3)] == [True, True, False]
    assert not permits.wait(0)
    taken: list[bool] = []
    waiter = threading.Thread(target=lambda: (waiting.set(), taken.append(permits.wait(10))))
    waiter.start()
    waiting.wait(10)
    permits.release()
    waiter.join(10)
    assert (taken, permits.free) == ([True], 0)


def test_gate_is_shut_when_all_have_left_and_nobody_enters_meanwhile() -> None:
    gate, order = locks.Gate(), list[str]()
    inside, leave, shut = threading.Event(), threading.Event(), threading.Event()

    def be_inside() -> None:
        with gate:
            inside.set()
            leave.wait(10)
            order.append("left")

    def shut_it() -> None:
        with gate.shut():
            order.append("shut")
            shut.set()

    def enter() -> None:
        with gate:
            order.append("entered")

    threads = [threading.Thread(target=work) for work in (be_inside, shut_it, enter)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    until(lambda: gate._is_shut)
    threads[2].start()
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["left", "shut", "entered"]
