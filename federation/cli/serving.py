"""`serve` for every kind of server: one process or several, and how one server takes over from another.

SIGTERM or SIGINT: no new calls, and those under way may end within `stop_seconds`. SIGUSR2: start a successor by the same
command, with whatever release is installed now; when it takes calls this server leaves, and no call fails.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

import safefiles
from federation.cli.options import DIRECTORY_OPTION, PIN_OPTIONS, F, PinChoice, gather_options, pin_of
from federation.party.node_directory import NodeDirectory, stored_pin
from federation.party.serve_lock import LEAVE, ServeLock
from federation.processes.supervisor import Supervisor, pin_pipe
from federation.processes.systemd import ServiceManager, successor_environment
from federation.processes.worker import WorkerChannel, WorkerSlot, tell_ready
from federation.settings import ServerSettings, TokenSettings
from federation.wire import operations
from federation.wire.ports import Reservation
from hsm import Pin, PinProvider, pin_from_value

SUCCEED = signal.SIGUSR2
_LOOK_EVERY = timedelta(seconds=0.2)
Ready = Callable[[Mapping[str, Any]], None]
Serve = Callable[[PinProvider, WorkerSlot, asyncio.Event, Ready], Awaitable[None]]
"""Opens a node and serves in this process, until the event is set or the slot is to be left."""


@dataclass(frozen=True)
class Serving:
    """A `serve` command as it was typed."""

    directory: NodeDirectory
    pin: PinChoice
    ready_file: Path | None
    take_over: bool
    worker_fd: int | None


@dataclass(frozen=True)
class Server:
    """What is to be served: how this process does, and what is said of it."""

    kind: str
    listen: Sequence[str]
    settings: ServerSettings
    token: TokenSettings
    serve: Serve
    words: Callable[[Mapping[str, Any]], str]


def serve_options(command: F) -> F:
    """Add the options of `serve`, as a Serving named `serving`."""

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        names = "directory", "ready_file", "take_over", "worker_fd"
        return {"serving": Serving(pin=pin_of(values), **{name: values.pop(name) for name in names})}

    return gather_options(command, gather, _OPTIONS)


_OPTIONS = (
    DIRECTORY_OPTION,
    *PIN_OPTIONS,
    click.option("--worker-fd", type=int, hidden=True),
    click.option("--take-over", is_flag=True, help="Take the place of the server that runs in this directory."),
    click.option(
        "--ready-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File to write the address to, as JSON, when calls are taken.",
    ),
)


def run(serving: Serving, server: Server) -> None:
    """Serve until told to end. Raises Unavailable, ConfigError, HsmError, StoreError."""
    operations.configure()
    if serving.worker_fd is not None:
        _run_worker(serving, server, WorkerChannel(serving.worker_fd))
        return
    with ExitStack() as held:
        lock = ServeLock(serving.directory.path, take_over=serving.take_over)
        held.callback(lock.close)
        reservation = Reservation()
        held.callback(reservation.close)
        listen = _reserved(reservation, server.listen, lock)
        asyncio.run(_Command(serving, server, lock, listen).run())


def _run_worker(serving: Serving, server: Server, channel: WorkerChannel) -> None:
    async def work() -> None:
        slot, stop = channel.slot, asyncio.Event()
        _on_end(stop)
        async with channel.attended(slot, stop) as writer:
            await server.serve(serving.pin.provider(server.token), slot, stop, lambda ready: tell_ready(writer, ready))

    asyncio.run(work())


def _reserved(reservation: Reservation, listen: Sequence[str], lock: ServeLock) -> tuple[str, ...]:
    """Keep the addresses. Where the one before chose a port for 0, it stays."""
    theirs = lock.predecessor.listen if lock.predecessor is not None else ()
    if len(theirs) == len(listen):
        listen = [kept if text.endswith(":0") else text for text, kept in zip(listen, theirs, strict=True)]
    return tuple(reservation.reserve(text, is_ours=text in theirs) for text in listen)


@dataclass
class _Command:
    """A server that has the serve lock, or is about to."""

    serving: Serving
    server: Server
    lock: ServeLock
    listen: tuple[str, ...]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    manager: ServiceManager = field(default_factory=ServiceManager.of)
    successor: "subprocess.Popen[bytes] | None" = None
    pin: Pin | None = None
    words: str = ""
    watching: "asyncio.Task[None] | None" = None

    async def run(self) -> None:
        """Serve, have the serve lock, and hand it over or end."""
        loop = asyncio.get_running_loop()
        _on_end(self.stop)
        loop.add_signal_handler(LEAVE, self._leave)
        loop.add_signal_handler(SUCCEED, self._succeed)
        provider = self._pin_provider()
        told: asyncio.Future[Mapping[str, Any]] = loop.create_future()
        async with self.manager.told_until(self.stop):
            serving = asyncio.ensure_future(self._served(provider, told.set_result))
            settling = asyncio.create_task(self._settle(told))
            both: list[asyncio.Future[Any]] = [serving, settling]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if settling.done():
                settling.result()
            await serving
            settling.cancel()

    def _served(self, provider: PinProvider, ready: Ready) -> Awaitable[None]:
        settings = self.server.settings
        if settings.processes == 1:
            return self.server.serve(provider, WorkerSlot(listen=self.listen, leave=self.leave), self.stop, ready)
        supervisor = Supervisor(
            self._command(), settings.processes, self.listen, timedelta(seconds=settings.stop_seconds), self.pin
        )
        return supervisor.serve(self.stop, self.leave, ready)

    async def _settle(self, told: "asyncio.Future[Mapping[str, Any]]") -> None:
        """Once calls are taken, have the serve lock, and say so."""
        ready = await told
        await self.lock.acquire(self.listen)
        if self.serving.ready_file is not None:
            safefiles.replace(self.serving.ready_file.resolve(), json.dumps({**ready, "pid": os.getpid()}).encode())
        self.words = self.server.words(ready)
        click.echo(self.words)
        self.manager.ready(self.words)

    def _pin_provider(self) -> PinProvider:
        """Return where the PIN comes from; one that can be had once only is kept for the processes that this one starts."""
        provider = self.serving.pin.provider(self.server.token)
        if _is_stored(self.serving.pin, self.server.token) or self.server.settings.processes == 1:
            return provider
        self.pin = provider()
        return pin_from_value(self.pin.reveal())

    def _command(self) -> list[str]:
        """Return this command as another process runs it."""
        words = [sys.executable, "-c", "from federation.cli.main import main; main()", self.server.kind, "serve"]
        words += ["--directory", str(self.serving.directory.path)]
        if self.serving.pin.pin_file is not None:
            words += ["--pin-file", str(self.serving.pin.pin_file.resolve())]
        return words

    def _leave(self) -> None:
        """Let the server that has taken calls here have the serve lock, and go when nobody is connected any more."""
        if not self.leave.is_set():
            if self.successor is not None:
                self.manager.main_process(self.successor.pid)
            self.leave.set()
            self.lock.release()

    def _succeed(self) -> None:
        """Start a successor, unless one is starting; a PIN that was typed is nowhere to be had for it."""
        if self.leave.is_set() or (self.successor is not None and self.successor.poll() is None):
            return
        if self.pin is None and not _is_stored(self.serving.pin, self.server.token):
            operations.warning("no-successor", cause="its PIN would have to be typed: start it with --take-over")
            return
        self.manager.reloading()
        words, handed = [*self._command(), "--take-over"], []
        if self.serving.ready_file is not None:
            words += ["--ready-file", str(self.serving.ready_file.resolve())]
        if self.pin is not None:
            handed.append(pin_pipe(self.pin))
            words += ["--pin-fd", str(handed[0])]
        try:
            self.successor = subprocess.Popen(  # noqa: S603 - our own
                words, pass_fds=handed, stdin=subprocess.DEVNULL, env=successor_environment()
            )
        finally:
            for descriptor in handed:
                os.close(descriptor)
        operations.info("successor-started", pid=self.successor.pid)
        self.watching = asyncio.create_task(self._watch(self.successor))

    async def _watch(self, successor: "subprocess.Popen[bytes]") -> None:
        """Go on as before if the successor ends before it takes over."""
        while not self.leave.is_set():
            if successor.poll() is not None:
                operations.warning("successor-failed", code=successor.returncode)
                self.manager.ready(self.words)
                return
            await asyncio.sleep(_LOOK_EVERY.total_seconds())


def _is_stored(pin: PinChoice, token: TokenSettings) -> bool:
    """Return whether another process finds the PIN as this one does."""
    return pin.pin_file is not None or (pin.pin_fd is None and stored_pin(token) is not None)


def _on_end(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
