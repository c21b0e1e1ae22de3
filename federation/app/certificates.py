"""Certificates, requests and revocation lists as files: PEM or DER on the way in, DER on the way out."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from keystore.errors import CertificateRejected
from keystore.x509 import UNREADABLE, URN

T = TypeVar("T")


def read_certificate(path: Path) -> x509.Certificate:
    """Read a certificate. Raises CertificateRejected, OSError."""
    return _read(path, x509.load_pem_x509_certificate, x509.load_der_x509_certificate, "certificate")


def read_request(path: Path) -> bytes:
    """Read a PKCS#10 request; give its DER. Raises CertificateRejected, OSError."""
    request = _read(path, x509.load_pem_x509_csr, x509.load_der_x509_csr, "certificate request")
    return request.public_bytes(Encoding.DER)


def read_crl(path: Path) -> x509.CertificateRevocationList:
    """Read a certificate revocation list. Raises CertificateRejected, OSError."""
    return _read(path, x509.load_pem_x509_crl, x509.load_der_x509_crl, "certificate revocation list")


def authority_id_of(certificate: x509.Certificate) -> str:
    """Give the id of a medical authority from its self-signed CA certificate. Raises CertificateRejected."""
    try:
        certificate.verify_directly_issued_by(certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (*UNREADABLE, InvalidSignature, x509.ExtensionNotFound) as error:
        raise CertificateRejected("this is not the self-signed certificate of an authority") from error
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if not is_ca or len(uris) != 1 or not uris[0].startswith(f"{URN}M:"):
        raise CertificateRejected("this certificate does not name a medical authority")
    return uris[0].removeprefix(URN)


def _read(path: Path, pem: Callable[[bytes], T], der: Callable[[bytes], T], what: str) -> T:
    data = path.read_bytes()
    try:
        return pem(data) if data.lstrip().startswith(b"-----BEGIN") else der(data)
    except UNREADABLE as error:
        raise CertificateRejected(f"{path} is no {what}") from error
