"""Where a server's admin server and metrics listen: addresses of this machine, one for each of its processes."""

import os
from pathlib import Path

from federation.settings import ConfigError

LONGEST_SOCKET_BYTES = 107
"""Of a Unix socket's path on Linux (unix(7))."""

UNIX = "unix:"
ADMIN_LISTEN = "admin.listen"
_LAST_PORT = 65535
_LOCAL = ("127.0.0.1", "::1", "localhost")


def require_admin_address(listen: str) -> None:
    """Raise ConfigError unless an address is of this machine alone."""
    if not is_local(listen, ADMIN_LISTEN):
        raise ConfigError(
            f"{ADMIN_LISTEN}: {listen} can be reached from elsewhere; give a Unix socket or a loopback address"
        )
    if not listen.startswith(UNIX):
        return
    path = listen.removeprefix(UNIX)
    if not path.startswith("/"):
        raise ConfigError(f"{ADMIN_LISTEN}: {listen} is not unix:/path/of/a/socket")
    if not fits(path):
        raise ConfigError(f"{ADMIN_LISTEN}: the path of a Unix socket has at most {LONGEST_SOCKET_BYTES} bytes: {path}")


def own_socket(directory: Path) -> str:
    """Return where the admin server listens unless the settings say otherwise."""
    return f"{UNIX}{directory.resolve() / 'admin.sock'}"


def fits(socket: str | Path) -> bool:
    """Return whether a Unix socket can have that path."""
    return len(os.fsencode(socket)) <= LONGEST_SOCKET_BYTES


def is_local(listen: str, key: str) -> bool:
    """Return whether only this machine can reach an address, the setting `key`. Raises ConfigError if it is none."""
    return listen.startswith(UNIX) or host_and_port(listen, key)[0] in _LOCAL


def worker_address(listen: str, worker: int, key: str) -> str:
    """Return the address of one of several workers: the port that many behind the set one, or a socket of its own.

    Each worker is a target of its own: Prometheus adds them up, and sees the one that hangs (docs/adr/0019). Raises ConfigError.
    """
    if worker == 0:
        return listen
    if listen.startswith(UNIX):
        return f"{listen}.{worker}"
    host, port = host_and_port(listen, key)
    written = f"[{host}]" if ":" in host else host
    if port + worker > _LAST_PORT:
        raise ConfigError(f"{key}: behind {listen} there are not enough ports for all processes")
    return f"{written}:{port + worker if port else 0}"


def host_and_port(listen: str, key: str) -> tuple[str, int]:
    """Read `host:port`, the setting `key`. Raises ConfigError."""
    host, colon, port = listen.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) <= _LAST_PORT):
        raise ConfigError(f"{key}: {listen} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)
