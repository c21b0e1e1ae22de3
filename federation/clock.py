"""The one place that reads the clock and the system's randomness; everything else takes them as parameters."""

import secrets
import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Gives now in milliseconds since the Unix epoch."""


def system_clock() -> int:
    """Return now, by the system's clock."""
    return time.time_ns() // 1_000_000


def system_entropy(size: int) -> bytes:
    """Return so many uniform bytes, from the system's generator."""
    return secrets.token_bytes(size)
