"""A served federation that is watched: metrics, admin servers, spans; its hospital's line to the cloud can be cut."""

import socket
import sqlite3
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from prometheus_client.parser import text_string_to_metric_families

from demo.stage import Federation, Running, free_address
from federation.party.node_directory import NodeDirectory
from federation.settings import AdminSettings, CloudSettings, HospitalSettings, MetricsSettings, TracingSettings
from federation.wire.channel import open_channel

Samples = dict[str, list[tuple[dict[str, str], float]]]
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Line:
    """A line to a server that can be cut: who dials `address` reaches `target` while it is whole."""

    def __init__(self, address: str, target: str) -> None:
        self._target = _pair(target)
        self._cut = threading.Event()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(_pair(address))
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._cut.set()
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        self._cut.clear()

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._join, args=[caller], daemon=True).start()

    def _join(self, caller: socket.socket) -> None:
        with caller, suppress(OSError):
            if self._cut.is_set():
                return
            with socket.create_connection(self._target) as callee:
                ends = {caller, callee}
                self._open |= ends
                back = threading.Thread(target=_pour, args=[callee, caller], daemon=True)
                back.start()
                _pour(caller, callee)
                back.join()
                self._open -= ends


def _pour(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _pair(address: str) -> tuple[str, int]:
    host, port = address.split(":")
    return host, int(port)


@dataclass
class Observed(Federation):
    """The cloud's lists are signed anew every second; the cloud's admin server is a socket, the hospital's a port."""

    root: Path
    tracing: TracingSettings
    metrics: dict[str, str] = field(default_factory=dict)
    admin: dict[str, str] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    servers: dict[str, Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.root)

    def serve(self, kind: str, directory: Path) -> None:
        self._settle(kind, NodeDirectory(directory))
        super().serve(kind, directory)
        self.servers[directory.name] = self.running[-1]

    def _settle(self, kind: str, node: NodeDirectory) -> None:
        name = node.path.name
        if name in self.metrics:  # it is started again
            return
        self.metrics[name], admin = free_address(), free_address()
        watched = {"metrics": MetricsSettings(self.metrics[name]), "tracing": self.tracing}
        if kind == "hospital":
            self.admin[name] = admin
            node.write_settings(replace(node.settings(HospitalSettings), admin=AdminSettings(admin), **watched))
            return
        self.admin[name] = f"unix:{node.path / 'admin.sock'}"
        settings = node.settings(CloudSettings)
        public, peer = free_address(), free_address()
        self.lines = [Line(settings.public_listen, public), Line(settings.peer_listen, peer)]
        brief = {"public_listen": public, "peer_listen": peer, "revocation_list_renewal_minutes": 0.015}
        node.write_settings(replace(settings, **watched, **brief))

    def scrape(self, name: str) -> Samples:
        """Fetch a node's metrics as Prometheus does."""
        with urllib.request.urlopen(f"http://{self.metrics[name]}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        samples: Samples = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append((sample.labels, sample.value))
        return samples

    def value(self, node: str, metric: str, **labels: str) -> float:
        """Return the sum of a metric's series that have these labels."""
        found = [value for has, value in self.scrape(node).get(metric, []) if labels.items() <= has.items()]
        assert found, f"{node} has no {metric} {labels}"
        return sum(found)

    def status(self, node: str, service: str) -> int:
        """Ask a node's admin server for the health of a service."""
        with grpc.insecure_channel(self.admin[node]) as channel:
            return HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=60).status

    def public_channel(self, node: str) -> grpc.Channel:
        """Return a channel to a node's port for everybody."""
        bundle = NodeDirectory(self.root / node).trust()
        identity = "C:union" if node == "cloud" else f"H:{node}"
        return open_channel(self.addresses.get(node, bundle.content.cloud_address), identity, bundle.tls_roots)

    def database(self, node: str) -> sqlite3.Connection:
        """Open a node's database from beside."""
        return sqlite3.connect(self.root / node / "store.sqlite", isolation_level=None, timeout=20)

    @contextmanager
    def database_held(self, node: str) -> Iterator[None]:
        """Hold the write lock of a node's database for the block: whoever writes waits, and gets nowhere."""
        with closing(self.database(node)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield

    @contextmanager
    def token_taken(self, node: str) -> Iterator[None]:
        """Take a node's token away for the block."""
        tokens = self.root / node / "tokens" / "tokens"
        elsewhere = tokens.with_name("taken")
        tokens.rename(elsewhere)
        tokens.mkdir()
        try:
            yield
        finally:
            tokens.rmdir()
            elsewhere.rename(tokens)

    @contextmanager
    def lines_cut(self) -> Iterator[None]:
        """Cut everybody off from the cloud for the block."""
        for line in self.lines:
            line.cut()
        try:
            yield
        finally:
            for line in self.lines:
                line.heal()

    def stop(self) -> None:
        super().stop()
        for line in self.lines:
            line.close()
