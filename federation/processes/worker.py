"""One worker of a node's server: which of several processes it is, what its supervisor tells it, and how it ends.

It *stops* when it is asked to: no new calls, and those under way may end within `stop_seconds`. It *leaves* when another process
takes over: then it gives up the port and serves whoever is connected until the last one has gone, so that no call fails.

The channel between a supervisor and a worker is a pair of sockets, one JSON object a line. Downwards first an `Assignment`, then
`{"leave": true}` when another server takes over. Upwards what the worker says when it takes calls, then a sign of life every few
seconds. When the supervisor ends, however it does, its workers end (docs/adr/0022-processes.md).
"""

import asyncio
import ctypes
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Final, Self

from federation.errors import Unavailable
from federation.settings import ServerSettings
from federation.wire import operations
from federation.wire.server import Server, oldest_connection

LONGEST_STREAM = timedelta(hours=1)
"""How long a stream may go on at a connection that has been told to go (`grpc.max_connection_age_grace_ms`)."""

SIGN_OF_LIFE_EVERY: Final = timedelta(seconds=5)
STARTS_WITHIN: Final = timedelta(seconds=120)
LONGEST_SILENCE: Final = timedelta(seconds=60)
"""After so long a process is taken for one that hangs."""

_END_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG (prctl(2))
_LEAVE: Final = {"leave": True}


@dataclass(frozen=True)
class WorkerSlot:
    """Which of a node's processes this is: `number` counts from 0, `restarts` how often it took the place of one that ended.

    `listen` are the addresses that it shares with the others, in the settings' order; None leaves it alone at the settings'.
    """

    number: int = 0
    restarts: int = 0
    listen: tuple[str, ...] | None = None
    leave: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_shared(self) -> bool:
        """Return whether other processes listen at the same ports."""
        return self.listen is not None

    def addresses(self, *set_to: str) -> Sequence[str]:
        """Return where to listen."""
        return self.listen if self.listen is not None else set_to


@dataclass(frozen=True)
class Companions:
    """What runs beside a process's servers. `make_way` gives up what the process that follows wants: the monitor, the chores.

    `end_followers` ends the streams that only wait for news: their clients follow again, at another process.
    """

    make_way: Callable[[], Awaitable[None]]
    end_followers: Callable[[], Awaitable[None]]


async def end_when_told(
    slot: WorkerSlot, stop: asyncio.Event, servers: Sequence[Server], settings: ServerSettings, companions: Companions
) -> None:
    """Serve until this process is told to stop, or to leave and everybody has gone; then end the servers."""
    await _first(stop.wait(), slot.leave.wait())
    if not stop.is_set():
        operations.info("leaving", process=slot.number)
        await _first(stop.wait(), _leave(servers, settings, companions))
    await companions.end_followers()
    grace = timedelta(seconds=settings.stop_seconds)
    await asyncio.gather(*(server.stop(grace) for server in servers))


async def _leave(servers: Sequence[Server], settings: ServerSettings, companions: Companions) -> None:
    await companions.make_way()
    left = await asyncio.gather(*(server.leave(oldest_connection(settings)) for server in servers))
    if not all(left):
        # Whoever is still here has been told to go, and calls anew at another process.
        await companions.end_followers()
        left = await asyncio.gather(*(server.emptied(LONGEST_STREAM) for server in servers))
    operations.info("left", connections_ended=all(left))


async def _first(*steps: Coroutine[object, object, object]) -> None:
    """Run steps until the first of them is done, and end the others. Raises what that one raises."""
    tasks = [asyncio.create_task(step) for step in steps]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()


@dataclass(frozen=True)
class Assignment:
    """What a process is told first: its number, how often it was started again, where it listens, and whose it is."""

    number: int
    restarts: int
    listen: tuple[str, ...]
    supervisor: int

    def to_line(self) -> bytes:
        """Write it as a line."""
        return _line(asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read a line. Raises Unavailable where there is none: the supervisor has ended."""
        if not line:
            raise Unavailable("whoever started this process has ended")
        said = json.loads(line)
        return cls(int(said["number"]), int(said["restarts"]), tuple(said["listen"]), int(said["supervisor"]))


class WorkerChannel:
    """The process's end."""

    def __init__(self, descriptor: int) -> None:
        """Take the assignment from an inherited descriptor, and end with the supervisor from now on. Raises Unavailable."""
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)
        with self._socket.makefile("rb", buffering=0) as lines:
            self.assignment = Assignment.from_line(lines.readline())
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self.assignment.supervisor:
            raise Unavailable("whoever started this process has ended")

    @property
    def slot(self) -> WorkerSlot:
        """Return the slot that is assigned."""
        assigned = self.assignment
        return WorkerSlot(assigned.number, assigned.restarts, assigned.listen)

    @asynccontextmanager
    async def attended(self, slot: WorkerSlot, stop: asyncio.Event) -> AsyncIterator[asyncio.StreamWriter]:
        """Do for the block what the supervisor says, and yield the way up."""
        reader, writer = await asyncio.open_unix_connection(sock=self._socket)
        tasks = [asyncio.create_task(step) for step in (_obey(reader, slot, stop), _show_life(writer))]
        try:
            yield writer
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            writer.close()


def tell_ready(writer: asyncio.StreamWriter, ready: Mapping[str, object]) -> None:
    """Tell the supervisor that calls are taken, and what is said of that."""
    writer.write(_line({"ready": dict(ready)}))


class SupervisorChannel:
    """The supervisor's end, for one process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak over these."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def pair(cls, assignment: Assignment) -> tuple[Self, socket.socket]:
        """Return the supervisor's end, and the process's, in which the assignment waits."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        channel = cls(reader, writer)
        writer.write(assignment.to_line())
        return channel, theirs

    def leave(self) -> None:
        """Tell the process to leave its slot."""
        self._writer.write(_line(_LEAVE))

    async def heard(self) -> AsyncIterator[Mapping[str, Any]]:
        """Return what the process says, until it ends. Raises TimeoutError after a long silence."""
        patience = STARTS_WITHIN
        while True:
            async with asyncio.timeout(patience.total_seconds()):
                line = await self._line()
            if not line:
                return
            yield json.loads(line)
            patience = LONGEST_SILENCE

    async def _line(self) -> bytes:
        try:
            return await self._reader.readline()
        except ConnectionError:  # it was killed
            return b""

    def close(self) -> None:
        """Close it."""
        self._writer.close()


async def _obey(reader: asyncio.StreamReader, slot: WorkerSlot, stop: asyncio.Event) -> None:
    while line := await reader.readline():
        if json.loads(line) == _LEAVE:
            slot.leave.set()
    stop.set()


async def _show_life(writer: asyncio.StreamWriter) -> None:
    while True:
        await asyncio.sleep(SIGN_OF_LIFE_EVERY.total_seconds())
        writer.write(_line({}))


def _line(message: Mapping[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"
