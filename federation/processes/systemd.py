"""What systemd is told of a service: that it serves, that it is alive, that it begins anew or ends (sd_notify(3)).

Where nobody asked to be told (`NOTIFY_SOCKET` is not set) nothing is said. A service manager that can't be reached stops nobody's
service: the operational log has it, and systemd's own time limits do the rest.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, Self

from federation.wire import operations

SOCKET: Final = "NOTIFY_SOCKET"
_WATCHDOG_MICROSECONDS: Final = "WATCHDOG_USEC"
_WATCHDOG_PROCESS: Final = "WATCHDOG_PID"


def successor_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a process that is to be the service: the signs of life are its to give."""
    return {name: value for name, value in environment.items() if name != _WATCHDOG_PROCESS}


class ServiceManager:
    """The service manager of this process, if it has one that wants to know."""

    def __init__(self, address: str | None = None, watchdog: timedelta | None = None) -> None:
        """Know the socket, `/path` or `@abstract`, and how long silence may last before the process is taken for dead."""
        self._address = address if address is not None and address[:1] in ("/", "@") else None
        self.watchdog = watchdog if self._address is not None else None

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the one that an environment names, or one that is told nothing."""
        mine = environment.get(_WATCHDOG_PROCESS, str(os.getpid())) == str(os.getpid())
        microseconds = environment.get(_WATCHDOG_MICROSECONDS, "")
        expects = mine and microseconds.isdecimal() and int(microseconds) > 0
        return cls(environment.get(SOCKET), timedelta(microseconds=int(microseconds)) if expects else None)

    def ready(self, status: str) -> None:
        """Say that calls are taken; also after `reloading`."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Say that the service hands over to a newer self; `ready` ends it."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that no more calls are taken, and that those under way may end."""
        self._tell("STOPPING=1")

    def main_process(self, process: int) -> None:
        """Say that another process is the service from now on. systemd takes this from the main process alone."""
        self._tell(f"MAINPID={process}")

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """Say for the block, twice as often as is asked for, that the event loop still turns."""
        if self.watchdog is None:
            yield
            return
        task = asyncio.create_task(self._keep_saying(self.watchdog / 2))
        try:
            yield
        finally:
            task.cancel()
            # Waited for, not awaited: a cancellation of the caller meanwhile is the caller's.
            await asyncio.wait({task})

    @asynccontextmanager
    async def told_until(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Say for the block that the service is alive, and once `stop` is set, that it ends."""

        async def tell_the_end() -> None:
            await stop.wait()
            self.stopping()

        async with self.alive():
            end = asyncio.create_task(tell_the_end())
            try:
                yield
            finally:
                end.cancel()

    async def _keep_saying(self, every: timedelta) -> None:
        while True:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(every.total_seconds())

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                # The manager may be slow, and the event loop must not wait for it.
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            operations.failure("service-manager-not-told", error)
