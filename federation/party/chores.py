"""What a serving party does beside answering: chores, each a row, done by one runner (docs/adr/0022-processes.md).

A chore survives every fault: the operational log has it, and the chore is tried again. Of the processes that share a store the
one that holds the lease does the `leased` ones. The lease is a courtesy, not a lock: a holder that is stopped for longer than the
lease's life may go on beside the next one. So each chore does no harm where two do it. Clocks that differ make a lease longer or
shorter, not void.
"""

import math
import random
import secrets
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Final

from federation.clock import Clock
from federation.errors import FederationError
from federation.protocol.time import milliseconds
from federation.store.errors import StoreError
from federation.store.party import Settings
from federation.wire import operations
from hsm.errors import HsmError

LEASE: Final = "chores"
"""What the lease of a server's chores is called in the store."""

LIFE: Final = timedelta(seconds=30)
JOIN: Final = timedelta(seconds=5)
"""How long a runner that stops waits for a chore under way."""

TOLD_AGAIN: Final = timedelta(minutes=1)
"""How long after a failure was told the next one of the same chore and cause is: what is away for long fills no disk."""

_JITTER: Final = 0.1
_FORM: Final = struct.Struct(">QQ16s")  # number, end (ms), holder


class LeaseLost(Exception):
    """The runner stops, or another process leads: a long chore goes on there."""


@dataclass(frozen=True)
class Chore:
    """One chore: what it does, how often, and whether one process alone does it.

    Chores of the same `thread` are done one after the other. `event` is what the operational log calls a failure, and
    `after_failure` how long the next attempt waits then. The first time is after one period, or `at_once`.
    """

    name: str
    every: timedelta
    act: Callable[[], object]
    leased: bool = False
    thread: str = "chores"
    at_once: bool = False
    event: str = "chore-failed"
    after_failure: timedelta | None = None


@dataclass
class _Told:
    """A failure by one cause: when the operational log was told of it, and how often it came since."""

    reason: str
    at: float = -math.inf
    since: int = 0


class Lease:
    """A lease of this process, which takes it at the first occasion and keeps it as long as it asks in time."""

    def __init__(self, settings: Settings, name: str, clock: Clock, life: timedelta = LIFE) -> None:
        """Share it by these settings, under a name."""
        self._settings = settings
        self._name = f"lease-{name}"
        self._clock = clock
        self._life_ms = milliseconds(life)
        self._me = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._kept_at: int | None = None

    def is_held(self) -> bool:
        """Take the lease, or keep it for another life, and return whether it is this process's now. Raises StoreError."""
        now = self._clock()
        with self._lock:
            if self._kept_at is None or not 0 <= now - self._kept_at < self._life_ms / 3:
                self._kept_at = now if self._take(now) else None
            return self._kept_at is not None

    def release(self) -> None:
        """Let another process have it at once, if it is this one's. Raises StoreError."""
        with self._lock:
            self._kept_at = None
            number, _, holder = self._kept()
            if holder == self._me:
                self._advance(number + 1, 0)

    def _take(self, now: int) -> bool:
        number, end, holder = self._kept()
        # No lease reaches further than a life: one that does was taken by a clock that has been set back since.
        if holder != self._me and now < end <= now + 2 * self._life_ms:
            return False
        return self._advance(number + 1, now + self._life_ms)

    def _kept(self) -> tuple[int, int, bytes]:
        value = self._settings.get(self._name)
        return (0, 0, b"") if value is None else _FORM.unpack(value)

    def _advance(self, number: int, end: int) -> bool:
        return self._settings.advance(self._name, number, _FORM.pack(number, end, self._me))


class ChoreRunner:
    """Does the chores of one process, in threads of its own. Stop it."""

    def __init__(self, lease: Lease | None = None) -> None:
        """Do leased chores while this process holds the lease; without one, always."""
        self._lease = lease
        self._resigned = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._told: dict[str, _Told] = {}

    def start(self, chores: Iterable[Chore]) -> None:
        """Begin: one thread for each that the chores name."""
        by_thread: dict[str, list[Chore]] = {}
        for chore in chores:
            by_thread.setdefault(chore.thread, []).append(chore)
        self._threads = [
            threading.Thread(target=self._run, args=(own,), name=f"medunion-{name}", daemon=True)
            for name, own in by_thread.items()
        ]
        for thread in self._threads:
            thread.start()

    def do(self, chore: Chore) -> bool:
        """Do a chore now, if it is this process's to do, and return whether nothing failed."""
        try:
            if not chore.leased or self.leads():
                chore.act()
        except LeaseLost:
            return True
        except Exception as error:  # noqa: BLE001 - a thread that ends would leave its chores undone, silently
            self._tell(chore, error)
            return False
        self._told.pop(chore.name, None)
        return True

    def leads(self) -> bool:
        """Return whether this process does the leased chores now. Raises StoreError."""
        return not self._resigned.is_set() and (self._lease is None or self._lease.is_held())

    def pause(self, seconds: float) -> None:
        """Make way for calls in the middle of a long leased chore. Raises LeaseLost when it is not this process's any more."""
        if self._stopping.wait(seconds) or not self.leads():
            raise LeaseLost

    def resign(self) -> None:
        """Do no leased chore any more: another process may at once."""
        if self._resigned.is_set():
            return
        self._resigned.set()
        try:
            if self._lease is not None:
                self._lease.release()
        except StoreError as error:
            operations.warning("lease-not-released", reason=error.reason)

    def stop(self) -> None:
        """Ask every chore to end; what they say from now on is of no interest. Blocks for the store alone."""
        self._stopping.set()
        self.resign()

    def join(self, patience: timedelta = JOIN) -> None:
        """Wait for the threads of a runner that was stopped."""
        give_up_at = monotonic() + patience.total_seconds()
        for thread in self._threads:
            thread.join(max(0.0, give_up_at - monotonic()))

    def _run(self, chores: list[Chore]) -> None:
        began = monotonic()
        due_at = [began + (0.0 if chore.at_once else _varied(chore.every)) for chore in chores]
        while not self._stopping.wait(max(0.0, min(due_at) - monotonic())):
            for index, chore in enumerate(chores):
                if due_at[index] <= monotonic() and not self._stopping.is_set():
                    wait = chore.every if self.do(chore) else chore.after_failure or chore.every
                    due_at[index] = monotonic() + _varied(wait)

    def _tell(self, chore: Chore, error: Exception) -> None:
        if self._stopping.is_set():
            return
        if isinstance(error, FederationError | StoreError | HsmError):
            # What passes by itself, and what an operator can do something about.
            self._warn(chore, error.reason)
        else:
            operations.failure(chore.event, error, chore=chore.name)

    def _warn(self, chore: Chore, reason: str) -> None:
        now, told = monotonic(), self._told.get(chore.name)
        if told is None or told.reason != reason:
            told = self._told[chore.name] = _Told(reason)
        told.since += 1
        if now - told.at >= TOLD_AGAIN.total_seconds():
            times = {"times": told.since} if told.since > 1 else {}
            operations.warning(chore.event, chore=chore.name, reason=reason, **times)
            told.at, told.since = now, 0


def _varied(period: timedelta) -> float:
    """Vary a period by a tenth, so that many parties do not come all at once after a fault that they shared."""
    return period.total_seconds() * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
