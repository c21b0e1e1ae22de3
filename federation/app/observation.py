"""A server as it is watched: its dependencies probed, its metrics, spans and admin server, beside what it serves."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Protocol

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from federation.app.node import NodeDirectory
from federation.config import AdminSettings, MetricsSettings, TracingSettings
from federation.observe.admin import LONGEST_SOCKET_BYTES, admin_server
from federation.observe.calls import CallMetrics
from federation.observe.endpoint import is_local, metrics_endpoint, worker_address
from federation.observe.events import counted_events
from federation.observe.extras import open_tracing
from federation.observe.readings import (
    Reading,
    Readings,
    Source,
    TokenReadings,
    WorkersReadings,
    token_readings,
    worker_readings,
)
from federation.wire import operations
from federation.wire.health import Dependency, Health, watch
from federation.wire.watch import CallWatch, Watches
from federation.wire.workers import Workers
from hsm import Token


class WatchedSettings(Protocol):
    """The settings of a node that is watched."""

    @property
    def admin(self) -> AdminSettings:
        """Give `[admin]`."""
        ...

    @property
    def metrics(self) -> MetricsSettings:
        """Give `[metrics]`."""
        ...

    @property
    def tracing(self) -> TracingSettings:
        """Give `[tracing]`."""
        ...


@dataclass(frozen=True)
class Subject:
    """What is watched: one process of a node. `worker` numbers the processes of one node from 0."""

    role: str
    directory: NodeDirectory
    settings: WatchedSettings
    token: Token
    workers: Workers
    dependencies: Sequence[Dependency]
    sources: Mapping[str, Source] = field(default_factory=dict)
    worker: int = 0


class Observation:
    """The watch over one process. Give `health` and `calls` to its servers, and serve within `running`."""

    def __init__(self, subject: Subject) -> None:
        """Prepare to watch. Raises ConfigError."""
        self.health = Health()
        self._subject = subject
        self._up: dict[str, bool] = {}
        self._registry = CollectorRegistry()
        self._tracing = open_tracing(subject.settings.tracing, f"medunion-{subject.role}")
        watches: list[CallWatch] = [self._tracing] if self._tracing is not None else []
        if subject.settings.metrics.listen is not None:
            with_causes = is_local(subject.settings.metrics.listen)
            watches.append(CallMetrics(self._registry, with_causes=with_causes))
            self._register()
        self.calls: CallWatch = Watches(watches)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Probe, and serve metrics and the admin server, for the block. Raises ConfigError, Unavailable."""
        async with AsyncExitStack() as stack:
            if self._tracing is not None:
                stack.push_async_callback(asyncio.to_thread, self._tracing.close)
            for dependency in self._subject.dependencies:
                stack.enter_context(_going_on(watch(dependency, self._tell)))
            await self._serve_admin(stack)
            await self._serve_metrics(stack)
            yield

    async def _serve_admin(self, stack: AsyncExitStack) -> None:
        set_to = self._subject.settings.admin.listen
        socket = f"unix:{self._subject.directory.path.resolve() / 'admin.sock'}"
        listen = worker_address(set_to or socket, self._subject.worker)
        if set_to is None and len(listen.encode()) > LONGEST_SOCKET_BYTES:
            operations.warning("admin-not-served", cause="the path of its socket is too long; set admin.listen")
            return
        address = await stack.enter_async_context(admin_server(listen, self.health))
        operations.info("admin-served", address=address)

    async def _serve_metrics(self, stack: AsyncExitStack) -> None:
        set_to = self._subject.settings.metrics.listen
        if set_to is None:
            return
        stack.enter_context(counted_events(self._registry))
        listen = worker_address(set_to, self._subject.worker)
        port = await stack.enter_async_context(metrics_endpoint(listen, self._registry))
        operations.info("metrics-served", port=port)

    def _register(self) -> None:
        subject, registry = self._subject, self._registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        registry.register(TokenReadings(subject.token.metrics))
        registry.register(WorkersReadings(lambda: subject.workers.load))
        own: dict[str, Source] = {
            "process": self._process,
            "token": lambda: token_readings(subject.token.metrics()),
            "workers": lambda: worker_readings(subject.workers.load),
        }
        registry.register(Readings(own | dict(subject.sources)))

    def _tell(self, name: str, healthy: bool) -> None:
        self._up[name] = healthy
        self.health.tell(name, healthy)

    def _process(self) -> Iterable[Reading]:
        yield Reading("medunion_build_info", 1, (version("medunion"), self._subject.role))
        for name, healthy in dict(self._up).items():
            yield Reading("medunion_dependency_up", healthy, (name,))


@contextmanager
def _going_on(work: Coroutine[object, object, None]) -> Iterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
