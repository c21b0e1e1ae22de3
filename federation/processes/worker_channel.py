"""The line between a supervisor and one of its processes: a pair of sockets, one JSON object a line.

Downwards first an `Assignment`, then `{"leave": true}` when another server takes over. Upwards what the process says when it
takes calls, then a sign of life every few seconds. When the supervisor ends, however it does, its processes end.
"""

import asyncio
import ctypes
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final, Self

from federation.errors import Unavailable
from federation.processes.worker_slot import Place

SIGN_OF_LIFE_EVERY: Final = timedelta(seconds=5)
STARTS_WITHIN: Final = timedelta(seconds=120)
LONGEST_SILENCE: Final = timedelta(seconds=60)
"""After so long a process is taken for one that hangs."""

_END_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG (prctl(2))
_LEAVE: Final = {"leave": True}


@dataclass(frozen=True)
class Assignment:
    """What a process is told first: its number, how often it was started again, where it listens, and whose it is."""

    number: int
    restarts: int
    listen: tuple[str, ...]
    supervisor: int

    def to_line(self) -> bytes:
        """Write it."""
        return _line(asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read it. Raises Unavailable where there is none: the supervisor has ended."""
        if not line:
            raise Unavailable("whoever started this process has ended")
        said = json.loads(line)
        return cls(int(said["number"]), int(said["restarts"]), tuple(said["listen"]), int(said["supervisor"]))


class WorkerLink:
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
    def place(self) -> Place:
        """Give the place that is assigned."""
        assigned = self.assignment
        return Place(assigned.number, assigned.restarts, assigned.listen)

    @asynccontextmanager
    async def attended(self, place: Place, stop: asyncio.Event) -> AsyncIterator[asyncio.StreamWriter]:
        """Do for the block what the supervisor says; give the way up."""
        reader, writer = await asyncio.open_unix_connection(sock=self._socket)
        tasks = [asyncio.create_task(step) for step in (_obey(reader, place, stop), _show_life(writer))]
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


class SupervisorLink:
    """The supervisor's end, for one process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak over these."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def pair(cls, assignment: Assignment) -> tuple[Self, socket.socket]:
        """Give the supervisor's end, and the process's, in which the assignment waits."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        link = cls(reader, writer)
        writer.write(assignment.to_line())
        return link, theirs

    def leave(self) -> None:
        """Tell the process to leave its place."""
        self._writer.write(_line(_LEAVE))

    async def heard(self) -> AsyncIterator[Mapping[str, Any]]:
        """Give what the process says, until it ends. Raises TimeoutError after a long silence."""
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


async def _obey(reader: asyncio.StreamReader, place: Place, stop: asyncio.Event) -> None:
    while line := await reader.readline():
        if json.loads(line) == _LEAVE:
            place.leave.set()
    stop.set()


async def _show_life(writer: asyncio.StreamWriter) -> None:
    while True:
        await asyncio.sleep(SIGN_OF_LIFE_EVERY.total_seconds())
        writer.write(_line({}))


def _line(message: Mapping[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"
