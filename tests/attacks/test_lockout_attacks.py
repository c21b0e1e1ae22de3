"""A few idle addresses take all the places of a cloud, so that nobody else is served: neither newcomers nor hospitals.

The cloud is a real one, over TLS; the addresses are those of 127.0.0.0/8, each behind a forwarder that connects from it.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Self

import grpc
import pytest
import sqlalchemy as sa
from grpc_health.v1.health_pb2 import HealthCheckRequest

from federation.errors import Limit
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.settings import ServerSettings
from federation.store.schema import metadata
from federation.v1.directory_pb2 import GetDirectoryRequest, WatchDirectoryRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.v1.registration_pb2 import OpenRegistrationRequest
from federation.v1.registration_pb2_grpc import RegistrationServiceStub
from federation.wire.channel import open_channel
from tests.e2e.cloud_lab import CloudLab, Serve

ATTACKERS = 5
PLACES = 40
EACH = 10
PATIENCE = 60
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
FEW = ServerSettings(
    most_concurrent_calls=PLACES,
    most_calls_per_caller=EACH,
    first_message_seconds=300,
    next_message_seconds=300,
    openers_per_second=1000,
    openers_burst=1000,
)


class _Source:
    """An address of this machine: what is sent to `address` arrives at the server from it."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self._listening.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._port), source_address=(self._host, 0))
                except OSError:
                    near.close()
                    raise
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(one, other), daemon=True).start()

    def close(self) -> None:
        """End its connections."""
        self._listening.close()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


class _Crowd:
    """Addresses that open calls and say nothing more. Use as a context manager."""

    def __init__(self, lab: CloudLab) -> None:
        self._lab, self._stack = lab, ExitStack()
        self._silence = threading.Event()
        self._calls: list[object] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._silence.set()
        self._stack.close()

    def channel(self, host: str) -> grpc.Channel:
        """Give a channel to the public port that comes from an address."""
        assert self._lab.ports is not None
        source = _Source(host, self._lab.ports.public)
        self._stack.callback(source.close)
        root = self._lab.node.trust().tls_roots
        return self._stack.enter_context(open_channel(source.address, "C:union", root))

    def silent(self) -> Iterator[bytes]:
        """Send nothing."""
        self._silence.wait(PATIENCE)
        yield from ()

    def opened(self, idles: "Callable[[_Crowd, grpc.Channel], object]", addresses: int = ATTACKERS) -> None:
        """Open calls from every address, as many as each is given, and wait until the server has heard of them all."""
        for number in range(addresses):
            channel = self.channel(f"127.0.0.{number + 2}")
            grpc.channel_ready_future(channel).result(PATIENCE)
            for _ in range(EACH - 1):
                self._calls.append(idles(self, channel))
            # Answered behind them, in the last stream that the connection has: the server has heard of each.
            with suppress(grpc.RpcError):
                channel.unary_unary("/federation.v1.DirectoryService/GetDirectory")(b"", timeout=PATIENCE)


@pytest.fixture(scope="module")
def lab(serve_cloud: Serve) -> Iterator[CloudLab]:
    """Give a served cloud with places for a few."""
    with serve_cloud(server=FEW) as made:
        yield made


@pytest.fixture(scope="module")
def hospital(lab: CloudLab) -> tuple[Member, CloudClient]:
    """Give a registered hospital."""
    return lab.hospital("H:steady")


def _never_speaks(crowd: _Crowd, channel: grpc.Channel) -> object:
    return channel.stream_unary("/federation.v1.DirectoryService/GetDirectory").future(crowd.silent())


def _watches_health(_: _Crowd, channel: grpc.Channel) -> object:
    return channel.unary_stream(HEALTH_WATCH, HealthCheckRequest.SerializeToString)(HealthCheckRequest())


def _watches_the_directory(_: _Crowd, channel: grpc.Channel) -> object:
    return DirectoryServiceStub(channel).WatchDirectory(WatchDirectoryRequest(revision=0))


@pytest.mark.parametrize("idles", [_never_speaks, _watches_health, _watches_the_directory])
def test_e4_five_idle_addresses_keep_neither_hospitals_nor_newcomers_out(
    lab: CloudLab, hospital: tuple[Member, CloudClient], idles: Callable[[_Crowd, grpc.Channel], object]
) -> None:
    with _Crowd(lab) as crowd:
        crowd.opened(idles)
        assert hospital[1].issue_ticket(hospital[0], "P:meanwhile").ticket
        newcomer = crowd.channel("127.0.0.99")
        assert DirectoryServiceStub(newcomer).GetDirectory(GetDirectoryRequest(), timeout=PATIENCE)
        assert RegistrationServiceStub(newcomer).OpenRegistration(OpenRegistrationRequest(), timeout=PATIENCE).challenge
        assert next(
            iter(DirectoryServiceStub(newcomer).WatchDirectory(WatchDirectoryRequest(revision=0), timeout=PATIENCE))
        )


def test_public_port_that_a_crowd_has_filled_keeps_no_hospital_from_the_peer_port(
    lab: CloudLab, hospital: tuple[Member, CloudClient]
) -> None:
    member, client = hospital
    client.issue_ticket(member, "P:before")
    with _Crowd(lab) as crowd:
        crowd.opened(_never_speaks, PLACES)
        with pytest.raises(Limit):
            client.directory()
        assert client.issue_ticket(member, "P:beside").ticket


def test_challenges_that_nobody_uses_leave_nothing_behind(lab: CloudLab) -> None:
    """Anybody may ask for challenges; kept, they filled a table until no one could register."""
    with _Crowd(lab) as crowd:
        stub = RegistrationServiceStub(crowd.channel("127.0.0.50"))
        before = _rows(lab)
        given = {stub.OpenRegistration(OpenRegistrationRequest(), timeout=PATIENCE).challenge for _ in range(50)}
        assert len(given) == 50
        assert _rows(lab) == before


def _rows(lab: CloudLab) -> dict[str, int]:
    """Count the rows of every table but the log, in which other calls may be."""

    def count(connection: sa.Connection) -> dict[str, int]:
        tables = [table for table in metadata.sorted_tables if not table.name.startswith("log")]
        return {table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in tables}

    return lab.node.database.read(count)
