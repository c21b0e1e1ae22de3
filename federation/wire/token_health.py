"""Whether a server's token is there, told by gRPC's health service under the name "token" (docs/adr/0014).

The health of "" stays what it was: a server whose token is lost still takes calls, and refuses them by what they need.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from federation.wire import operations

TOKEN_SERVICE = "token"  # noqa: S105 - a health service's name
EVERY = timedelta(seconds=2)
PATIENCE = timedelta(seconds=2)
"""Together they bound how late a loss is told: 4 seconds, and what the probe itself takes."""


async def watch_token(
    probe: Callable[[], bool],
    tell: Callable[[bool], Awaitable[None]],
    *,
    every: timedelta = EVERY,
    patience: timedelta = PATIENCE,
) -> None:
    """Probe the token again and again, until cancelled, and tell how it is; a probe that hangs tells of a loss.

    `probe` blocks, so it runs in a thread, one at a time; it raises nothing (`hsm.Token.health`).
    """
    was: bool | None = None
    probing: asyncio.Task[bool] | None = None
    while True:
        probing = probing or asyncio.create_task(asyncio.to_thread(probe))
        done, _ = await asyncio.wait({probing}, timeout=patience.total_seconds())
        healthy = bool(done) and probing.result()
        probing = None if done else probing
        if healthy != was:
            _log(healthy, was)
            await tell(healthy)
        was = healthy
        await asyncio.sleep(every.total_seconds())


def _log(healthy: bool, was: bool | None) -> None:
    if not healthy:
        operations.warning("token-lost")
    elif was is not None:
        operations.info("token-back")
