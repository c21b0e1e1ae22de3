"""The monitor of one process: dependencies probed, metrics, spans and the admin server, beside what it serves."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from federation.errors import Unavailable
from federation.monitor.addresses import (
    ADMIN_LISTEN,
    UNIX,
    fits,
    host_and_port,
    is_local,
    own_socket,
    require_admin_address,
    worker_address,
)
from federation.monitor.admin import admin_server
from federation.monitor.calls import CallMetrics
from federation.monitor.endpoint import METRICS_LISTEN, metrics_endpoint
from federation.monitor.events import counted_events
from federation.monitor.readings import (
    Reading,
    Readings,
    Source,
    TokenReadings,
    WorkersReadings,
    token_readings,
    worker_readings,
)
from federation.party.node_directory import NodeDirectory
from federation.settings import AdminSettings, ConfigError, MetricsSettings, TracingSettings
from federation.wire import operations
from federation.wire.call_reports import CallWatch, Watches
from federation.wire.health import Dependency, Health, watch
from federation.wire.server import Server
from federation.wire.workers import Workers
from hsm import Token

if TYPE_CHECKING:
    from federation.monitor.tracing import Tracing

TRY_AGAIN = timedelta(seconds=1)


class MonitoredSettings(Protocol):
    """The settings of a node that is monitored."""

    @property
    def admin(self) -> AdminSettings:
        """Return `[admin]`."""
        ...

    @property
    def metrics(self) -> MetricsSettings:
        """Return `[metrics]`."""
        ...

    @property
    def tracing(self) -> TracingSettings:
        """Return `[tracing]`."""
        ...


@dataclass(frozen=True)
class Target:
    """What is monitored: one process of a node, the `worker` of that number from 0. `services` are gRPC's names."""

    role: str
    directory: NodeDirectory
    settings: MonitoredSettings
    token: Token
    workers: Workers
    dependencies: Sequence[Dependency]
    services: Collection[str] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)
    worker: int = 0


class Monitor:
    """The monitor of one process. Give `health` and `calls` to its servers, and serve within `running`."""

    def __init__(self, target: Target) -> None:
        """Prepare to monitor. Raises ConfigError."""
        self.health = Health()
        self._target = target
        self._up: dict[str, bool] = {}
        self._ports: dict[str, Server] = {}
        self._registry = CollectorRegistry()
        self._admin, self._metrics = _admin_address(target), _metrics_address(target)
        self._tracing = open_tracing(target.settings.tracing, f"medunion-{target.role}")
        watches: list[CallWatch] = [self._tracing] if self._tracing is not None else []
        if self._metrics is not None:
            with_causes = is_local(self._metrics, METRICS_LISTEN)
            watches.append(CallMetrics(self._registry, target.services, with_causes=with_causes))
            self._register()
        self.calls: CallWatch = Watches(watches)

    def watch_ports(self, servers: Mapping[str, Server]) -> None:
        """Tell from now on who is connected to these; the names are the metrics' labels."""
        self._ports.update(servers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Probe, and serve metrics and the admin server, for the block.

        Where those can't be served the node serves all the same, and tries again: a server that ends may still hold the address.
        """
        async with AsyncExitStack() as stack:
            if self._tracing is not None:
                stack.push_async_callback(asyncio.to_thread, self._tracing.close)
            if self._metrics is not None:
                stack.enter_context(counted_events(self._registry))
                await stack.enter_async_context(_served("metrics", partial(self._serve_metrics, self._metrics)))
            if self._admin is not None:
                await stack.enter_async_context(_served("admin", partial(admin_server, self._admin, self.health)))
            for dependency in self._target.dependencies:
                await stack.enter_async_context(_going_on(watch(dependency, self._tell)))
            yield

    def _serve_metrics(self, listen: str) -> AbstractAsyncContextManager[str]:
        return metrics_endpoint(listen, self._registry)

    def _register(self) -> None:
        target, registry = self._target, self._registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        registry.register(TokenReadings(target.token.metrics_of_each))
        registry.register(WorkersReadings(lambda: target.workers.load))
        own: dict[str, Source] = {
            "process": self._process,
            "connections": self._connections,
            "token": lambda: token_readings(target.token.metrics_of_each()),
            "workers": lambda: worker_readings(target.workers.load),
        }
        registry.register(Readings(own | dict(target.sources)))

    def _tell(self, name: str, healthy: bool) -> None:
        self._up[name] = healthy
        self.health.tell(name, healthy)

    def _process(self) -> Iterable[Reading]:
        yield Reading("medunion_build_info", 1, (version("medunion"), self._target.role))
        for name, healthy in dict(self._up).items():
            yield Reading("medunion_dependency_up", healthy, (name,))

    def _connections(self) -> Iterable[Reading]:
        for name, server in dict(self._ports).items():
            yield Reading("medunion_connections", server.connections(), (name,))
            yield Reading("medunion_connections_limit", server.most_connections, (name,))


def _admin_address(target: Target) -> str | None:
    """Return where the admin server of this process listens; None where the default socket's path is too long."""
    set_to = target.settings.admin.listen
    listen = worker_address(set_to or own_socket(target.directory.path), target.worker, ADMIN_LISTEN)
    if set_to is None and not fits(listen.removeprefix(UNIX)):
        operations.warning("admin-not-served", cause="the path of its socket is too long; set admin.listen")
        return None
    require_admin_address(listen)
    return listen


def _metrics_address(target: Target) -> str | None:
    set_to = target.settings.metrics.listen
    if set_to is None:
        return None
    host_and_port(set_to, METRICS_LISTEN)
    return worker_address(set_to, target.worker, METRICS_LISTEN)


@asynccontextmanager
async def _served(name: str, serve: Callable[[], AbstractAsyncContextManager[str]]) -> AsyncIterator[None]:
    """Serve something beside the node for the block, as soon as it can be; come back when it was tried."""
    tried = asyncio.Event()

    async def keep() -> None:
        while True:
            try:
                async with serve() as address:
                    operations.info(f"{name}-served", address=address)
                    tried.set()
                    await asyncio.Event().wait()
            except Unavailable as error:
                if not tried.is_set():
                    operations.warning(f"{name}-not-served", cause=str(error))
            except Exception as error:  # noqa: BLE001 - the node serves all the same
                operations.failure(f"{name}-not-served", error)
            tried.set()
            await asyncio.sleep(TRY_AGAIN.total_seconds())

    async with _going_on(keep()):
        await tried.wait()
        yield


@asynccontextmanager
async def _going_on(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def open_tracing(settings: TracingSettings, service_name: str) -> "Tracing | None":
    """Begin to trace if a collector is set. Raises ConfigError if the extra is not installed."""
    if settings.endpoint is None:
        return None
    try:
        module = import_module("federation.monitor.tracing")
    except ImportError as error:
        raise ConfigError("tracing.endpoint: tracing is an extra; install medunion[tracing]") from error
    tracing: Tracing = module.start_tracing(settings.endpoint, settings, service_name)
    return tracing
