"""One process of a node's server: which of several it is, what it is told, and how it ends (docs/adr/0022-processes.md).

It *stops* when it is asked to: no new calls, and those under way may end within `stop_seconds`. It *leaves* when another process
takes its place: then it gives up the port and serves whoever is connected until the last one has gone, so that no call fails.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from federation.settings import ServerSettings
from federation.wire import operations
from federation.wire.server import Server, oldest_connection

LONGEST_STREAM = timedelta(hours=1)
"""How long a stream may go on at a connection that has been told to go (`grpc.max_connection_age_grace_ms`)."""


@dataclass(frozen=True)
class Place:
    """Which of a node's processes this is: `number` counts from 0, `restarts` how often it took the place of one that ended.

    `listen` are the addresses that it shares with the others, in the settings' order; None leaves it alone at the settings'.
    """

    number: int = 0
    restarts: int = 0
    listen: tuple[str, ...] | None = None
    leave: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_shared(self) -> bool:
        """Say whether other processes listen at the same ports."""
        return self.listen is not None

    def addresses(self, *set_to: str) -> Sequence[str]:
        """Give where to listen."""
        return self.listen if self.listen is not None else set_to


@dataclass(frozen=True)
class Beside:
    """What a process has beside its servers. `make_way` gives up what the process that follows wants: the watch, the chores.

    `end_followers` ends the streams that only wait for news: their clients follow again, at another process.
    """

    make_way: Callable[[], Awaitable[None]]
    end_followers: Callable[[], Awaitable[None]]


async def end_when_told(
    place: Place, stop: asyncio.Event, servers: Sequence[Server], settings: ServerSettings, beside: Beside
) -> None:
    """Serve until this process is told to stop, or to leave and everybody has gone; then end the servers."""
    await _first(stop.wait(), place.leave.wait())
    if not stop.is_set():
        operations.info("leaving", process=place.number)
        await _first(stop.wait(), _leave(servers, settings, beside))
    await beside.end_followers()
    grace = timedelta(seconds=settings.stop_seconds)
    await asyncio.gather(*(server.stop(grace) for server in servers))


async def _leave(servers: Sequence[Server], settings: ServerSettings, beside: Beside) -> None:
    await beside.make_way()
    left = await asyncio.gather(*(server.leave(oldest_connection(settings)) for server in servers))
    if not all(left):
        # Whoever is still here has been told to go, and calls anew at another process.
        await beside.end_followers()
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
