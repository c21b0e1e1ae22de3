"""The admin server: health, reflection and channelz for the operators of this machine, and nothing of the protocol.

It has neither TLS nor callers' identities, so it listens on a Unix socket in the node's own directory, or on loopback. Health
checks of containers and operators ask it how the node is.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer, add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

import safefiles
from federation.errors import NotFound, Unavailable
from federation.monitor.endpoint import is_local, worker_address
from federation.party.node_directory import NodeDirectory
from federation.settings import CloudSettings, ConfigError, HospitalSettings
from federation.wire.channel import WITHOUT_PROXY
from federation.wire.health import DATABASE, LOG, PEERS, RECORDS, TOKEN, Health
from federation.wire.roles import ServicerContext

LONGEST_SOCKET_BYTES = 107
"""Of a Unix socket's path on Linux (unix(7))."""

SERVICES = (
    health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
    channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name,
    reflection.SERVICE_NAME,
)
_MOST_CALLS = 100
_GRACE = timedelta(seconds=1)

SERVER = ""
DEPENDENCIES = (TOKEN, DATABASE, LOG, RECORDS, PEERS)
_CHECK = "/grpc.health.v1.Health/Check"

UNIX = "unix:"
ADMIN_LISTEN = "admin.listen"


@asynccontextmanager
async def admin_server(listen: str, health: Health) -> AsyncIterator[str]:
    """Serve at `unix:/path` or `host:port` for the block, and yield the address. Raises ConfigError, Unavailable."""
    require_admin_address(listen)
    socket = Path(listen.removeprefix(UNIX)) if listen.startswith(UNIX) else None
    with _owned(socket) if socket is not None else nullcontext():
        server = grpc.aio.server(maximum_concurrent_rpcs=_MOST_CALLS, options=[("grpc.so_reuseport", 0)])
        add_HealthServicer_to_server(_Clear(health), server)
        channelz.add_channelz_servicer(server)
        reflection.enable_server_reflection(SERVICES, server)
        port = _bind(server, listen, socket)
        await server.start()
        try:
            yield listen if socket is not None else f"{listen.rpartition(':')[0]}:{port}"
        finally:
            await server.stop(_GRACE.total_seconds())


def require_admin_address(listen: str) -> None:
    """Raise ConfigError unless an address is of this machine alone."""
    if not is_local(listen, ADMIN_LISTEN):
        raise ConfigError(
            f"{ADMIN_LISTEN}: {listen} can be reached from elsewhere; give a Unix socket or a loopback address"
        )
    if not listen.startswith(UNIX):
        return
    path = listen.removeprefix(UNIX)
    if not path.startswith("/"):
        raise ConfigError(f"{ADMIN_LISTEN}: {listen} is not unix:/path/of/a/socket")
    if not fits(path):
        raise ConfigError(f"{ADMIN_LISTEN}: the path of a Unix socket has at most {LONGEST_SOCKET_BYTES} bytes: {path}")


def own_socket(directory: NodeDirectory) -> str:
    """Return where the admin server listens unless the settings say otherwise."""
    return f"{UNIX}{directory.path.resolve() / 'admin.sock'}"


def fits(socket: str | Path) -> bool:
    """Return whether a Unix socket can have that path."""
    return len(os.fsencode(socket)) <= LONGEST_SOCKET_BYTES


class _Clear(HealthServicer):
    """Health without the call guard, which gives errors their codes at the other ports."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def Check(self, request: HealthCheckRequest, context: ServicerContext) -> HealthCheckResponse:  # noqa: N802
        try:
            return await self._health.Check(request, context)
        except NotFound as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))

    async def Watch(  # noqa: N802 - the name in the proto
        self, request: HealthCheckRequest, context: ServicerContext
    ) -> AsyncIterator[HealthCheckResponse]:
        async for answer in self._health.Watch(request, context):
            yield answer


def _bind(server: grpc.aio.Server, listen: str, socket: Path | None) -> int:
    try:
        if socket is None:
            return server.add_insecure_port(listen)
        with _private():
            port = server.add_insecure_port(listen)
        socket.chmod(0o600)
    except (RuntimeError, OSError) as error:
        raise Unavailable(f"the admin server can't listen at {listen}; is something else there?") from error
    return port


@contextmanager
def _private() -> Iterator[None]:
    """Make what is made within the block this user's alone. The mask is the process's: a directory stays usable under it."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _owned(socket: Path) -> Iterator[None]:
    """Keep a socket to this process for the block: gRPC takes one away from whoever serves there. Raises Unavailable."""
    try:
        file = safefiles.LockFile(socket.with_name(f"{socket.name}.lock"))
    except OSError as error:
        raise Unavailable(f"the admin server can't listen at {socket}: {error.strerror}") from error
    with file:
        if not file.try_acquire():
            raise Unavailable(f"the admin server can't listen at {socket}: another process serves there")
        yield


@dataclass(frozen=True)
class Condition:
    """How one part of one process of a node is: "" is the server itself."""

    process: int
    service: str
    is_serving: bool


def conditions(directory: NodeDirectory, patience: timedelta) -> list[Condition]:
    """Ask every process for its server and for what that depends on. Raises ConfigError, Unavailable if one doesn't answer."""
    settings = _settings(directory)
    listen = settings.admin.listen or own_socket(directory)
    found: list[Condition] = []
    others = settings.token.others
    members = [f"{TOKEN}-{number}" for number in range(1, len(others) + 2)] if others else []
    for process in range(settings.server.processes):
        address = worker_address(listen, process, ADMIN_LISTEN)
        with grpc.insecure_channel(address, options=[WITHOUT_PROXY]) as channel:
            for service in (SERVER, *DEPENDENCIES, *members):
                status = _status(channel, service, patience)
                if status is not None:
                    found.append(Condition(process, service, status == HealthCheckResponse.SERVING))
    return found


def _status(channel: grpc.Channel, service: str, patience: timedelta) -> int | None:
    """Return the status of a service; None where this kind of node does not depend on it."""
    check = channel.unary_unary(_CHECK, HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString)
    try:
        # While a node is handed over, its admin server is for a moment nobody's.
        answer = check(HealthCheckRequest(service=service), timeout=patience.total_seconds(), wait_for_ready=True)
        return int(answer.status)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise Unavailable("nobody answers at the admin server of this node; does it serve?") from error


def _settings(directory: NodeDirectory) -> HospitalSettings | CloudSettings:
    if directory.letter == "C":
        return directory.settings(CloudSettings)
    return directory.settings(HospitalSettings)
