"""What one token did in this process: counted here, read as a snapshot by whoever exports it."""

import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from threading import Lock
from types import TracebackType
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
        self._waiting = self._recoveries = 0
        self._waited_seconds = 0.0
        self._last_success: float | None = None

    def operation(self, mechanism: str) -> AbstractContextManager[None]:
        """Count the block as a call of its mechanism, or by the reason of its error."""
        return _Operation(self, mechanism)

    def succeeded(self, mechanism: str, seconds: float) -> None:
        """Count a call that took so long."""
        with self._lock:
            tally = self._operations.get(mechanism)
            if tally is None:
                tally = self._operations[mechanism] = _Tally()
            tally.add(seconds)
            self._last_success = time.time()

    def failed(self, reason: str) -> None:
        """Count an error."""
        with self._lock:
            self._errors[reason] = self._errors.get(reason, 0) + 1

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

    def recovering(self) -> None:
        """Count a call that found something lost."""
        with self._lock:
            self._recoveries += 1

    def snapshot(self, *, in_use: int, idle: int, limit: int, logins: int) -> TokenMetrics:
        """Return everything as it is now."""
        with self._lock:
            return TokenMetrics(
                sessions=SessionMetrics(in_use, idle, self._waiting, limit),
                operations={mechanism: tally.seen() for mechanism, tally in self._operations.items()},
                errors=dict(self._errors),
                waited_seconds=self._waited_seconds,
                recoveries=self._recoveries,
                logins=logins,
                last_success=self._last_success,
            )


class _Operation:
    """A call while it lasts; what is no error of ours is not counted."""

    __slots__ = ("_begun", "_mechanism", "_meter")

    def __init__(self, meter: Meter, mechanism: str) -> None:
        self._meter, self._mechanism = meter, mechanism

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, kind: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        if kind is None:
            self._meter.succeeded(self._mechanism, time.monotonic() - self._begun)
        elif isinstance(error, HsmError):
            self._meter.failed(error.reason)
