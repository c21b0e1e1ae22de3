"""Certificates, requests and revocation lists as files: PEM or DER on the way in, DER on the way out."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from federation.protocol.parsing import is_identity
from federation.v1 import rules_pb2 as rules
from keystore import pem
from keystore.errors import CertificateRejected
from keystore.x509 import URN
from keystore.x509_lint import UNREADABLE

T = TypeVar("T")


def read_certificate(path: Path) -> x509.Certificate:
    """Read a certificate. Raises CertificateRejected, OSError."""
    return _read(path, pem.read_certificate)


def read_request(path: Path) -> bytes:
    """Read a PKCS#10 request; return its DER. Raises CertificateRejected, OSError."""
    return _read(path, pem.read_request).public_bytes(Encoding.DER)


def read_crl(path: Path) -> x509.CertificateRevocationList:
    """Read a certificate revocation list. Raises CertificateRejected, OSError."""
    return _read(path, pem.read_crl)


def authority_id_of(certificate: x509.Certificate) -> str:
    """Return the id of a medical authority from its self-signed CA certificate. Raises CertificateRejected."""
    try:
        certificate.verify_directly_issued_by(certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (*UNREADABLE, InvalidSignature, x509.ExtensionNotFound) as error:
        raise CertificateRejected("this is not the self-signed certificate of an authority") from error
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    named = uris[0].removeprefix(URN) if len(uris) == 1 and uris[0].startswith(URN) else ""
    if not is_ca or not is_identity(rules.KIND_AUTHORITY_ID, named):
        raise CertificateRejected("this certificate does not name a medical authority")
    return named


def _read(path: Path, read: Callable[[bytes], T]) -> T:
    try:
        return read(path.read_bytes())
    except CertificateRejected as error:
        raise CertificateRejected(f"{path}: {error}") from error
