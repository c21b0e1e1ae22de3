"""A server of this process, on an event loop in a thread of its own."""

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from federation.wire.server import Server
from federation.wire.workers import Workers

SECONDS = 20.0
GRACE = timedelta(seconds=0.2)

Serving = tuple[Server, Callable[[timedelta], Awaitable[None]]]
"""A server, and what stops it within a grace."""


@contextmanager
def running(build: Callable[[Workers], Serving], threads: int = 4) -> Iterator[int]:
    """Run a server until the block ends; give its port. It must leave no task under way."""
    ports: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()

    async def run() -> None:
        workers = Workers(threads, 64)
        server, stop = build(workers)
        await server.start()
        ports.put(server.port)
        await stopped.wait()
        await stop(GRACE)
        workers.close()
        ending = asyncio.all_tasks() - {asyncio.current_task()}
        if ending:
            await asyncio.wait(ending, timeout=SECONDS)  # calls that the grace cut off end in their own time

    def body() -> None:
        try:
            loop.run_until_complete(run())
        except BaseException as error:
            ports.put(error)
            raise
        finally:
            left_under_way = asyncio.all_tasks(loop)
            loop.close()
        assert not left_under_way

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    port = ports.get(timeout=SECONDS)
    assert isinstance(port, int), port
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(SECONDS)
