"""Locks: a gate within the process, file locks between processes that take turns."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Condition, Lock
from typing import Final

import safefiles
from hsm import errors

_GATE_WAIT: Final = timedelta(seconds=5)
_TURN_WAIT: Final = timedelta(seconds=10)
_POLL_SECONDS: Final = 0.01


class Gate:
    """Many may be inside at once, or one may shut the gate once all have left; raises `TokenBusy` after 5 s of waiting.

    Whoever is inside must not go through again: a shut gate would wait for both.
    """

    def __init__(self) -> None:
        """Begin open and empty."""
        self._lock = Lock()
        self._changed = Condition(self._lock)
        self._inside = 0
        self._is_shut = False

    def __enter__(self) -> None:
        """Let the block be inside."""
        with self._lock:
            if self._is_shut:
                self._await(lambda: not self._is_shut)
            self._inside += 1

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        """Let whoever shuts the gate know that the block has left."""
        with self._lock:
            self._inside -= 1
            if self._is_shut:
                self._changed.notify_all()

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Let the block be alone: nobody is inside, nobody enters."""
        with self._changed:
            self._await(lambda: not self._is_shut)
            self._is_shut = True
        try:
            with self._changed:
                self._await(lambda: self._inside == 0)
            yield
        finally:
            with self._changed:
                self._is_shut = False
                self._changed.notify_all()

    def _await(self, condition: Callable[[], bool]) -> None:
        if not self._changed.wait_for(condition, _GATE_WAIT.total_seconds()):
            raise errors.TokenBusy("The module is busy: calls to it did not end in time.")


class Permits:
    """So many may go on at once. On a queue that is C's, for it is passed at every call of a token."""

    def __init__(self, number: int) -> None:
        """Begin with all of them free."""
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(number):
            self._free.put(None)

    def take(self) -> bool:
        """Take one, if one is free."""
        try:
            self._free.get_nowait()
        except Empty:
            return False
        return True

    def wait(self, seconds: float) -> bool:
        """Take one, if one comes free in time."""
        try:
            self._free.get(timeout=seconds)
        except Empty:
            return False
        return True

    def release(self) -> None:
        """Give one back that was taken."""
        self._free.put(None)

    @property
    def free(self) -> int:
        """Return how many could be taken now."""
        return self._free.qsize()


def login_lock() -> AbstractContextManager[None]:
    """Take turns with other threads and processes at starting up and logging in; taken before the gate, never inside."""
    return _lock(_common_file())


def key_creation_lock() -> AbstractContextManager[None]:
    """Take turns at making keys, so that a label is looked for and taken at once; taken before `login_lock`."""
    return _lock(_common_file().parent)


def _common_file() -> Path:
    """Return a file that every process on the same tokens can read: SoftHSM's configuration, else this one."""
    configuration = os.environ.get("SOFTHSM2_CONF", "")
    return Path(configuration if os.access(configuration, os.R_OK) else __file__).absolute()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold flock(2) on a file or directory; reading is right enough for that, so nothing is created.

    Whoever does not get its turn in time, or on a file system without locks, goes on without: the lock makes races rare, callers
    cope with what is left.
    """
    with safefiles.LockFile(path, make=False) as file:
        with suppress(OSError):
            _wait_for_lock(file)
        yield


def _wait_for_lock(file: safefiles.LockFile) -> None:
    deadline = time.monotonic() + _TURN_WAIT.total_seconds()
    while time.monotonic() < deadline and not file.try_acquire():
        time.sleep(_POLL_SECONDS)
