"""Metrics over HTTP: one page, for Prometheus. No thread and no memory for a client that is slow or silent."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from federation.errors import Unavailable
from federation.settings import ConfigError

METRICS_LISTEN = "metrics.listen"
PATIENCE_SECONDS = 10.0
MOST_AT_ONCE = 8
_THREADS = 2
_MOST_REQUEST_BYTES = 8 * 1024
_LAST_PORT = 65535
_LOCAL = ("127.0.0.1", "::1", "localhost")


def is_local(listen: str, key: str) -> bool:
    """Return whether only this machine can reach an address, the setting `key`. Raises ConfigError if it is none."""
    return listen.startswith("unix:") or host_and_port(listen, key)[0] in _LOCAL


def worker_address(listen: str, worker: int, key: str) -> str:
    """Return the address of one of several workers: the port that many behind the set one, or a socket of its own.

    Each worker is a target of its own: Prometheus adds them up, and sees the one that hangs (docs/adr/0019). Raises ConfigError.
    """
    if worker == 0:
        return listen
    if listen.startswith("unix:"):
        return f"{listen}.{worker}"
    host, port = host_and_port(listen, key)
    written = f"[{host}]" if ":" in host else host
    if port + worker > _LAST_PORT:
        raise ConfigError(f"{key}: behind {listen} there are not enough ports for all processes")
    return f"{written}:{port + worker if port else 0}"


@asynccontextmanager
async def metrics_endpoint(listen: str, registry: CollectorRegistry) -> AsyncIterator[str]:
    """Serve a registry at `host:port` for the block, and yield the address. Raises ConfigError, Unavailable."""
    host, port = host_and_port(listen, METRICS_LISTEN)
    at_once = asyncio.Semaphore(MOST_AT_ONCE)
    # Its own: what hangs here holds up nothing else of this process.
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="medunion-metrics")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                request = await _request(reader)
                async with at_once:
                    writer.write(await _page(request, registry, threads))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, host, port, limit=_MOST_REQUEST_BYTES)
    except OSError as error:
        raise Unavailable(f"metrics can't be served at {listen}; is something else there?") from error
    try:
        async with server:
            yield f"{listen.rpartition(':')[0]}:{server.sockets[0].getsockname()[1]}"
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


async def _request(reader: asyncio.StreamReader) -> str:
    head = await reader.readuntil(b"\r\n\r\n")
    return head.partition(b"\r\n")[0].decode("latin-1")


async def _page(request: str, registry: CollectorRegistry, threads: Executor) -> bytes:
    method, _, rest = request.partition(" ")
    if method != "GET":
        return _response("405 Method Not Allowed", b"")
    if rest.split(" ")[0].partition("?")[0] != "/metrics":
        return _response("404 Not Found", b"")
    # It waits for sources that read the database: not in the event loop.
    page = await asyncio.get_running_loop().run_in_executor(threads, generate_latest, registry)
    return _response("200 OK", page)


def _response(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE_LATEST}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def host_and_port(listen: str, key: str) -> tuple[str, int]:
    """Read `host:port`, the setting `key`. Raises ConfigError."""
    host, colon, port = listen.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) <= _LAST_PORT):
        raise ConfigError(f"{key}: {listen} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)
