"""A federation whose servers are several processes each, and a hospital in the test's own process that calls its cloud."""

import itertools
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from demo.stage import SECONDS, Federation, free_address, run, ticket_in
from federation.clock import system_clock
from federation.errors import Rejected
from federation.party.channels import call
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.party.node_directory import read_trust
from federation.party.registration import parse_ticket, register
from federation.protocol.calls import RENEW
from federation.store.database import open_database
from federation.store.party import Epochs, Settings
from federation.store.revocations import KeptShards
from federation.v1.membership_pb2 import EncryptionKeyRenewal, PutEncryptionKeyRequest
from federation.v1.membership_pb2_grpc import MembershipServiceStub
from federation.v1.statement_pb2 import ROLE_HOSPITAL
from federation.wire.channel import open_channel
from hsm import open_token, pin_from_value
from keystore.party import HospitalKeys
from keystore.x509 import TlsLeaf, issue_leaf, request_certificate
from tests.contract import postgresql_server
from tests.e2e.cloud_lab import publication_of
from tests.waiting import until

DATABASES = ("sqlite", "postgresql")
ADDRESS = "127.0.0.1:9"
"""A hand-over starts four processes beside all that run already."""

_numbers = itertools.count(1)


def set_server(directory: Path, **values: object) -> None:
    """Write settings into `[server]` of a node."""
    _set_in(directory, "[server]", values)


def set_metrics(directory: Path, port: int) -> None:
    """Have a node's processes show their metrics from a port on."""
    _set_in(directory, "[metrics]", {"listen": f'"127.0.0.1:{port}"'})


def _set_in(directory: Path, section: str, values: dict[str, object]) -> None:
    file = directory / "medunion.toml"
    head, _, rest = file.read_text().partition(f"\n{section}\n")
    own, between, others = rest.partition("\n[")
    kept = [text for text in own.splitlines() if text.partition(" ")[0] not in values]
    written = [f"{name} = {value}" for name, value in values.items()]
    file.write_text(f"{head}\n{section}\n" + "\n".join([*written, *kept]) + "\n" + between + others)


def metric(port: int, name: str) -> str:
    """Return the value of a metric without labels; empty if nothing answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as page:
            lines = page.read().decode().splitlines()
    except OSError:
        return ""
    return next((line.split()[1] for line in lines if line.startswith(f"{name} ")), "")


class Stage(Federation):
    """A federation whose servers share their ports among several processes."""

    def __init__(self, root: Path, database: str, processes: int = 3) -> None:
        super().__init__(root)
        self.database = database
        self.processes = processes
        self.metrics: dict[str, int] = {}

    def options(self) -> tuple[str, ...]:
        """Return the options of `init` that name a database of its own."""
        if self.database == "sqlite":
            return ()
        server = postgresql_server.server()
        return "--database", server.url(server.new_database())

    def serve(self, kind: str, directory: Path) -> None:
        # Connections age quickly, so that whoever leaves has left soon. Hospital A is one process, and hands over all the same.
        processes = 1 if directory.name == "a" else self.processes
        set_server(directory, processes=processes, connection_age_minutes=0.05)
        self.metrics[directory.name] = int(free_address().rpartition(":")[2])
        set_metrics(directory, self.metrics[directory.name])
        super().serve(kind, directory)

    def stop(self) -> None:
        """Stop everybody, successors too: nobody here started those."""
        super().stop()
        for directory in self.root.iterdir():
            if (directory / "ready").exists():
                _end(told(directory)["pid"], directory)

    @contextmanager
    def everything(self) -> Iterator["Stage"]:
        try:
            self.found(*self.options())
            self.add_hospital("a", *self.options())
            self.add_hospital("b", *self.options())
            yield self
        finally:
            self.stop()


def told(directory: Path) -> dict:
    """Return what the server said when it took calls."""
    return json.loads((directory / "ready").read_text())


def hand_over(directory: Path) -> tuple[int, int]:
    """Have a successor take over, by SIGUSR2, and return the processes of both."""
    before = told(directory)["pid"]
    (directory / "ready").unlink()
    os.kill(before, signal.SIGUSR2)
    until((directory / "ready").exists, "the successor serves")
    return before, told(directory)["pid"]


def is_gone(process: int) -> bool:
    """Return whether a process has ended; one that nobody waits for yet counts."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # ended before the file was opened, or while it was read
        return True


def _end(process: int, directory: Path) -> None:
    """End a server of a directory that is not this process's child, if it runs."""
    with suppress(FileNotFoundError, ProcessLookupError):
        if os.fsencode(directory) in Path(f"/proc/{process}/cmdline").read_bytes():
            os.kill(process, signal.SIGTERM)
            until(lambda: is_gone(process), "the process has gone")


def health(socket: Path, service: str) -> str:
    """Ask a process's admin server; empty if it does not answer."""
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        try:
            answer = HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=2)
        except grpc.RpcError:
            return ""
        return HealthCheckResponse.ServingStatus.Name(answer.status)


class Guest:
    """A hospital of this process, registered with a cloud that is served by others."""

    def __init__(self, stage: Stage, make_uri: Callable[..., object], pin: str) -> None:
        self.identity = f"H:guest{next(_numbers)}"
        self.trust = read_trust(stage.trust)
        self._open = ExitStack()
        token = self._open.enter_context(open_token(make_uri("guest"), pin_from_value(pin)))
        database = self._open.enter_context(open_database(f"sqlite:///{stage.root}/{self.identity[2:]}.sqlite"))
        self.keys = HospitalKeys.create(token)
        kept = Settings(database), Epochs(database)
        self.member = Member(self.identity, self.keys, *kept, self.trust, shards=KeptShards(database))
        ticket = ticket_in(run("public-cloud", "invite", "--directory", stage.root / "cloud", self.identity))
        plain = self.client()
        register(self.member, plain, ROLE_HOSPITAL, b"licence", parse_ticket(ticket))
        request = request_certificate(self.keys.tls_ca_key, self.identity)
        self._certificate = plain.certify_tls_identity(self.member, request)
        plain.renew(self.member, ADDRESS)
        self.publication = publication_of(self.identity, "P:anyone", f"{self.identity}/cardiology")

    def client(self, *, peer: bool = False) -> CloudClient:
        """Return a client with connections of its own."""
        leaf = self._leaf() if peer else None
        return self._open.enter_context(CloudClient(lambda: self.trust, leaf=None if leaf is None else lambda: leaf))

    def _leaf(self) -> TlsLeaf:
        return issue_leaf(self._certificate, self.keys.tls_ca_key, self.identity, now=datetime.now(UTC))

    def channel(self, address: str | None = None) -> grpc.Channel:
        """Return a connection of its own to the cloud's public port, or to the one at an address."""
        content = self.trust.content
        where = address or content.cloud_address
        return self._open.enter_context(open_channel(where, content.cloud_id, self.trust.tls_roots))

    def renewal(self) -> PutEncryptionKeyRequest:
        """Return a sealed message that may be taken once."""
        now, key = system_clock(), self.client().cloud_key(self.member)
        payload = EncryptionKeyRenewal(encryption_key_statement=self.member.epochs.current(now))
        opening, _ = RENEW.send(payload, self.member.keys.signing_key, key, now=now)
        return PutEncryptionKeyRequest(opening=opening)

    def is_taken(self, request: PutEncryptionKeyRequest, address: str | None = None) -> bool:
        """Send it over a connection of its own, and return whether it was taken."""
        try:
            call(MembershipServiceStub(self.channel(address)).PutEncryptionKey, request)
        except Rejected:
            return False
        return True

    def close(self) -> None:
        self._open.close()


class Load:
    """Calls by several clients at once, none made twice: what fails is kept."""

    def __init__(self, *rounds: Callable[[], object]) -> None:
        self._rounds = rounds
        self._stopping = threading.Event()
        self.done = 0
        self.slowest = 0.0
        self.failures: list[Exception] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._run, args=(each,)) for each in self._rounds]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join(SECONDS)

    def await_calls(self, count: int) -> None:
        """Wait until so many more calls have been made."""
        enough = self.done + count
        until(lambda: self.done >= enough, "the calls are done")

    def _run(self, each: Callable[[], object]) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                each()
            except Exception as error:  # noqa: BLE001 - the test says what failed
                self.failures.append(error)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.done += 1
            time.sleep(0.03)
