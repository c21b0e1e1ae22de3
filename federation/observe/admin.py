"""The admin server: health, reflection and channelz for the operators of this machine, and nothing of the protocol.

It has neither TLS nor callers' identities, so it listens on a Unix socket in the node's own directory, or on loopback.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

from federation.config import ConfigError
from federation.errors import Unavailable
from federation.observe.endpoint import is_local
from federation.wire.health import Health

LONGEST_SOCKET_BYTES = 107
"""Of a Unix socket's path on Linux (unix(7))."""

SERVICES = (
    health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
    channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name,
    reflection.SERVICE_NAME,
)
_MOST_CALLS = 100
_GRACE = timedelta(seconds=1)


@asynccontextmanager
async def admin_server(listen: str, health: Health) -> AsyncIterator[str]:
    """Serve at `unix:/path` or `host:port` for the block; give the address. Raises ConfigError, Unavailable."""
    _require_local(listen)
    server = grpc.aio.server(maximum_concurrent_rpcs=_MOST_CALLS, options=[("grpc.so_reuseport", 0)])
    add_HealthServicer_to_server(health, server)
    channelz.add_channelz_servicer(server)
    reflection.enable_server_reflection(SERVICES, server)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise Unavailable(f"the admin server can't listen at {listen}; is something else there?") from error
    await server.start()
    if listen.startswith("unix:"):
        Path(listen.removeprefix("unix:")).chmod(0o600)
    try:
        yield listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"
    finally:
        await server.stop(_GRACE.total_seconds())


def _require_local(listen: str) -> None:
    if not is_local(listen):
        raise ConfigError(
            f"admin.listen: {listen} can be reached from elsewhere; give a Unix socket or a loopback address"
        )
    if listen.startswith("unix:") and len(listen.removeprefix("unix:").encode()) > LONGEST_SOCKET_BYTES:
        raise ConfigError(f"admin.listen: the path of a Unix socket has at most {LONGEST_SOCKET_BYTES} bytes: {listen}")
