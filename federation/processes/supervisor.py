"""A server of several processes: a supervisor that starts them, keeps them going, and ends them (docs/adr/0022-processes.md).

The supervisor opens neither token nor database and takes no call. Each process is a fresh one (exec), for neither gRPC nor a
PKCS#11 module survives a fork.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from federation.errors import Unavailable
from federation.processes.worker import STARTS_WITHIN, Assignment, SupervisorChannel
from federation.wire import operations
from hsm import Pin

FIRST_PAUSE: Final = timedelta(seconds=0.5)
LONGEST_PAUSE: Final = timedelta(seconds=30)
LONG_LIFE: Final = timedelta(seconds=60)
"""A process that lived so long is started again without delay."""

_MARGIN: Final = timedelta(seconds=15)
"""How long over `stop_seconds` an ending process may take before it is killed."""


@dataclass
class _Process:
    """One process, and the channel to it. `ready` is what it said when it took calls."""

    number: int
    child: asyncio.subprocess.Process
    channel: SupervisorChannel
    began: float = field(default_factory=time.monotonic)
    ready: Mapping[str, Any] | None = None

    async def attend(self, told: Callable[[], None]) -> int:
        """Hear it out, and return its exit code; one that hangs is killed. `told` is called when it takes calls."""
        try:
            async for message in self.channel.heard():
                if "ready" in message:
                    self.ready = message["ready"]
                    told()
        except TimeoutError:
            operations.warning("process-hangs", process=self.number)
            self.kill()
        finally:
            self.channel.close()
        return await self.child.wait()

    def stop(self) -> None:
        """Ask it to end."""
        if self.child.returncode is None:
            self.child.terminate()

    def kill(self) -> None:
        """End it."""
        if self.child.returncode is None:
            self.child.kill()

    @property
    def life(self) -> timedelta:
        return timedelta(seconds=time.monotonic() - self.began)


class Supervisor:
    """The processes of one server. Use it in one event loop."""

    def __init__(
        self, command: Sequence[str], processes: int, listen: Sequence[str], grace: timedelta, pin: Pin | None = None
    ) -> None:
        """Prepare to run a command so often, at shared addresses. A `pin` is handed to each by a pipe."""
        self._command = command
        self._count = processes
        self._listen = tuple(listen)
        self._grace = grace
        self._pin = pin
        self._processes: dict[int, _Process] = {}
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()

    async def serve(
        self, stop: asyncio.Event, leave: asyncio.Event, ready: Callable[[Mapping[str, Any]], None]
    ) -> None:
        """Keep the processes going until told to stop, or to leave and all have gone. `ready` is told once all take calls.

        Raises Unavailable if one ends before it took calls for the first time: what it said is in its log.
        """
        keepers = [asyncio.create_task(self._keep(number)) for number in range(self._count)]
        kept = asyncio.gather(*keepers)
        course = asyncio.create_task(self._course(stop, leave, ready))
        both: list[asyncio.Future[Any]] = [course, kept]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ending.set()
            await self._end(keepers)
            course.cancel()
        for ended in (kept, course):
            if ended.done():
                ended.result()

    async def _course(
        self, stop: asyncio.Event, leave: asyncio.Event, ready: Callable[[Mapping[str, Any]], None]
    ) -> None:
        """Tell when all are ready, then wait for the word to end."""
        first = await self._all_ready(stop)
        if first is not None:
            ready({**first, "workers": [self._processes[number].child.pid for number in range(self._count)]})
        await _either(stop, leave)
        self._ending.set()
        if not stop.is_set():
            for process in self._processes.values():
                process.channel.leave()
            await stop.wait()

    def _stop_all(self) -> None:
        for process in self._processes.values():
            process.stop()

    async def _all_ready(self, stop: asyncio.Event) -> Mapping[str, Any] | None:
        """Return what the first process said when all take calls; None if the end came before."""
        give_up_at = time.monotonic() + STARTS_WITHIN.total_seconds()
        while not stop.is_set():
            ready = [process.ready for process in self._processes.values()]
            if len(ready) == self._count and None not in ready:
                return ready[0]
            if time.monotonic() > give_up_at:
                raise Unavailable("the processes of this server don't come to take calls; the log says more")
            self._changed.clear()
            await _either(stop, self._changed, timeout=1.0)
        return None

    async def _keep(self, number: int) -> None:
        """Keep one process going: start it again when it ends, after a pause that doubles while it keeps ending."""
        pause, restarts, was_ready = FIRST_PAUSE, 0, False
        while not self._ending.is_set():
            process = self._processes[number] = await self._start(number, restarts)
            if self._ending.is_set():
                process.stop()
            code = await process.attend(self._changed.set)
            was_ready = was_ready or process.ready is not None
            if self._ending.is_set():
                return
            if not was_ready:
                raise Unavailable(f"process {number} of this server ended before it took calls (exit code {code})")
            pause = FIRST_PAUSE if process.life > LONG_LIFE else pause
            restarts += 1
            operations.warning("process-ended", process=number, code=code, again_in_seconds=pause.total_seconds())
            await _either(self._ending, timeout=pause.total_seconds())
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _start(self, number: int, restarts: int) -> _Process:
        assignment = Assignment(number, restarts, self._listen, os.getpid())
        channel, theirs = await SupervisorChannel.pair(assignment)
        handed = [theirs.detach()]
        words = [*self._command, "--worker-fd", str(handed[0])]
        try:
            if self._pin is not None:
                handed.append(pin_pipe(self._pin))
                words += ["--pin-fd", str(handed[1])]
            child = await asyncio.create_subprocess_exec(
                *words, pass_fds=handed, stdin=asyncio.subprocess.DEVNULL, stdout=None, stderr=None
            )
        finally:
            for descriptor in handed:
                os.close(descriptor)
        operations.info("process-started", process=number, pid=child.pid, restarts=restarts)
        return _Process(number, child, channel)

    async def _end(self, keepers: Sequence["asyncio.Task[None]"]) -> None:
        """Wait for all to end; what does not in time is killed."""
        self._stop_all()
        _, late = await asyncio.wait(keepers, timeout=(self._grace + _MARGIN).total_seconds())
        for process in self._processes.values():
            if process.child.returncode is None:
                operations.warning("process-killed", process=process.number)
                process.kill()
        if late:
            await asyncio.wait(late, timeout=_MARGIN.total_seconds())


def pin_pipe(pin: Pin) -> int:
    """Return the reading end of a pipe that holds a PIN."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as file:
        file.write(pin.reveal())
    return reading


async def _either(*events: asyncio.Event, timeout: float | None = None) -> None:
    """Wait until one of these is set, or the time is over."""
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
