# ruff: noqa: INP001 - Python looks for it by name, in a directory

"""What every Python loads whose clock the lab moves: a sleep that names no deadline.

libfaketime takes the offset off the deadline of `time.sleep`, which is one of a clock that it does not move; the kernel
refuses what comes of it (EINVAL). Waits for locks, queues and sockets are as they were.
"""

import select
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex) -> None:
    select.select([], [], [], float(seconds))


time.sleep = _sleep
