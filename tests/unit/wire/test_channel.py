"""Whom a channel connects to: `host:port` and nothing else, within the networks that may be dialled, by the way that was set."""

import ipaddress
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from federation.check.peers import dial
from federation.errors import FieldInvalid, Unavailable
from federation.person.profile import DoctorSettings
from federation.settings import ConfigError, DiallingSettings, read_settings
from federation.v1.directory_pb2 import GetDirectoryRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.wire.channel import ANYWHERE, Dialling, NetworkForbidden, dialling_of, open_channel
from tests.unit.wire.conftest import CLOUD, Bench, listening_locally

LOOPBACK = Dialling((ipaddress.ip_network("127.0.0.0/8"),))
SECONDS = 20.0


def fetched(bench: Bench, address: str, dialling: Dialling = ANYWHERE, seconds: float = SECONDS) -> None:
    with open_channel(address, CLOUD, bench.authority.root_pem, dialling=dialling) as channel:
        DirectoryServiceStub(channel).GetDirectory(GetDirectoryRequest(), timeout=seconds)


@pytest.mark.parametrize(
    ("address", "name"), [("unix:1", "1"), ("unix-abstract:evil:1", "\0evil:1"), ("unix-abstract:1", "\0001")]
)
def test_address_that_names_a_resolver_reaches_no_local_socket(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with listening_locally(name) as listening:
        with pytest.raises((FieldInvalid, grpc.RpcError)):
            fetched(bench, address, seconds=5)
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize(
    "address", ["dns:///localhost:1", "ipv4:127.0.0.1:1/x", "localhost", "localhost:", "a b:1", ""]
)
def test_field_invalid_for_what_is_no_address(bench: Bench, address: str) -> None:
    with pytest.raises(FieldInvalid):
        fetched(bench, address)


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("127.0.0.1:443", "ipv4:127.0.0.1:443"),
        ("[::1]:443", "ipv6:[::1]:443"),
        ("[::ffff:10.1.2.3]:443", "ipv6:[::ffff:10.1.2.3]:443"),
    ],
)
def test_what_was_checked_is_what_is_dialled(address: str, target: str) -> None:
    allowed = ("127.0.0.0/8", "::1/128", "10.0.0.0/8")
    assert dialling_of(DiallingSettings(allowed)).target(address).uri == target


@pytest.mark.parametrize("address", ["127.0.0.1:443", "[::1]:443", "[::ffff:127.0.0.1]:443", "192.0.2.1:443"])
def test_network_forbidden(address: str) -> None:
    with pytest.raises(NetworkForbidden):
        dialling_of(DiallingSettings(("10.0.0.0/8", "2001:db8::/32"))).target(address)


def test_network_forbidden_where_one_address_of_a_name_lies_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that answers with an inner and an outer address is not asked again for which one was meant."""

    def answers(*_asked: object, **_kind: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    with pytest.raises(NetworkForbidden):
        LOOPBACK.target("two.example:443")


def test_unavailable_for_a_name_without_an_address() -> None:
    with pytest.raises(Unavailable, match="has no address"):
        LOOPBACK.target("nowhere.invalid:443")


def test_server_in_an_allowed_network_is_reached(bench: Bench) -> None:
    fetched(bench, f"127.0.0.1:{bench.port}", LOOPBACK)
    fetched(bench, f"localhost:{bench.port}")


class Proxy(socketserver.ThreadingTCPServer):
    """An HTTP proxy that connects, and says to whom it was asked to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connects)
        self.asked: list[str] = []
        self.address = f"127.0.0.1:{self.server_address[1]}"


class _Connects(socketserver.BaseRequestHandler):
    server: Proxy

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.request.recv(1)
        method, place, _ = head.split(b"\r\n")[0].decode().split(" ")
        assert method == "CONNECT"
        self.server.asked.append(place)
        host, _, port = place.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as onward:
            self.request.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            back = threading.Thread(target=_pump, args=(onward, self.request))
            back.start()
            _pump(self.request, onward)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as proxy:
        serving = threading.Thread(target=proxy.serve_forever)
        serving.start()
        yield proxy
        proxy.shutdown()
        serving.join()


@pytest.mark.parametrize("name", ["https_proxy", "http_proxy", "grpc_proxy"])
def test_proxy_of_the_environment_is_not_asked(
    bench: Bench, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"http://{proxy.address}")
    monkeypatch.delenv("no_proxy", raising=False)
    fetched(bench, f"127.0.0.1:{bench.port}")
    dial(f"127.0.0.1:{bench.port}", CLOUD, bench.authority.root_pem)
    assert not proxy.asked


@pytest.mark.parametrize("networks", [(), LOOPBACK.networks], ids=["anywhere", "loopback"])
def test_proxy_that_is_set_is_asked_by_calls_and_by_check_alike(
    bench: Bench, proxy: Proxy, networks: tuple[ipaddress.IPv4Network, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    dialling = Dialling(networks, proxy.address)
    address = f"127.0.0.1:{bench.port}"
    fetched(bench, address, dialling)
    assert proxy.asked == [address]
    dial(address, CLOUD, bench.authority.root_pem, dialling)
    assert proxy.asked == [address, address]


def test_proxy_is_no_way_around_the_networks(bench: Bench, proxy: Proxy) -> None:
    dialling = Dialling((ipaddress.ip_network("10.0.0.0/8"),), proxy.address)
    for reach in (fetched, lambda *it: dial(it[1], CLOUD, bench.authority.root_pem, it[2])):
        with pytest.raises(NetworkForbidden):
            reach(bench, f"127.0.0.1:{bench.port}", dialling)
    assert not proxy.asked


@pytest.mark.parametrize(
    ("line", "fault"),
    [('networks = ["10.0.0.1/8"]', "dialling.networks"), ('networks = ["x"]', "dialling.networks")]
    + [(f'proxy = "{it}"', "dialling.proxy") for it in ("http://proxy:1", "unix:/x:1", "proxy")],
)
def test_setting_that_cannot_be_dialled_by_is_named(tmp_path: Path, line: str, fault: str) -> None:
    file = tmp_path / "medunion.toml"
    file.write_text(f'identity = "D:x"\n[token]\nuri = "pkcs11:serial=1"\n[dialling]\n{line}\n')
    with pytest.raises(ConfigError, match=fault):
        read_settings(file, DoctorSettings)
