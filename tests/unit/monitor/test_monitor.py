"""The watch over one process: where it is served, which process it is of, and that its lack keeps nobody from serving."""

import asyncio
import socket
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from federation.monitor.addresses import LONGEST_SOCKET_BYTES
from federation.monitor.admin import admin_server
from federation.monitor.monitor import Monitor, Target
from federation.party.node_directory import NodeDirectory
from federation.settings import AdminSettings, ConfigError, MetricsSettings, TracingSettings
from federation.wire.health import Dependency, Health
from federation.wire.workers import Workers
from hsm import Token
from tests.waiting import until_async


@dataclass(frozen=True)
class Settings:
    admin: AdminSettings = field(default_factory=AdminSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)


@pytest.fixture
def target(token: Token, tmp_path: Path) -> Iterator[Callable[..., Target]]:
    """Give a function that makes what is watched: `target(admin=..., metrics=..., worker=...)`."""
    workers = Workers(1, 1)

    def make(
        admin: str | None = None, metrics: str | None = None, directory: Path = tmp_path, worker: int = 0
    ) -> Target:
        settings = Settings(AdminSettings(admin), MetricsSettings(metrics))
        dependencies = [Dependency("token", token.health)]
        return Target("hospital", NodeDirectory(directory), settings, token, workers, dependencies, worker=worker)

    yield make
    workers.close()


def free_ports() -> int:
    """Give a port that is free, and the next two."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


async def scraped(port: int) -> str:
    def fetch() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            page: str = answer.read().decode()
        return page

    return await asyncio.to_thread(fetch)


async def status(address: str, service: str = "token") -> int | None:
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            return (await HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=20)).status
        except grpc.aio.AioRpcError:
            return None


def watched(target: Target, ask: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Monitor(target).running():
            await ask()

    asyncio.run(main())


@pytest.mark.parametrize(("worker", "name"), [(0, "admin.sock"), (2, "admin.sock.2")])
def test_every_process_has_a_socket_and_a_port_of_its_own(
    target: Callable[..., Target], tmp_path: Path, worker: int, name: str
) -> None:
    port = free_ports()

    async def ask() -> None:
        address = f"unix:{tmp_path / name}"

        async def is_well() -> bool:
            return await status(address) == HealthCheckResponse.SERVING

        await until_async(is_well)
        assert 'medunion_dependency_up{dependency="token"} 1.0' in await scraped(port + worker)

    watched(target(metrics=f"127.0.0.1:{port}", worker=worker), ask)


def test_socket_that_is_taken_keeps_nobody_from_serving_and_is_taken_over_when_it_is_free(
    target: Callable[..., Target], tmp_path: Path
) -> None:
    address = f"unix:{tmp_path / 'admin.sock'}"

    async def main() -> None:
        async with admin_server(address, Health()) as _:
            running = Monitor(target(metrics="127.0.0.1:0")).running()
            await running.__aenter__()
            assert await status(address) is None, "the other one serves still, and knows no token"

        async def is_served() -> bool:
            return await status(address) is not None

        await until_async(is_served)
        await running.__aexit__(None, None, None)
        assert await status(address) is None

    asyncio.run(main())


def test_metrics_port_that_is_taken_keeps_nobody_from_serving(target: Callable[..., Target]) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            running = Monitor(target(metrics=f"127.0.0.1:{port}")).running()
            await running.__aenter__()

        async def is_served() -> bool:
            try:
                return 'event="metrics-not-served",level="WARNING"} 1.0' in await scraped(port)
            except OSError:
                return False

        await until_async(is_served)
        await running.__aexit__(None, None, None)

    asyncio.run(main())


def test_path_that_is_too_long_for_a_socket_keeps_nobody_from_serving(
    target: Callable[..., Target], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deep = tmp_path / ("x" * LONGEST_SOCKET_BYTES)
    deep.mkdir()

    async def ask() -> None:
        assert not list(deep.iterdir())

    watched(target(directory=deep), ask)
    assert "admin-not-served" in caplog.messages


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("admin.listen", {"admin": "0.0.0.0:9000"}),
        ("admin.listen", {"admin": "nowhere"}),
        ("admin.listen", {"admin": "127.0.0.1:65535", "worker": 1}),
        ("metrics.listen", {"metrics": "nowhere"}),
        ("metrics.listen", {"metrics": "unix:/metrics"}),
        ("metrics.listen", {"metrics": "127.0.0.1:65535", "worker": 1}),
    ],
)
def test_setting_that_will_not_do_is_named_before_anything_is_served(
    target: Callable[..., Target], key: str, settings: dict[str, object]
) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}: "):
        Monitor(target(**settings))


@pytest.mark.parametrize(("listen", "has_causes"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_causes_behind_rejections_are_for_this_machine_alone(
    target: Callable[..., Target], listen: str, has_causes: bool
) -> None:
    port = free_ports()

    async def ask() -> None:
        page = await scraped(port)
        assert "# TYPE medunion_refusals_total counter" in page
        assert ("medunion_rejection_causes" in page) is has_causes

    watched(target(metrics=f"{listen}:{port}"), ask)
