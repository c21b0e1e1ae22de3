"""A port that several processes share by SO_REUSEPORT: kept, and left without a connection lost (docs/adr/0022-processes.md).

gRPC has no way to stop listening and go on serving, so the listening sockets are found among this process's descriptors. When one
is closed, the kernel resets whatever connected to it and was not accepted yet. So it is held back first: a filter drops new SYN
packets, and a client's kernel sends its own again a second later, when another process's socket takes it.
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from federation.errors import Unavailable

_ATTACH_FILTER: Final = 26  # SO_ATTACH_FILTER (socket(7)), which Python has no name for
_NO_NEW_CONNECTION: Final = (
    (0x30, 0, 0, 13),  # load the byte of TCP's flags
    (0x54, 0, 0, 0x12),  # SYN and ACK of it
    (0x15, 0, 1, 0x02),  # SYN alone: a new connection
    (0x06, 0, 0, 0),  # ... is dropped
    (0x06, 0, 0, 0xFFFFFFFF),  # all else passes
)
"""A classic BPF program: opcode, two jumps, operand."""

_NOT_HERE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""A name may have an address that this machine lacks: ::1 where there is no IPv6."""


@dataclass(frozen=True)
class Address:
    """`host:port` as gRPC takes it."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read it. Raises Unavailable for what is no address."""
        host, colon, port = text.rpartition(":")
        if not (colon and host and port.isdecimal() and int(port) < 65536):
            raise Unavailable(f"{text} is not an address, host:port")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Reservation:
    """Addresses that are kept for the processes of one server: bound with SO_REUSEPORT, and never listened at."""

    def __init__(self) -> None:
        """Keep none yet."""
        self._sockets: list[socket.socket] = []

    def reserve(self, text: str, *, is_ours: bool = False) -> str:
        """Keep an address, and return it with the port that port 0 became. `is_ours` says that processes of ours listen there.

        Raises Unavailable if something else is there.
        """
        address = Address.parse(text)
        port, refused, before = address.port, None, len(self._sockets)
        for family, (host, _, *rest) in _resolved(address):
            try:
                if port and not is_ours:
                    _require_free(family, (host, port, *rest))
                port = self._bind(family, (host, port, *rest))
            except OSError as error:
                refused = error
                if error.errno not in _NOT_HERE:
                    raise _taken(text) from error
        if len(self._sockets) == before:
            raise _taken(text) from refused
        return str(Address(address.host, port))

    def close(self) -> None:
        """Return all of them up."""
        while self._sockets:
            self._sockets.pop().close()

    def _bind(self, family: int, place: tuple[object, ...]) -> int:
        try:
            kept = _bound(family, place, beside_the_ended=False)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            kept = _bound(family, place, beside_the_ended=True)
        self._sockets.append(kept)
        return int(kept.getsockname()[1])


def _bound(family: int, place: tuple[object, ...], *, beside_the_ended: bool) -> socket.socket:
    """Bind beside those who share the port, and if need be beside connections of a server that did not and has ended.

    Not so at first: nobody could tell then that the port is kept while no process listens there.
    """
    kept = socket.socket(family, socket.SOCK_STREAM)
    try:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(beside_the_ended))
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(place)
    except OSError:
        kept.close()
        raise
    return kept


def hold_back(port: int) -> None:
    """Let no new connection of this process begin at a port; those that began are still accepted."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _NO_NEW_CONNECTION))
    attached = struct.pack("@HP", len(_NO_NEW_CONNECTION), ctypes.addressof(program))
    for listening in _listening(port):
        # Where the kernel has no filters, the few that connect in this moment are reset.
        with suppress(OSError):
            listening.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, attached)


def stop_listening(port: int) -> None:
    """Take this process's sockets out of those that listen at a port. Its connections stay."""
    for listening in _listening(port):
        with suppress(OSError):  # gRPC has closed it since
            listening.shutdown(socket.SHUT_RDWR)


def connections(port: int) -> int:
    """Count this process's connections at a port."""
    return sum(1 for found in _mine(port) if _is_connected(found))


def _listening(port: int) -> Iterator[socket.socket]:
    return (found for found in _mine(port) if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _mine(port: int) -> Iterator[socket.socket]:
    """Yield this process's TCP sockets at a port, each a duplicate that is closed at the next step."""
    for entry in Path("/proc/self/fd").iterdir():
        found = _duplicate(entry)
        if found is not None:
            with found:
                if found.family in (socket.AF_INET, socket.AF_INET6) and found.getsockname()[1] == port:
                    yield found


def _duplicate(entry: Path) -> socket.socket | None:
    """Return a descriptor of this process as a socket, if it is one and still open."""
    try:
        if not str(entry.readlink()).startswith("socket:"):
            return None
        duplicate = os.dup(int(entry.name))
    except OSError:
        return None
    try:
        return socket.socket(fileno=duplicate)
    except OSError:  # another has the number since
        os.close(duplicate)
        return None


def _is_connected(found: socket.socket) -> bool:
    try:
        found.getpeername()
    except OSError:
        return False
    return True


def _resolved(address: Address) -> Sequence[tuple[int, tuple[Any, ...]]]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise Unavailable(f"{address.host} can't be resolved: {error.strerror}") from error
    return [(family, place) for family, _, _, _, place in found]


def _require_free(family: int, place: tuple[object, ...]) -> None:
    """Raise OSError if anybody listens there, also somebody who would share the port."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections of a server that has ended don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(place)


def _taken(text: str) -> Unavailable:
    return Unavailable(f"nothing can listen at {text}; is something else there?")
