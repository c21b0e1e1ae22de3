"""Whether those who are being served may still be: looked at again, while their calls go on, for every list that comes, every
shift that ends and every restriction that is taken.

One task looks for all calls of a process, so that it hardly matters how many there are, and a list that another process of the
hospital took counts here too. A call is told at most LOOK_SECONDS after the list, and the time that looking takes; in between
everybody is looked at now and then, for what ends by itself.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from federation.errors import FederationError
from federation.hospital.services import Hospital
from federation.protocol.anchors import Lists
from federation.store.errors import StoreError
from federation.store.rows import RosterMark
from federation.wire import operations
from federation.wire.workers import Workers

LOOK_SECONDS = 0.5
AGAIN_SECONDS = 10.0
_AT_ONCE = 20
"""That one worker looks at before the next call gets its turn."""


@dataclass(eq=False)
class _Served:
    """One call. `require` blocks, and raises what ends it; `seen` are the grounds on which it was looked at last."""

    require: Callable[[], object]
    ended: Callable[[Exception], object]
    seen: object = None
    looked_at: float = 0.0


class Grounds:
    """What decides on those who are served: lists, ended shifts, what patients hide. Ask from one thread at a time."""

    def __init__(self, hospital: Hospital) -> None:
        """Look at this hospital's."""
        self._hospital = hospital
        self._newest: tuple[Lists, RosterMark, int] | None = None

    def __call__(self) -> object:
        """Return them: the same object as long as they are the same. Raises StoreError."""
        hospital = self._hospital
        mark, restrictions = hospital.stores.shifts.mark(now=hospital.clock()), hospital.restrictions.store.mark()
        found = hospital.member.verifier().lists, mark, restrictions
        if self._newest is None or self._newest[0] is not found[0] or self._newest[1:] != found[1:]:
            self._newest = found
        return self._newest


class Standing:
    """The calls of a process that go on. Use from one event loop."""

    def __init__(self, workers: Workers, grounds: Callable[[], object]) -> None:
        """Look in `workers`; `grounds`, which blocks, gives what is decided by: the same object as long as it is the same."""
        self._workers = workers
        self._grounds = grounds
        self._served: set[_Served] = set()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def of(self, require: Callable[[], object], ended: Callable[[Exception], object]) -> Iterator[None]:
        """Look at a call until the block ends: `ended` is told once, in the event loop, what `require` raised."""
        served = _Served(require, ended)
        self._served.add(served)
        if self._task is None:
            self._task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._served.discard(served)
            if not self._served and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _watch(self) -> None:
        while True:
            # First, for who begins was decided on just now: a call that is over before the first look costs none.
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - nobody would be looked at any more, silently
                operations.failure("standing-not-looked-at", error)

    async def _look(self) -> None:
        grounds, now = await self._newest(), time.monotonic()
        due = [one for one in self._served if _is_due(one, grounds, now)]
        for begin in range(0, len(due), _AT_ONCE):
            for served, error in await self._workers.run_regardless(_looked_at, due[begin : begin + _AT_ONCE]):
                served.seen, served.looked_at = grounds, now
                if error is not None and served in self._served:
                    self._served.discard(served)
                    served.ended(error)

    async def _newest(self) -> object:
        """Return the newest grounds; None where they can't be had now: then those are looked at who are due anyway."""
        try:
            return await self._workers.run_regardless(self._grounds)
        except (FederationError, StoreError):
            return None


def _is_due(served: _Served, grounds: object, now: float) -> bool:
    return (grounds is not None and served.seen is not grounds) or now - served.looked_at >= AGAIN_SECONDS


def _looked_at(batch: list[_Served]) -> list[tuple[_Served, Exception | None]]:
    return [(served, _refusal(served)) for served in batch]


def _refusal(served: _Served) -> Exception | None:
    try:
        served.require()
    except Exception as error:  # noqa: BLE001 - whatever it is, nobody can say that the call may go on
        return error
    return None
