"""What is told of calls: to metrics and tracing, which can't change what a caller gets, and to the audit log.

Refusals of each caller are in the audit log one by one, and the many are counted (docs/adr/0007-grpc-servers.md): whoever floods
a server with what it has to refuse would otherwise fill the disk of its log.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from federation.party.audit import AuditEvent

MINUTE = timedelta(minutes=1)

WRITTEN_OF_EACH = 40
"""Refusals of one caller that are written one by one in a minute, each with its sentence and request id."""

CALLERS_WRITTEN = 2.5
"""Of all callers together, so many times as many."""

MOST_SOURCES = 100
"""Callers that are told apart in a minute; the others are counted as one."""

ELSEWHERE = "elsewhere"
_MOST_REASONS = 6


@dataclass(frozen=True)
class CallStart:
    """A call as it begins. `metadata` is what the caller sent beside it, as gRPC has it; `is_peer` says that a hospital's
    certificate came."""

    method: str
    request_id: str
    metadata: Iterable[tuple[str, str | bytes]]
    is_peer: bool


class WatchedCall(Protocol):
    """One call under way."""

    def refused(self, error: BaseException) -> None:
        """Learn why it is refused, precisely: not for the caller."""
        ...

    def ended(self, code: str) -> None:
        """Learn its google.rpc code, by name."""
        ...


class CallWatch(Protocol):
    """Is told of every call."""

    def began(self, start: CallStart) -> WatchedCall:
        """Learn of a call that begins."""
        ...


class Watches:
    """Several watches as one."""

    def __init__(self, watches: Sequence[CallWatch] = ()) -> None:
        """Tell all of these."""
        self._watches = tuple(watches)

    def began(self, start: CallStart) -> "_WatchedCalls":
        """Tell of a call that begins."""
        return _WatchedCalls([watch.began(start) for watch in self._watches])


class _WatchedCalls:
    def __init__(self, calls: Sequence[WatchedCall]) -> None:
        self._calls = calls

    def refused(self, error: BaseException) -> None:
        for call in self._calls:
            call.refused(error)

    def ended(self, code: str) -> None:
        for call in self._calls:
            call.ended(code)


class RefusalTally:
    """Says which refusals are written by themselves, and writes an entry a minute and caller for the others.

    What is counted is in memory until its minute is over: a crash loses the numbers of a minute at most. Use from one event loop.
    """

    def __init__(
        self,
        write: Callable[[AuditEvent], Awaitable[None]],
        every: timedelta = MINUTE,
        written_of_each: int = WRITTEN_OF_EACH,
    ) -> None:
        """Write entries with `write`, which raises nothing."""
        self._write = write
        self._written_of_each = written_of_each
        self._every = every
        self._written: Counter[str] = Counter()
        self._counted: dict[str, Counter[str]] = {}
        self._minute: asyncio.TimerHandle | None = None
        self._settling: asyncio.Task[None] | None = None

    @property
    def _written_in_all(self) -> float:
        return CALLERS_WRITTEN * self._written_of_each

    def is_written(self, caller: str, reason: str) -> bool:
        """Return whether a refusal is to be written by itself; one that is not is counted."""
        if self._minute is None:
            # What is counted belongs to no call, and least of all to the first one.
            loop, nobodys = asyncio.get_running_loop(), Context()
            self._minute = loop.call_later(self._every.total_seconds(), self._end_minute, context=nobodys)
        if self._written[caller] < self._written_of_each and self._written.total() < self._written_in_all:
            self._written[caller] += 1
            return True
        source = caller if caller in self._counted or len(self._counted) < MOST_SOURCES else ELSEWHERE
        self._counted.setdefault(source, Counter())[reason] += 1
        return False

    async def settle(self) -> None:
        """Write what was counted, and begin a new minute."""
        if self._minute is not None:
            self._minute.cancel()
            self._minute = None
        counted, self._counted = self._counted, {}
        self._written.clear()
        for source, reasons in counted.items():
            await self._write(_entry(source, reasons))

    def _end_minute(self) -> None:
        self._settling = asyncio.create_task(self.settle())


def _entry(source: str, reasons: Counter[str]) -> AuditEvent:
    often = reasons.most_common()
    told = ", ".join(f"{reason} {number}" for reason, number in often[:_MOST_REASONS])
    rest = sum(number for _, number in often[_MOST_REASONS:])
    others = f", other reasons {rest}" if rest else ""
    return AuditEvent(
        "REFUSALS", often[0][0], detail=f"{reasons.total()} more from {source} in a minute: {told}{others}"
    )
