"""Where blocking work runs: protocol steps, token and SQL, in a bounded number of threads with a bounded queue before them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ParamSpec, TypeVar

from federation.errors import Limit

P = ParamSpec("P")
T = TypeVar("T")

MOST_REGARDLESS = 10_000
"""Even what must not be dropped is dropped then: memory would run out next."""


@dataclass
class _Taken:
    """The answers that are awaited of calls in a thread or before one, given up or not."""

    answers: set[asyncio.Future[Any]] = field(default_factory=set)
    turned_away: int = 0


@dataclass(frozen=True)
class WorkersLoad:
    """The workers of one process at one moment. `turned_away` counts since the process began."""

    threads: int
    running: int
    waiting: int
    most_waiting: int
    turned_away: int


class Workers:
    """The threads of one process. Use from one event loop; close when the servers have stopped.

    A call that its caller gave up keeps its place until a thread has come to it: threads that hang, as a token's may, then
    turn calls away in place of letting them pile up. A result wakes the loop once, and brings the place with it. What is logged
    in a thread says which call it is for.
    """

    def __init__(self, threads: int, most_waiting: int) -> None:
        """Start with so many threads, and let so many calls wait for one."""
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="medunion-worker")
        self._threads = threads
        self._most_waiting = most_waiting
        self._taken = _Taken()

    def for_peers(self) -> "Workers":
        """Return the same threads for a port of hospitals: their calls still wait, a quarter more, when others' are refused."""
        peers = copy(self)
        peers._most_waiting += max(1, self._most_waiting // 4)  # noqa: SLF001 - the copy is ours
        return peers

    @property
    def load(self) -> WorkersLoad:
        """Return how busy the threads are."""
        taken = len(self._taken.answers)
        running = min(taken, self._threads)
        return WorkersLoad(self._threads, running, taken - running, self._most_waiting, self._taken.turned_away)

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it in a thread. Raises Limit at once when too many wait, and whatever the function raises."""
        return await self._run(self._threads + self._most_waiting, partial(function, *args, **kwargs))

    async def run_regardless(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it in a thread however many calls wait: for what must not be dropped, such as an entry of the audit log."""
        return await self._run(MOST_REGARDLESS, partial(function, *args, **kwargs), regardless=True)

    async def _run(self, most: int, step: Callable[[], T], *, regardless: bool = False) -> T:
        if len(self._taken.answers) >= most:
            self._taken.turned_away += 1
            raise Limit("too many calls are under way here; try again in a moment")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            tell = partial(self._told, answer)
            try:
                if regardless or not answer.cancelled():
                    tell = partial(self._told, answer, result=step())
            except BaseException as error:  # noqa: BLE001 - whatever it is, its caller awaits it
                tell = partial(self._told, answer, error=error)
            # The loop may be closed already: then nobody counts any more.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(tell)

        self._executor.submit(copy_context().run, work)
        self._taken.answers.add(answer)
        return await answer

    def _told(self, answer: asyncio.Future[T], *, result: T | None = None, error: BaseException | None = None) -> None:
        self._taken.answers.discard(answer)
        if answer.cancelled():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type] # it was called for

    def close(self) -> None:
        """Let what runs end, and forget what waits."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        for answer in self._taken.answers:
            # Behind what threads told just now: whatever is left then was before none.
            with suppress(RuntimeError):
                answer.get_loop().call_soon(answer.cancel)
