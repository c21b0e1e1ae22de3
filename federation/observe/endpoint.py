"""Metrics over HTTP: one page, for Prometheus. No thread and no memory for a client that is slow or silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from federation.config import ConfigError
from federation.errors import Unavailable

PATIENCE_SECONDS = 10.0
MOST_AT_ONCE = 8
_MOST_REQUEST_BYTES = 8 * 1024
_LOCAL = ("127.0.0.1", "::1", "localhost")


def is_local(listen: str) -> bool:
    """Say whether only this machine can reach an address."""
    return listen.startswith("unix:") or _host_and_port(listen, "")[0] in _LOCAL


def worker_address(listen: str, worker: int) -> str:
    """Give the address of one of several workers: the port that many behind the set one, or a socket of its own.

    Each worker is a target of its own: Prometheus adds them up, and sees the one that hangs (docs/adr/0019).
    """
    if worker == 0:
        return listen
    if listen.startswith("unix:"):
        return f"{listen}.{worker}"
    host, port = _host_and_port(listen, "listen")
    written = f"[{host}]" if ":" in host else host
    return f"{written}:{port + worker if port else 0}"


@asynccontextmanager
async def metrics_endpoint(listen: str, registry: CollectorRegistry) -> AsyncIterator[int]:
    """Serve a registry at `host:port` for the block; give the port. Raises ConfigError, Unavailable."""
    host, port = _host_and_port(listen, "metrics.listen")
    at_once = asyncio.Semaphore(MOST_AT_ONCE)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), at_once:
                writer.write(await _page(await _request(reader), registry))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, host, port, limit=_MOST_REQUEST_BYTES)
    except OSError as error:
        raise Unavailable(f"metrics can't be served at {listen}; is something else there?") from error
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _request(reader: asyncio.StreamReader) -> str:
    head = await reader.readuntil(b"\r\n\r\n")
    return head.partition(b"\r\n")[0].decode("latin-1")


async def _page(request: str, registry: CollectorRegistry) -> bytes:
    method, _, rest = request.partition(" ")
    if method != "GET":
        return _response("405 Method Not Allowed", b"")
    if rest.split(" ")[0].partition("?")[0] != "/metrics":
        return _response("404 Not Found", b"")
    # Sources read the database: not in the event loop.
    return _response("200 OK", await asyncio.to_thread(generate_latest, registry))


def _response(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE_LATEST}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def _host_and_port(listen: str, key: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 65536):
        raise ConfigError(f"{key}: {listen} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)
