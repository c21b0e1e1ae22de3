"""Waiting for what a test waits for, never for so many seconds."""

import asyncio
import inspect
import time
from collections.abc import Callable

PATIENCE_SECONDS = 170.0
"""A little less than pytest's timeout, so that a test says itself what did not come. CI has two cores and three workers."""
_PAUSE_SECONDS = 0.05

What = str | Callable[[], str]


def until(condition: Callable[[], object], what: What = "", seconds: float = PATIENCE_SECONDS) -> float:
    """Wait until a condition holds, and return how long that took, in seconds; `what` says what did not come."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + seconds, _missing(what, seconds)
        time.sleep(_PAUSE_SECONDS)
    return time.monotonic() - begun


async def until_async(condition: Callable[[], object], what: What = "", seconds: float = PATIENCE_SECONDS) -> None:
    """Wait in an event loop until a condition holds, or what it returns to be awaited does."""
    begun = time.monotonic()
    while True:
        holds = condition()
        if await holds if inspect.isawaitable(holds) else holds:
            return
        assert time.monotonic() < begun + seconds, _missing(what, seconds)
        await asyncio.sleep(_PAUSE_SECONDS)


def _missing(what: What, seconds: float) -> str:
    return f"not within {seconds:g} s: {what() if callable(what) else what}"
