"""A bad line: a program between two TAP devices that delays, loses and paces what passes, for kernels without `tc netem`."""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_NAMESPACES = Path("/run/netns")
_TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_CLONE_NEWNET = 0x40000000
_LONGEST_FRAME = 65_536
_WAKE_SECONDS = 0.2
_LONGEST_QUEUE_SECONDS = 2.0
"""A packet that would have to wait for longer is dropped: so much the buffer of a slow modem holds."""


@dataclass(frozen=True)
class Conditions:
    """What befalls a packet on the line, each way; the same seed loses the same ones."""

    delay: timedelta
    loss: float = 0.0
    bytes_a_second: float | None = None
    """How many pass, each way; None for as many as come."""
    seed: int = 1


@dataclass
class _Way:
    """One direction of a line: whoever comes waits for those before."""

    to: int
    conditions: Conditions
    free_at: float = 0.0

    def arrival(self, frame: bytes, now: float) -> float | None:
        """Return when a frame that is sent now comes out, in monotonic seconds; None if the queue has no room for it."""
        starts = max(now, self.free_at)
        if starts - now > _LONGEST_QUEUE_SECONDS:
            return None
        pace = self.conditions.bytes_a_second
        self.free_at = starts + (len(frame) / pace if pace else 0.0)
        return self.free_at + self.conditions.delay.total_seconds()


@dataclass
class Line:
    """A line between two namespaces: a TAP device of the same name in each. Close it; its devices end with it."""

    one: str
    other: str
    conditions: Conditions
    passed: int = 0
    lost: int = 0
    _ends: tuple[int, int] = field(init=False)
    _closing: threading.Event = field(default_factory=threading.Event)

    device = "badline"

    def __post_init__(self) -> None:
        self._ends = (
            in_namespace(self.one, lambda: _tap(self.device)),
            in_namespace(self.other, lambda: _tap(self.device)),
        )
        self._thread = threading.Thread(target=self._pass_on, name="bad-line", daemon=True)

    def start(self) -> None:
        """Begin to pass packets on; both devices must be up."""
        self._thread.start()

    def close(self) -> None:
        """End the line; what is on its way is lost."""
        self._closing.set()
        self._thread.join()
        for end in self._ends:
            os.close(end)

    def _pass_on(self) -> None:
        chance = random.Random(self.conditions.seed)  # noqa: S311 - which packets are lost is no secret
        ways = {end: _Way(to, self.conditions) for end, to in zip(self._ends, self._ends[::-1], strict=True)}
        under_way: list[tuple[float, int, int, bytes]] = []
        while not self._closing.is_set():
            until = under_way[0][0] - time.monotonic() if under_way else _WAKE_SECONDS
            ready, _, _ = select.select(self._ends, (), (), max(0.0, min(until, _WAKE_SECONDS)))
            for end in ready:
                frame = os.read(end, _LONGEST_FRAME)
                due = ways[end].arrival(frame, time.monotonic())
                if due is None or chance.random() < self.conditions.loss:
                    self.lost += 1
                    continue
                self.passed += 1
                heapq.heappush(under_way, (due, self.passed, ways[end].to, frame))
            while under_way and under_way[0][0] <= time.monotonic():
                _, _, end, frame = heapq.heappop(under_way)
                os.write(end, frame)


def in_namespace(namespace: str, act: Callable[[], T]) -> T:
    """Do something in a network namespace: what it opens stays there. Raises what it raises, OSError."""
    results: list[T] = []
    faults: list[Exception] = []

    def enter() -> None:
        try:
            with (_NAMESPACES / namespace).open("rb") as file:
                _set_namespace(file.fileno())
            results.append(act())
        except Exception as fault:  # noqa: BLE001 - raised again below, in the caller's thread
            faults.append(fault)

    # A namespace is a thread's: this one ends with it.
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if faults:
        raise faults[0]
    return results[0]


def _set_namespace(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _tap(device: str) -> int:
    descriptor = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)  # noqa: TID251 - a device, no file
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TAP | _IFF_NO_PI))
    return descriptor
