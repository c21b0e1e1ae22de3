"""Where blocking work runs: protocol steps, token and SQL, in a bounded number of threads with a bounded queue before them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from federation.errors import Limit

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """The threads of one process. Use from one event loop; close when the servers have stopped."""

    def __init__(self, threads: int, most_waiting: int) -> None:
        """Start with so many threads, and let so many calls wait for one."""
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="medunion-worker")
        self._most = threads + most_waiting
        self._taken = 0

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it in a thread. Raises Limit at once when too many wait, and whatever the function raises."""
        if self._taken >= self._most:
            raise Limit("too many calls are under way here; try again in a moment")
        return await self.run_regardless(function, *args, **kwargs)

    async def run_regardless(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it in a thread however many wait: for what must not be dropped, such as an entry of the audit log."""
        self._taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, partial(function, *args, **kwargs))
        finally:
            self._taken -= 1

    def close(self) -> None:
        """Let what runs end, and forget what waits."""
        self._executor.shutdown(wait=True, cancel_futures=True)
