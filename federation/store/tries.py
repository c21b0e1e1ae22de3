"""Trying again what others get in the way of: after a pause with full jitter, and for so long.

A number of tries without a pause fails under load, for all who collide collide again; a pause of one length collides, too.
"""

import random
import time
from collections.abc import Iterator

PATIENCE_SECONDS = 10.0
"""How long what others get in the way of is tried again."""

_FIRST_PAUSE_SECONDS = 0.004
_LONGEST_PAUSE_SECONDS = 0.1


def tries(seconds: float = PATIENCE_SECONDS) -> Iterator[int]:
    """Give the numbers of the tries, from 1, and pause before each but the first. The first comes whatever the time."""
    give_up_at = time.monotonic() + seconds
    number = 1
    while True:
        yield number
        if time.monotonic() >= give_up_at:
            return
        pause(number)
        number += 1


def pause(made: int) -> None:
    """Wait a while that nobody shares, after so many tries: anything up to 4 ms, doubling with each to 100 ms."""
    longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(made - 1, 16))
    time.sleep(random.uniform(0, longest))  # noqa: S311 - who waits how long is no secret
