"""The watch over a token: each change is told once, and a probe that hangs is a loss."""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta

from federation.wire.token_health import watch_token

SHORT = timedelta(milliseconds=20)


def told_of(probe: Callable[[], bool], number: int) -> list[bool]:
    """Watch until so many changes were told."""
    told: list[bool] = []

    async def watch() -> None:
        enough = asyncio.Event()

        async def tell(healthy: bool) -> None:
            told.append(healthy)
            if len(told) == number:
                enough.set()

        watching = asyncio.create_task(watch_token(probe, tell, every=SHORT, patience=SHORT * 10))
        await asyncio.wait_for(enough.wait(), 20)
        watching.cancel()

    asyncio.run(watch())
    return told


def test_each_change_is_told_once() -> None:
    answers = iter([True, True, False, False, False, True, True, False])
    assert told_of(lambda: next(answers, False), 4) == [True, False, True, False]


def test_probe_that_hangs_is_a_loss_until_it_answers() -> None:
    answer, asked = threading.Event(), []

    def hang() -> bool:
        asked.append(1)
        if len(asked) == 2:
            threading.Timer(1, answer.set).start()
            answer.wait(20)
        return True

    assert told_of(hang, 3) == [True, False, True]
