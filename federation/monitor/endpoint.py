"""Metrics over HTTP: one page, for Prometheus. No thread and no memory for a client that is slow or silent."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from federation.errors import Unavailable
from federation.monitor.addresses import host_and_port

METRICS_LISTEN = "metrics.listen"
PATIENCE_SECONDS = 10.0
MOST_AT_ONCE = 8
_THREADS = 2
_MOST_REQUEST_BYTES = 8 * 1024


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
