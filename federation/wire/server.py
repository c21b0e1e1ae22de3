"""gRPC servers over TLS: certificates that rotate, keys in memory alone, bounds, health, a graceful stop (docs/adr/0007)."""

import asyncio
import resource
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import grpc
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from federation.clock import Clock, system_clock
from federation.errors import Unavailable
from federation.settings import ServerSettings
from federation.wire import operations, ports
from federation.wire.health import Health
from federation.wire.limits import MOST_MESSAGE_BYTES
from keystore.x509 import TlsLeaf
from keystore.x509_lint import LEAF_LIFE

_MOST_METADATA_BYTES = 16 * 1024
_STREAM_GRACE = timedelta(hours=1)

_BACKSTOP = 200
"""Calls that gRPC still hands over when the call guard's bound is reached, so that it can refuse them with RetryInfo."""

SETTLING = timedelta(seconds=0.5)
"""How long a connection that has begun may take until TCP has set it up."""

LOOK_EVERY = timedelta(seconds=0.5)

TAKING_HOLD = timedelta(seconds=0.1)
"""How long a handshake may take from asking for its certificate until it has taken hold of it: gRPC needs some microseconds."""

SPARE = 256
"""Kept free of connections: for the token, the database, blobs, logs, the admin server, and what gRPC opens for itself."""

PORTS = 2
"""A process serves at most so many; each gets the same share."""

FEWEST_CONNECTIONS = 16


def oldest_connection(settings: ServerSettings) -> timedelta:
    """Return after how long every connection that there is has been told to go. gRPC varies a connection's age by a tenth."""
    return timedelta(minutes=settings.connection_age_minutes) * 1.1 + timedelta(seconds=5)


class LeafRotation:
    """A TLS leaf in memory, made anew when half its life is over, or its CA is replaced. Safe for several threads."""

    def __init__(
        self,
        issue: Callable[[datetime], TlsLeaf],
        clock: Clock = system_clock,
        issuer: Callable[[], bytes] = lambda: b"",
    ) -> None:
        """Make leaves with `issue`, which signs in the token; `issuer` says at once by which CA it does now."""
        self._issue = issue
        self._issuer = issuer
        self._clock = clock
        self._lock = threading.Lock()
        self._issued_by = issuer()
        self._leaf = issue(self._now())

    def current(self) -> TlsLeaf:
        """Return the leaf to serve. If a new one can't be made now, the old one serves as long as it lives."""
        now = self._now()
        with self._lock:
            try:
                self._renew_if_due(now)
            except Exception as error:  # noqa: BLE001 - called from gRPC's handshake: the old leaf still holds
                operations.failure("tls-leaf-not-renewed", error)
            return self._leaf

    def _renew_if_due(self, now: datetime) -> None:
        issuer = self._issuer()
        if self._leaf.not_after - now < LEAF_LIFE / 2 or issuer != self._issued_by:
            self._leaf, self._issued_by = self._issue(now), issuer

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock() / 1000, UTC)


@dataclass(frozen=True)
class Server:
    """A server that listens. `port` is the one that was bound: the system's choice where 0 was asked for."""

    grpc: grpc.aio.Server
    port: int
    health: Health
    most_connections: int

    async def start(self) -> None:
        """Take calls."""
        await self.grpc.start()
        self.health.tell("", healthy=True)

    def connections(self) -> int:
        """Count who is connected to this process at the port."""
        return ports.connections(self.port)

    async def leave(self, patience: timedelta) -> bool:
        """Leave the port to other processes, and serve those who are connected until they have gone; return whether all have.

        Every connection is told to go (GOAWAY) when it is `connection_age_minutes` old, and no call of its fails: gRPC's own stop
        would refuse those that came before the client knew. Stop this server then.
        """
        ports.hold_back(self.port)
        await asyncio.sleep(SETTLING.total_seconds())
        ports.stop_listening(self.port)
        return await self.emptied(patience)

    async def emptied(self, patience: timedelta) -> bool:
        """Wait until nobody is connected any more, and return whether that came in time."""
        give_up_at = time.monotonic() + patience.total_seconds()
        while self.connections():
            if time.monotonic() > give_up_at:
                return False
            await asyncio.sleep(LOOK_EVERY.total_seconds())
        return True

    async def stop(self, grace: timedelta) -> None:
        """Take no new calls, and let those under way end within the grace. Its port is free for the next server at once."""
        self.health.close()
        await self.grpc.stop(grace.total_seconds())


def build_server(
    address: str,
    leaf: LeafRotation,
    root_pem: bytes | Callable[[], bytes],
    *,
    require_client_certificate: bool,
    interceptors: Sequence[grpc.aio.ServerInterceptor],
    settings: ServerSettings,
    health: Health | None = None,
    shared: bool = False,
) -> Server:
    """Build a server at `host:port`, within a running event loop. Add its servicers to `.grpc`, then start it.

    `root_pem` is asked for at each handshake if it can be, so that whom to trust changes without a restart. `health` is told by
    this server, and by others of the same process if they are given the same. A `shared` port is one where other processes of
    this node listen too: whoever starts them has made sure that nobody else does (federation.wire.ports).
    Raises Unavailable if nothing can listen there, or the process may open too few files.
    """
    most_connections = connections_that_fit(settings.most_connections)
    server = grpc.aio.server(
        interceptors=interceptors,
        options=_options(settings, most_connections, shared=shared),
        maximum_concurrent_rpcs=settings.most_concurrent_calls + _BACKSTOP,
    )
    health = health or Health()
    add_HealthServicer_to_server(health, server)
    credentials = _credentials(leaf, root_pem, require_client_certificate=require_client_certificate)
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise Unavailable(f"nothing can listen at {address}; is something else there?") from error
    return Server(server, port, health, most_connections)


class _Certificates:
    """What handshakes are made with, told to gRPC only when it has changed, and then a moment late.

    Before each handshake gRPC asks, under a lock. If it is told something new it frees what it had, though a handshake that asked
    just before may not have taken hold of that yet: then the process dies (grpc/grpc#36693, docs/adr/0007). While a change waits
    here nobody else can ask, so whoever had asked has taken hold when it comes.
    """

    def __init__(self, leaf: LeafRotation, roots: Callable[[], bytes | None]) -> None:
        self._leaf, self._roots = leaf, roots
        self._told = self._now()

    def told(self) -> grpc.ServerCertificateConfiguration:
        """Return what handshakes are made with."""
        leaf, roots = self._told
        return grpc.ssl_server_certificate_configuration([(leaf.private_key, leaf.chain)], roots)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what they are made with from now on, or None if that is what it was."""
        now = self._now()
        if now == self._told:
            return None
        time.sleep(TAKING_HOLD.total_seconds())
        self._told = now
        return self.told()

    def _now(self) -> tuple[TlsLeaf, bytes | None]:
        return self._leaf.current(), self._roots()


def _credentials(
    leaf: LeafRotation, root_pem: bytes | Callable[[], bytes], *, require_client_certificate: bool
) -> grpc.ServerCredentials:
    def roots() -> bytes | None:
        if not require_client_certificate:
            return None
        return root_pem if isinstance(root_pem, bytes) else root_pem()

    certificates = _Certificates(leaf, roots)
    return grpc.dynamic_ssl_server_credentials(
        certificates.told(),
        certificates.changed,  # type: ignore[arg-type] # types-grpcio leaves out the None that gRPC documents
        require_client_certificate,
    )


def _options(settings: ServerSettings, most_connections: int, *, shared: bool) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", MOST_MESSAGE_BYTES),
        ("grpc.max_metadata_size", _MOST_METADATA_BYTES),
        # Unless they are meant to, two processes at one port would each get half the connections, silently.
        ("grpc.so_reuseport", int(shared)),
        ("grpc.keepalive_time_ms", _milliseconds(settings.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _milliseconds(settings.keepalive_seconds * 2 / 3)),
        # gRPC 1.85 waits for a ping's answer as long as this says, 60 s, whatever the keepalive timeout.
        ("grpc.http2.ping_timeout_ms", _milliseconds(settings.keepalive_seconds * 2 / 3)),
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.server_handshake_timeout_ms", _milliseconds(settings.handshake_seconds)),
        # Beyond it, whoever connects is closed at once; without it a crowd that only connects uses up the process's open files.
        ("grpc.max_allowed_incoming_connections", most_connections),
        ("grpc.max_concurrent_streams", settings.most_calls_per_caller),
        ("grpc.max_connection_idle_ms", _milliseconds(settings.idle_minutes * 60)),
        ("grpc.max_connection_age_ms", _milliseconds(settings.connection_age_minutes * 60)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(_STREAM_GRACE.total_seconds())),
        ("grpc.enable_channelz", 1),
    ]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def connections_that_fit(wanted: int) -> int:
    """Return how many connections a port may have, at most as many as wanted; this process gets the open files for them.

    A shell gives 1,024 by default, and lets a process help itself to more, up to a hard limit. Where that doesn't do, there are
    fewer connections. Raises Unavailable if it is so low that nobody would be served.
    """
    allowed = _raised_to(SPARE + PORTS * wanted)
    fitting = min(wanted, (allowed - SPARE) // PORTS)
    if fitting < min(wanted, FEWEST_CONNECTIONS):
        least = SPARE + PORTS * FEWEST_CONNECTIONS
        raise Unavailable(
            f"this process may open {allowed} files, and needs {least} at least: raise its limit (ulimit -Hn)"
        )
    if fitting < wanted:
        operations.warning("fewer-connections", most=fitting, wanted=wanted, cause="open files")
    return fitting


def _raised_to(needed: int) -> int:
    """Raise this process's limit of open files as far as it is needed and may be, and return how far that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
