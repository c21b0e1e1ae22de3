"""Turns between processes, on file systems that keep them and on those that can't."""

import errno
import fcntl
import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from hsm import locks


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
