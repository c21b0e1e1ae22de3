"""The admin server: health, reflection and channelz for the operators of this machine, and nothing of the protocol.

It has neither TLS nor callers' identities, so it listens on a Unix socket in the node's own directory, or on loopback. Health
checks of containers and operators ask it how the node is.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
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
from federation.monitor.addresses import UNIX, require_admin_address
from federation.wire.health import Health
from federation.wire.roles import ServicerContext

SERVICES = (
    health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
    channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name,
    reflection.SERVICE_NAME,
)
_MOST_CALLS = 100
_GRACE = timedelta(seconds=1)


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
