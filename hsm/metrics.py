"""What one token did in this process: counted here, read as a snapshot by whoever exports it."""

import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from hsm.errors import HsmError

BUCKETS_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
MANAGEMENT: Final = "MANAGEMENT"
"""Stands for every call that is no use of a key: looking, making, destroying."""


@dataclass(frozen=True)
class OperationMetrics:
    """Calls of one mechanism that succeeded, and how long they took in seconds, waiting and recovery included.

    `buckets[i]` counts calls of at most `BUCKETS_SECONDS[i]` and more than the bound before; the last, longer ones.
    """

    count: int
    total_seconds: float
    buckets: tuple[int, ...]


@dataclass(frozen=True)
class SessionMetrics:
    """The pool at one moment; the login's own session is not among them."""

    in_use: int
    idle: int
    waiting: int
    limit: int


@dataclass(frozen=True)
class TokenMetrics:
    """One token at one moment. `errors` counts by `HsmError.reason`; `last_success` is Unix time in seconds.

    `recoveries` counts calls that found their session, handle or login gone; `logins` counts the first and every later one.
    """

    sessions: SessionMetrics
    operations: Mapping[str, OperationMetrics]
    errors: Mapping[str, int]
    waited_seconds: float
    recoveries: int
    logins: int
    last_success: float | None


@dataclass
class _Tally:
    count: int = 0
    total_seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_SECONDS) + 1))

    def add(self, seconds: float) -> None:
        self.count += 1
        self.total_seconds += seconds
        self.buckets[bisect_left(BUCKETS_SECONDS, seconds)] += 1

    def seen(self) -> OperationMetrics:
        return OperationMetrics(self.count, self.total_seconds, tuple(self.buckets))


class Meter:
    """Counts; safe for many threads."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock = Lock()
        self._operations: dict[str, _Tally] = {}
        self._errors: dict[str, int] = {}
        self._in_use = self._waiting = self._recoveries = 0
        self._waited_seconds = 0.0
        self._last_success: float | None = None

    @contextmanager
    def operation(self, mechanism: str) -> Iterator[None]:
        """Count a call by its mechanism, or by the reason of its error."""
        begun = time.monotonic()
        try:
            yield
        except HsmError as error:
            with self._lock:
                self._errors[error.reason] = self._errors.get(error.reason, 0) + 1
            raise
        with self._lock:
            self._operations.setdefault(mechanism, _Tally()).add(time.monotonic() - begun)
            self._last_success = time.time()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count somebody who waits for a session."""
        begun = time.monotonic()
        with self._lock:
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                self._waited_seconds += time.monotonic() - begun

    @contextmanager
    def using(self) -> Iterator[None]:
        """Count a session on loan."""
        with self._lock:
            self._in_use += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_use -= 1

    def recovering(self) -> None:
        """Count a call that found something lost."""
        with self._lock:
            self._recoveries += 1

    def snapshot(self, *, idle: int, limit: int, logins: int) -> TokenMetrics:
        """Return everything as it is now."""
        with self._lock:
            return TokenMetrics(
                sessions=SessionMetrics(self._in_use, idle, self._waiting, limit),
                operations={mechanism: tally.seen() for mechanism, tally in self._operations.items()},
                errors=dict(self._errors),
                waited_seconds=self._waited_seconds,
                recoveries=self._recoveries,
                logins=logins,
                last_success=self._last_success,
            )
