"""The admin server: what it serves, to whom, and that a socket has one owner from the first moment to the last."""

import asyncio
import os
import socket as sockets
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from federation.errors import Unavailable
from federation.monitor.addresses import LONGEST_SOCKET_BYTES
from federation.monitor.admin import admin_server
from federation.settings import ConfigError
from federation.wire.health import Health

SERVING = HealthCheckResponse.SERVING


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "admin.sock"


@asynccontextmanager
async def asking(address: str) -> AsyncIterator[HealthStub]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield HealthStub(channel)


async def status(address: str, service: str = "") -> int:
    async with asking(address) as stub:
        return (await stub.Check(HealthCheckRequest(service=service), timeout=60)).status


def serving() -> Health:
    health = Health()
    health.tell("", healthy=True)
    return health


def test_unknown_service_is_not_found(socket: Path) -> None:
    async def main() -> None:
        async with admin_server(f"unix:{socket}", serving()) as address:
            assert await status(address) == SERVING
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await status(address, "nothing")
            assert raised.value.code() == grpc.StatusCode.NOT_FOUND

    asyncio.run(main())


def test_socket_is_its_owners_from_the_first_moment(
    socket: Path, monkeypatch: pytest.MonkeyPatch, open_umask: None
) -> None:
    seen = []
    chmod = Path.chmod

    def looking(path: Path, mode: int) -> None:
        seen.append(stat.S_IMODE(path.stat().st_mode))
        chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", looking)

    async def main() -> None:
        async with admin_server(f"unix:{socket}", serving()):
            assert stat.S_IMODE(socket.stat().st_mode) == 0o600

    asyncio.run(main())
    assert len(seen) == 1
    assert not seen[0] & 0o077, "others could have come in between"
    made = socket.with_name("after")
    made.touch(0o666)
    assert stat.S_IMODE(made.stat().st_mode) == 0o666, "the umask was not put back"


@pytest.fixture
def open_umask() -> AsyncIterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_socket_of_a_living_server_is_not_taken_over(socket: Path) -> None:
    async def main() -> None:
        async with admin_server(f"unix:{socket}", serving()) as address:
            with pytest.raises(Unavailable, match=r"admin\.sock"):
                await admin_server(f"unix:{socket}", Health()).__aenter__()
            assert await status(address) == SERVING

    asyncio.run(main())


def test_socket_that_a_dead_server_left_is_taken(socket: Path) -> None:
    with sockets.socket(sockets.AF_UNIX) as left:
        left.bind(str(socket))
        left.listen()
    assert socket.exists()

    async def main() -> None:
        async with admin_server(f"unix:{socket}", serving()) as address:
            assert await status(address) == SERVING
        async with admin_server(f"unix:{socket}", serving()) as address:
            assert await status(address) == SERVING
        assert not socket.exists()

    asyncio.run(main())


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0"])
def test_loopback_is_served(address: str) -> None:
    async def main() -> None:
        async with admin_server(address, serving()) as served:
            assert not served.endswith(":0")
            assert await status(served) == SERVING

    asyncio.run(main())


def test_port_that_is_taken_is_unavailable() -> None:
    async def main() -> None:
        async with admin_server("127.0.0.1:0", serving()) as served:
            with pytest.raises(Unavailable, match=served):
                await admin_server(served, Health()).__aenter__()

    asyncio.run(main())


@pytest.mark.parametrize(
    "listen",
    [
        "0.0.0.0:9000",
        "[::]:9000",
        "192.0.2.1:9000",
        "example.org:9000",
        "127.0.0.1",
        "127.0.0.1:port",
        "127.0.0.1:70000",
        "unix:relative.sock",
        f"unix:/{'x' * LONGEST_SOCKET_BYTES}",
    ],
)
def test_address_that_will_not_do_names_the_key(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"^admin\.listen: "):
        asyncio.run(entered(lambda: admin_server(listen, Health())))


async def entered(make: Callable[[], object]) -> None:
    await make().__aenter__()
