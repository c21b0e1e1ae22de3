"""A time stamp authority of RFC 3161 on loopback: `openssl ts` makes the stamps, with a key and certificates of its own."""

import atexit
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from federation.protocol.time_stamps import request_stamp

STAMPING = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
CODE_SIGNING = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
_CONFIG = """
[tsa]
default_tsa = own
[own]
serial = {0}/serial
signer_cert = {0}/signer.pem
signer_key = {0}/signer.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.32473.1
digests = sha256, sha512
accuracy = secs:1, millisecs:500
clock_precision_digits = 3
tsa_name = yes
ess_cert_id_alg = sha256
"""


class TimeAuthority:
    """Makes stamps in a directory. `root` is the file with the certificate by which a judge knows it."""

    def __init__(self, directory: Path, name: str = "Chamber of Time", *, lasts: timedelta = timedelta(days=1)) -> None:
        directory.mkdir(parents=True)
        self.directory = directory
        self.root = directory / "root.pem"
        self._root_key = ec.generate_private_key(ec.SECP256R1())
        self._root_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{name}, root")])
        self.root.write_bytes(
            self._certified(self._root_name, self._root_key.public_key(), None).public_bytes(Encoding.PEM)
        )
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._signs("signer", STAMPING, lasts)
        (directory / "serial").write_text("01\n")
        (directory / "tsa.cnf").write_text(_CONFIG.format(directory))

    @property
    def trusted(self) -> list[x509.Certificate]:
        """Return what a judge is given."""
        return [x509.load_pem_x509_certificate(self.root.read_bytes())]

    def reply(self, question: bytes) -> bytes:
        """Return the answer to a question of RFC 3161."""
        asked, answered = self.directory / "asked.tsq", self.directory / "answered.tsr"
        asked.write_bytes(question)
        words = "ts", "-reply", "-queryfile", asked, "-config", self.directory / "tsa.cnf", "-out", answered
        self._openssl(*words)
        return answered.read_bytes()

    def stamp(self, stamped: bytes) -> bytes:
        """Return an answer over these bytes."""
        return self.reply(request_stamp(stamped).as_bytes())

    def signed_by_another_key(
        self, stamped: bytes, usage: x509.ExtendedKeyUsage | None, *, critical: bool = True
    ) -> bytes:
        """Return an answer that a certificate for something else has signed, which `openssl ts` itself would refuse to make."""
        return self.replied_by_another_key(request_stamp(stamped).as_bytes(), usage, critical=critical)

    def replied_by_another_key(
        self, question: bytes, usage: x509.ExtendedKeyUsage | None, *, critical: bool = True
    ) -> bytes:
        """Return the same as an answer to a question."""
        self._signs("other", usage, timedelta(days=1), critical=critical)
        token, said = self.directory / "token.der", self.directory / "said.der"
        (self.directory / "whole.tsr").write_bytes(self.reply(question))
        self._openssl("ts", "-reply", "-in", self.directory / "whole.tsr", "-out", token, "-token_out")
        self._openssl("cms", "-verify", "-noverify", "-inform", "DER", "-in", token, "-out", said, "-binary")
        other = "-signer", self.directory / "other.pem", "-inkey", self.directory / "other.key"
        kind = "-econtent_type", "1.2.840.113549.1.9.16.1.4"
        words = "cms", "-sign", "-binary", "-nodetach", "-md", "sha256", "-in", said, "-outform", "DER", "-out", token
        self._openssl(*words, *other, *kind)
        return _sequence(bytes.fromhex("3003020100") + token.read_bytes())

    def _signs(
        self, name: str, usage: x509.ExtendedKeyUsage | None, lasts: timedelta, *, critical: bool = True
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._certified(self._name, key.public_key(), usage, lasts=lasts, critical=critical)
        (self.directory / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.directory / f"{name}.key").write_bytes(plain)

    def _certified(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePublicKey,
        usage: x509.ExtendedKeyUsage | None,
        *,
        lasts: timedelta = timedelta(days=1),
        critical: bool = True,
    ) -> x509.Certificate:
        begins, now = datetime.now(UTC) - timedelta(days=2), datetime.now(UTC)
        is_root = name == self._root_name
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._root_name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(now + lasts)
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
        if usage is not None:
            made = made.add_extension(usage, critical=critical)
        return made.sign(self._root_key, SHA256())

    def _openssl(self, *words: str | Path) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@cache
def shared_authority() -> TimeAuthority:
    """Return one of this process, which nobody changes; its directory goes with the process."""
    directory = TemporaryDirectory(prefix="medunion-time-")
    atexit.register(directory.cleanup)
    return TimeAuthority(Path(directory.name) / "authority")


def _sequence(content: bytes) -> bytes:
    """Return a DER SEQUENCE of 256 to 65535 bytes."""
    return b"\x30\x82" + len(content).to_bytes(2, "big") + content


Reply = Callable[[bytes], bytes]


class _Handler(BaseHTTPRequestHandler):
    server: "TimeServer"
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        question = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.headers["Content-Type"], question))
        answer = self.server.reply(question)
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


class TimeServer(ThreadingHTTPServer):
    """Answers over HTTP, as authorities do (RFC 3161, section 3.4); `reply` and `status` may be another's."""

    daemon_threads = True

    def __init__(self, authority: TimeAuthority) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, bytes]] = []
        self.reply: Reply = authority.reply
        self.status = 200

    @property
    def url(self) -> str:
        """Return where it is asked."""
        return f"http://127.0.0.1:{self.server_address[1]}/stamp"


@contextmanager
def time_server(authority: TimeAuthority) -> Iterator[TimeServer]:
    """Serve for the block."""
    with TimeServer(authority) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
