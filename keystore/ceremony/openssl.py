"""A second opinion: what a ceremony signed is verified by the `openssl` program; pyca has X.509 code of its own, in Rust."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystore.errors import CertificateRejected

_SECONDS: Final = 30
_SAYS_SO: Final = "verify OK"
"""`crl` and `req` end with 0 whatever they find, and say it."""


@dataclass(frozen=True)
class OpenSsl:
    """The program, and what it calls itself."""

    path: Path
    version: str

    @classmethod
    def find(cls) -> Self | None:
        """Find it on the PATH; None if it is not there or does not run."""
        found = shutil.which("openssl")
        if found is None:
            return None
        try:
            ended = _run([found, "version"], Path(found).parent)
        except (OSError, subprocess.SubprocessError):
            return None
        return cls(Path(found), ended.stdout.strip()) if ended.returncode == 0 else None

    def verify_certificate(self, der: bytes, ca: bytes, now: datetime) -> None:
        """Verify a certificate under a CA's, strictly, a root under itself. Raises CertificateRejected."""
        strictly = ("-x509_strict", "-check_ss_sig", "-no-CApath", "-no-CAstore", "-attime", str(int(now.timestamp())))
        self._require("verify", *strictly, "-CAfile", "ca.pem", "it.der", files={"it.der": der, "ca.pem": _pem(ca)})

    def verify_crl(self, der: bytes, ca: bytes) -> None:
        """Verify a revocation list's signature under a CA's certificate. Raises CertificateRejected."""
        files = {"it.der": der, "ca.pem": _pem(ca)}
        words = ("-inform", "DER", "-in", "it.der", "-CAfile", "ca.pem", "-noout", "-verify")
        self._require("crl", *words, files=files, says=_SAYS_SO)

    def verify_request(self, der: bytes) -> None:
        """Verify that a request proves possession of its key. Raises CertificateRejected."""
        words = ("-inform", "DER", "-in", "it.der", "-noout", "-verify")
        self._require("req", *words, files={"it.der": der}, says=_SAYS_SO)

    def _require(self, *words: str, files: dict[str, bytes], says: str = "") -> None:
        with tempfile.TemporaryDirectory(prefix="medunion-public-") as name:
            for file, content in files.items():
                (Path(name) / file).write_bytes(content)
            try:
                ended = _run([str(self.path), *words], Path(name))
            except (OSError, subprocess.SubprocessError) as error:
                raise CertificateRejected("openssl could not be run: nothing was verified by it") from error
        said = ended.stdout + ended.stderr
        if ended.returncode != 0 or says not in said:
            raise CertificateRejected(f"openssl {words[0]} refuses it: {' '.join(said.split())[:200]}")


def _run(words: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    environment = {"OPENSSL_CONF": os.devnull, "LC_ALL": "C"}
    return subprocess.run(  # noqa: S603 - no shell, and every word is ours
        words, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=_SECONDS
    )


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
