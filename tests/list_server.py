"""An HTTPS server on loopback that publishes files, as an authority's would, and misbehaves where it is told to."""

import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers by what lies under a path."""

    server: "ListServer"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        found = self.server.files.get(self.path)
        with suppress(OSError):  # a client that gave up
            if callable(found):
                found(self)
            elif found is None:
                self.send_error(404)
            else:
                self.give(found)

    def give(self, content: bytes) -> None:
        """Answer with a file."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


class ListServer(ThreadingHTTPServer):
    """What lies at which path: bytes, or what answers in their place."""

    daemon_threads = True

    def __init__(self, directory: Path, name: str = "localhost") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes | Answer] = {}
        self.asked: list[str] = []
        self.ended = threading.Event()
        self.ca, chain = _certified(directory, name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        self.context = context

    def get_request(self) -> tuple[ssl.SSLSocket, tuple[str, int]]:
        connection, where = super().get_request()
        return self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), where

    def handle_error(self, *_of_whom: object) -> None:
        """Say nothing of a client that gave up."""

    def url(self, path: str = "/board.crl", host: str = "localhost") -> str:
        """Return the URL of a path."""
        return f"https://{host}:{self.server_address[1]}{path}"

    @property
    def address(self) -> str:
        """Return where it listens."""
        return f"127.0.0.1:{self.server_address[1]}"


@contextmanager
def list_server(directory: Path, name: str = "localhost") -> Iterator[ListServer]:
    """Serve for the block; `server.ca` is the file with the CA by which it is known."""
    with ListServer(directory, name) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()


def redirected(to: str, status: int = 302) -> Answer:
    """Return an answer that leads elsewhere."""

    def answer(handler: Handler) -> None:
        handler.send_response(status)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def trickling(first: bytes) -> Answer:
    """Return an answer that begins so, and goes on byte by byte until the server ends."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(first)
        while not handler.server.ended.wait(0.01):
            handler.wfile.write(b"x")

    return answer


def _certified(directory: Path, name: str) -> tuple[Path, Path]:
    """Write the CA's certificate, and the server's with its key."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name, own = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, it)]) for it in ("lists", name))
    ca = _built(ca_name, ca_name, ca_key.public_key(), x509.BasicConstraints(ca=True, path_length=0)).sign(
        ca_key, SHA256()
    )
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = _built(own, ca_name, key.public_key(), names).sign(ca_key, SHA256())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    ca_file, chain_file = directory / "lists-ca.pem", directory / "lists-chain.pem"
    ca_file.write_bytes(ca.public_bytes(Encoding.PEM))
    chain_file.write_bytes(certificate.public_bytes(Encoding.PEM) + secret)
    return ca_file, chain_file


def _built(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=False)
    )
