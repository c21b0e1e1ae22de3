"""A TCP connection as a channel makes its own: to what was resolved and checked, or through the proxy that is set."""

import socket
from contextlib import ExitStack, suppress
from datetime import timedelta

from federation.errors import Unavailable
from federation.wire.channel import ANYWHERE, Dialling, Resolved

_MOST_PROXY_BYTES = 4096


def connected(address: str, dialling: Dialling, patience: timedelta) -> socket.socket:
    """Connect to `host:port`, or through the proxy by CONNECT (RFC 9110, section 9.3.6); each step has so much time.

    Raises FieldInvalid for no address, NetworkForbidden, Unavailable, OSError.
    """
    if dialling.proxy is None:
        return _first_that_answers(dialling.checked(address), patience)
    asked = dialling.target(address).connect_to
    with ExitStack() as on_failure:
        connection = on_failure.enter_context(_first_that_answers(ANYWHERE.checked(dialling.proxy), patience))
        connection.sendall(f"CONNECT {asked} HTTP/1.1\r\nHost: {asked}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n") and len(head) < _MOST_PROXY_BYTES:
            head += connection.recv(1) or b"\r\n\r\n"
        if head.split(b" ")[1:2] != [b"200"]:
            raise Unavailable(f"the proxy {dialling.proxy} does not connect to {asked}")
        on_failure.pop_all()
        return connection


def _first_that_answers(places: list[Resolved], patience: timedelta) -> socket.socket:
    for _, place in places[:-1]:
        with suppress(OSError):
            return socket.create_connection(place, patience.total_seconds())
    return socket.create_connection(places[-1][1], patience.total_seconds())
