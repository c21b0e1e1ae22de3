"""Channels to the federation's servers: authenticated by who the server is (its TLS name), wherever it is dialled.

Where a party may connect to, and by which way: addresses are a peer's words until they are checked here.
"""

import ipaddress
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from federation.errors import Unavailable
from federation.protocol.identities import require_identity
from federation.settings import DiallingSettings
from federation.wire.parts import WITHOUT_PROXY
from federation.wire.roles import METHODS, MethodRule
from keystore.x509 import TlsLeaf, tls_name

Resolved = tuple[socket.AddressFamily, tuple[str, int]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LARGEST_MESSAGE_BYTES = 2 * 1024 * 1024
CALL_SECONDS = 15.0

SERVER_HEAD_START_SECONDS = 5.0
"""How much longer than the server's own bound a client waits, so that it learns why the call ended."""

PING_SECONDS = 40.0
"""How long a server may take to answer a ping: on a slow line the answer waits behind what of a record is on its way."""


class NetworkForbidden(Unavailable):
    """An address lies in no network that this party may dial: it does without who is there."""

    reason = "NETWORK_FORBIDDEN"
    in_words = "The address lies in no network that may be dialled from here."
    to_do = "Check the address; who runs this computer sets the networks (`[dialling]`, `--dial-only`)."
    to_do_elsewhere = "Check the address; `--dial-only` says which networks may be dialled."


@dataclass(frozen=True)
class Dialling:
    """The networks that may be dialled, any if there are none here, and the HTTP proxy `host:port` that is asked, if one is."""

    networks: tuple[Network, ...] = ()
    proxy: str | None = None

    def target(self, address: str) -> "Target":
        """Return what gRPC is to dial: a name for DNS alone, or the addresses that were checked, which are not resolved again.

        Raises FieldInvalid for what is no `host:port`, NetworkForbidden, Unavailable for a name without an address.
        """
        places = self.checked(address) if self.networks else []
        if self.proxy is not None:
            # Asked for by name where no network says otherwise: then the proxy resolves it.
            asked = written(*places[0][1]) if places else require_identity("address", address)
            return Target(_by_name(self.proxy), asked)
        if not places:
            return Target(_by_name(address))
        family = places[0][0]
        listed = ",".join(written(*place) for kind, place in places if kind is family)
        return Target(f"{'ipv6' if family is socket.AF_INET6 else 'ipv4'}:{listed}")

    def checked(self, address: str) -> list[Resolved]:
        """Resolve `host:port` once and return what may be dialled; all of it has to lie in the networks.

        Raises as `target`.
        """
        host, _, port = require_identity("address", address).rpartition(":")
        found = list(dict.fromkeys(_resolved(host.strip("[]"), int(port))))
        for _, (where, _) in found:
            if not self._allows(where):
                raise NetworkForbidden(f"{address} is {where}, which lies in no network that may be dialled")
        return found

    def _allows(self, where: str) -> bool:
        address = ipaddress.ip_address(where)
        mapped = getattr(address, "ipv4_mapped", None)
        return not self.networks or any((mapped or address) in network for network in self.networks)


@dataclass(frozen=True)
class Target:
    """What gRPC dials, by URI, and what whoever answers there is asked to connect to, where it is a proxy."""

    uri: str
    connect_to: str | None = None


ANYWHERE = Dialling()


def dialling_of(settings: DiallingSettings) -> Dialling:
    """Return what `[dialling]` says, as channels take it."""
    return Dialling(tuple(map(ipaddress.ip_network, settings.networks)), settings.proxy)


def _by_name(address: str) -> str:
    # Without the scheme gRPC would take `unix:1` for a file and `vsock:1` for a socket of this machine.
    return f"dns:///{require_identity('address', address)}"


def _resolved(host: str, port: int) -> Iterator[Resolved]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unavailable(f"{host} has no address: {error.strerror}") from None
    for family, _, _, _, place in answers:
        if family in {socket.AF_INET, socket.AF_INET6}:
            yield family, (str(place[0]), int(place[1]))


def written(host: str, port: int) -> str:
    """Write `host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def channel_options(identity: str, connect_to: str | None = None) -> list[tuple[str, str | int]]:
    """Return the options of a channel to that public cloud or hospital, to be asked for at a proxy or not."""
    return [
        WITHOUT_PROXY,
        *([] if connect_to is None else [("grpc.http_connect_server", connect_to)]),
        ("grpc.ssl_target_name_override", tls_name(identity)),
        ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", round(PING_SECONDS * 1000)),
        ("grpc.http2.ping_timeout_ms", round(PING_SECONDS * 1000)),
        # Of calls that the server has never seen, which a connection's end cut off: nothing else is retried, for no method's
        # configuration below has a retry policy. A sealed message may be taken once.
        ("grpc.enable_retries", 1),
        # A server that was started again is found within seconds; gRPC would wait up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.service_config", SERVICE_CONFIG),
    ]


def _method_config(path: str, rule: MethodRule) -> dict[str, object]:
    _, service, method = path.split("/")
    return {
        "name": [{"service": service, "method": method}],
        "timeout": f"{rule.longest.total_seconds() + SERVER_HEAD_START_SECONDS:g}s",
        "maxResponseMessageBytes": rule.most_response_bytes,
    }


SERVICE_CONFIG = json.dumps({"methodConfig": [_method_config(*entry) for entry in METHODS.items()]})
"""The table of methods as gRPC's service config: a deadline for a call that sets none, and the largest answer of each method.

What is sent is not bounded here: the server says precisely what is too large."""


def open_channel(
    address: str, identity: str, root_pem: bytes, leaf: TlsLeaf | None = None, dialling: Dialling = ANYWHERE
) -> grpc.Channel:
    """Open a channel to `host:port`; with a leaf, by mutual TLS. Raises FieldInvalid, NetworkForbidden, Unavailable."""
    return channel_to(dialling.target(address), identity, root_pem, leaf)


def channel_to(target: Target, identity: str, root_pem: bytes, leaf: TlsLeaf | None = None) -> grpc.Channel:
    """Open a channel to what `Dialling.target` gave."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=root_pem,
        private_key=leaf.private_key if leaf else None,
        certificate_chain=leaf.chain if leaf else None,
    )
    return grpc.secure_channel(target.uri, credentials, options=channel_options(identity, target.connect_to))
