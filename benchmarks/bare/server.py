"""A bare gRPC server over TLS in a process of its own: no checks, no keys, nothing kept, except where the log is asked for.

A request is how many bytes come back, then whatever it weighs. `Unary` answers; `Logged` looks an access up, reads a file and
writes a log entry, fsynced, in a thread, as the smallest honest service would; `Stream` answers in pieces.
"""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.bare.sql import SMALL_ROW_BYTES, logged
from benchmarks.rows import Bench

PIECE_BYTES = 1 << 18
NO_LIMIT = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
_NUMBER = 8


def asked(size_bytes: int, answered_bytes: int) -> bytes:
    """Return a request of so many bytes that is answered with so many."""
    return answered_bytes.to_bytes(_NUMBER, "big") + bytes(max(0, size_bytes - _NUMBER))


def answer_to(request: bytes) -> int:
    """Return how many bytes are asked for."""
    return int.from_bytes(request[:_NUMBER], "big")


@dataclass(frozen=True)
class BareServer:
    """The server's process, and a connection to it."""

    process: int
    channel: grpc.Channel

    def unary(self, size_bytes: int, answered_bytes: int, method: str = "Unary") -> Callable[[], object]:
        """Return a call of these sizes."""
        call, request = self.channel.unary_unary(f"/bare.Bare/{method}"), asked(size_bytes, answered_bytes)
        return lambda: call(request, timeout=60)

    def stream(self, size_bytes: int) -> Callable[[], object]:
        """Return a call that is answered with so many bytes in pieces."""
        call = self.channel.unary_stream("/bare.Bare/Stream")
        return lambda: sum(len(piece) for piece in call(asked(0, size_bytes), timeout=600))


@contextmanager
def bare_server(bench: Bench) -> Iterator[BareServer]:
    """Serve for the block."""
    directory = bench.new_directory("bare")
    command = [sys.executable, "-m", "benchmarks.bare.server", str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        credentials = grpc.ssl_channel_credentials((directory / "certificate.pem").read_bytes())
        with grpc.secure_channel(f"localhost:{port}", credentials, options=NO_LIMIT) as channel:
            try:
                yield BareServer(server.pid, channel)
            finally:
                server.communicate("")


async def _serve(directory: Path) -> None:
    key, certificate = identity()
    (directory / "certificate.pem").write_bytes(certificate)
    database, number = logged(directory / "log.sqlite"), iter(range(1, 1 << 40))

    async def unary(request: bytes, _: Any) -> bytes:
        return bytes(answer_to(request))

    def read_and_log(size_bytes: int) -> bytes:
        may_read(database)
        content = _content(directory, size_bytes)
        append(database, next(number))
        return content

    async def kept(request: bytes, _: Any) -> bytes:
        return await asyncio.to_thread(read_and_log, answer_to(request))

    async def stream(request: bytes, _: Any) -> AsyncIterator[bytes]:
        left = answer_to(request)
        piece = bytes(PIECE_BYTES)
        while left > 0:
            yield piece[:left]
            left -= PIECE_BYTES

    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Logged": grpc.unary_unary_rpc_method_handler(kept),
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
    }
    server = grpc.aio.server(options=NO_LIMIT)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bare.Bare", handlers)])
    port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(key, certificate)]))
    await server.start()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


def _content(directory: Path, size_bytes: int) -> bytes:
    """Read so many bytes from a file, as a service has something to read."""
    file = directory / f"content-{size_bytes}"
    if not file.exists():
        file.write_bytes(os.urandom(size_bytes))
    return file.read_bytes()


def may_read(database: sqlite3.Connection) -> bool:
    """Look an access up by its key."""
    return database.execute("SELECT 1 FROM log WHERE number = 1").fetchone() is not None


def append(database: sqlite3.Connection, number: int) -> None:
    """Write an entry and wait until it is on the disk."""
    database.execute("BEGIN IMMEDIATE")
    database.execute("INSERT OR REPLACE INTO log VALUES (?, ?)", (number, bytes(SMALL_ROW_BYTES)))
    database.execute("COMMIT")


def identity() -> tuple[bytes, bytes]:
    """Return a key and a certificate for localhost, PEM."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    written = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return written, certificate.public_bytes(Encoding.PEM)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
