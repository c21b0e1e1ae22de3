"""Where a party may connect to, and by which way: addresses are a peer's words until they are checked here."""

import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from federation.errors import Unavailable
from federation.protocol.identities import require_identity
from federation.settings import DiallingSettings

Resolved = tuple[socket.AddressFamily, tuple[str, int]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class NetworkForbidden(Unavailable):
    """An address lies in no network that this party may dial: it does without who is there."""

    reason = "NETWORK_FORBIDDEN"
    in_words = "The address lies in no network that may be dialled from here."


@dataclass(frozen=True)
class Dialling:
    """The networks that may be dialled, any if there are none here, and the HTTP proxy `host:port` that is asked, if one is."""

    networks: tuple[Network, ...] = ()
    proxy: str | None = None

    def target(self, address: str) -> "Target":
        """Give what gRPC is to dial: a name for DNS alone, or the addresses that were checked, which are not resolved again.

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
        """Resolve `host:port` once and give what may be dialled; all of it has to lie in the networks.

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
    """Give what `[dialling]` says, as channels take it."""
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
