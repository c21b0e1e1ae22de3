"""A real gRPC server over TLS on loopback, with the call guard in front of servicers that do as a test says."""

import asyncio
import inspect
import io
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from federation.party.audit import AuditEvent
from federation.settings import ServerSettings
from federation.v1.directory_pb2 import GetDirectoryResponse, WatchDirectoryResponse
from federation.v1.directory_pb2_grpc import DirectoryServiceServicer, add_DirectoryServiceServicer_to_server
from federation.v1.membership_pb2 import IssueTicketResponse
from federation.v1.membership_pb2_grpc import MembershipServiceServicer, add_MembershipServiceServicer_to_server
from federation.v1.record_pb2 import GetHospitalResponse, OpenSessionResponse
from federation.v1.record_pb2_grpc import RecordServiceServicer, add_RecordServiceServicer_to_server
from federation.wire import operations
from federation.wire.call_guard import REJECTION_FLOOR, CallGuard
from federation.wire.call_reports import CallWatch, Watches
from federation.wire.channel import open_channel
from federation.wire.limits import RateBound, ShareBound, StreamDeadlines
from federation.wire.roles import calling_hospital
from federation.wire.server import LeafRotation, build_server
from federation.wire.workers import Workers
from keystore.x509 import TlsLeaf, create_tls_ca, issue_identity_ca, issue_leaf, request_certificate
from tests.keys import new_key

CLOUD = "C:unit"


class Authority:
    """A federation's TLS CA, in memory: these tests are about the wire, not about tokens."""

    def __init__(self) -> None:
        self.key = new_key()
        self.ca = create_tls_ca(self.key, "unit", now=datetime.now(UTC))
        self.root_pem = self.ca.public_bytes(Encoding.PEM)

    def cloud_leaf(self, now: datetime) -> TlsLeaf:
        """Return a leaf of the cloud."""
        return issue_leaf(self.ca, self.key, CLOUD, now=now)

    def hospital_leaf(self, name: str) -> TlsLeaf:
        """Return a leaf of a hospital, by its identity CA."""
        key, now = new_key(), datetime.now(UTC)
        ca = issue_identity_ca(self.ca, self.key, request_certificate(key, name), name, now=now)
        return issue_leaf(ca, key, name, now=now)


class Bench:
    """A served port, and what its call guard wrote to the audit log. `behave` is what the servicers do."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.port = 0
        self.audited: list[AuditEvent] = []
        self.behave: Callable[[], Any] = lambda: None
        self.rate, self.shares = RateBound(1000, 1000), ShareBound(500)
        self.floor = REJECTION_FLOOR
        self.settings = ServerSettings(handshake_seconds=5)
        self.deadlines = StreamDeadlines(timedelta(seconds=2), write=timedelta(seconds=2))
        self.watch: CallWatch = Watches()
        self.stop: Callable[[], None] = lambda: None
        self.hospital = GetHospitalResponse()
        self.stream: Callable[[], AsyncIterator[WatchDirectoryResponse]] | None = None

    def channel(self, leaf: TlsLeaf | None = None) -> grpc.Channel:
        """Return a channel to it."""
        return open_channel(f"127.0.0.1:{self.port}", CLOUD, self.authority.root_pem, leaf)

    def audit(self, event: AuditEvent) -> None:
        """Take an event."""
        self.audited.append(event)


class _Directory(DirectoryServiceServicer):
    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def GetDirectory(self, request, context):
        done = self._bench.behave()
        if inspect.isawaitable(done):
            await done
        return GetDirectoryResponse()

    async def WatchDirectory(self, request, context):
        if self._bench.stream is not None:
            async for response in self._bench.stream():
                yield response
            return
        yield WatchDirectoryResponse()
        self._bench.behave()


class _Membership(MembershipServiceServicer):
    async def PutEncryptionKey(self, request, context):
        raise NotImplementedError

    async def CertifyTlsIdentity(self, request, context):
        raise NotImplementedError

    async def IssueTicket(self, request, context):
        return IssueTicketResponse(ticket=str(calling_hospital(context)).encode())


class _Record(RecordServiceServicer):
    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def OpenSession(self, requests, context):
        async for _ in requests:
            self._bench.behave()
            yield OpenSessionResponse()

    async def GetHospital(self, request, context):
        return self._bench.hospital


@contextmanager
def served(bench: Bench, *, require_client_certificate: bool = False) -> Iterator[Bench]:
    ready, handles = threading.Event(), []

    async def main() -> None:
        workers, stop = Workers(2, 8), asyncio.Event()
        guard = CallGuard(
            bench.audit,
            workers,
            bench.rate,
            bench.deadlines,
            bench.floor,
            shares=bench.shares,
            watch=bench.watch,
        )
        server = build_server(
            "127.0.0.1:0",
            LeafRotation(bench.authority.cloud_leaf),
            bench.authority.root_pem,
            require_client_certificate=require_client_certificate,
            interceptors=[guard],
            settings=bench.settings,
        )
        add_DirectoryServiceServicer_to_server(_Directory(bench), server.grpc)
        add_MembershipServiceServicer_to_server(_Membership(), server.grpc)
        add_RecordServiceServicer_to_server(_Record(bench), server.grpc)
        await server.start()
        bench.port = server.port
        handles.append((asyncio.get_running_loop(), stop))
        ready.set()
        await stop.wait()
        await server.stop(timedelta(seconds=1))
        await guard.settle()
        workers.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(60)

    def end() -> None:
        loop, stop = handles[0]
        if thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
        thread.join(60)

    bench.stop = end
    try:
        yield bench
    finally:
        end()


@contextmanager
def listening_locally(name: str) -> Iterator[socket.socket]:
    """Listen at a socket of this machine, and wait for nobody."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name)
        listening.listen()
        listening.setblocking(False)
        yield listening


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Return a TLS CA."""
    return Authority()


@pytest.fixture
def bench(authority: Authority) -> Iterator[Bench]:
    """Yield a port for anyone."""
    with served(Bench(authority), require_client_certificate=False) as made:
        yield made


@pytest.fixture
def bench_with(authority: Authority) -> Iterator[Callable[..., Bench]]:
    """Yield a function that serves a port for anyone with other attributes of `Bench`, until the test ends."""
    with ExitStack() as stack:

        def make(**attributes: object) -> Bench:
            made = Bench(authority)
            for name, value in attributes.items():
                assert hasattr(made, name)
                setattr(made, name, value)
            return stack.enter_context(served(made))

        yield make


@pytest.fixture
def peer_bench(authority: Authority) -> Iterator[Bench]:
    """Yield a port for peers, by mutual TLS."""
    with served(Bench(authority), require_client_certificate=True) as made:
        yield made


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Configure the log as a server does; what this process had is put back."""
    loggers = [logging.getLogger(), logging.getLogger("medunion.operations")]
    before = [(logger, logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    stream = io.StringIO()
    operations.configure(stream)
    yield stream
    for logger, handlers, propagate, level in before:
        logger.handlers[:] = handlers
        logger.propagate = propagate
        logger.setLevel(level)
