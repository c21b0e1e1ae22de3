"""The form of an address: where a node is dialled."""

import ipaddress
import re

_DNS_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# The last label begins with a letter, so that no half-written IPv4 address is a name (RFC 6943, section 3.1.1).
_DNS_NAME = re.compile(rf"({_DNS_LABEL}\.)*(?=[A-Za-z]){_DNS_LABEL}")
_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[1-9][0-9]{0,4})")
_MOST_NAME_CHARACTERS = 253
_LAST_PORT = 65535


def is_address(value: str) -> bool:
    """Return whether this is an address: a DNS name, an IPv4 address or an IPv6 address in brackets, and a port.

    And so nothing that a resolver would take for another scheme, another host or a local socket.
    """
    found = _ADDRESS.fullmatch(value)
    return found is not None and int(found["port"]) <= _LAST_PORT and _is_host(found["host"])


def _is_host(host: str) -> bool:
    if len(host) <= _MOST_NAME_CHARACTERS and _DNS_NAME.fullmatch(host):
        return True
    try:
        ipaddress.IPv6Address(host[1:-1]) if host.startswith("[") else ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
