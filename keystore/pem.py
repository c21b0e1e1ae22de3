"""The one reader of certificates, requests and revocation lists that people hand over: PEM (RFC 7468) or DER; DER comes out.

Around a block may stand what `openssl x509 -text` writes; lines may end as any system ends them. Which object is meant is never
guessed: a file with two of them, or with a private key in it, is refused in words.
"""

import base64
import binascii
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

from cryptography import x509

from keystore.errors import CertificateRejected
from keystore.x509 import read_certificate as certificate_of
from keystore.x509 import read_crl as crl_of
from keystore.x509 import read_request as request_of

CERTIFICATE = "certificate"
REQUEST = "certificate request"
CRL = "certificate revocation list"

_LABELS = {
    CERTIFICATE: {"CERTIFICATE", "X509 CERTIFICATE"},
    REQUEST: {"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"},
    CRL: {"X509 CRL", "CRL"},
}
"""What is wanted -> what its blocks are called, by RFC 7468 and by older programs."""

_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,64})-----")
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,64})-----(.*?)-----END \1-----", re.DOTALL)
_DER_SEQUENCE = b"\x30"


def read_certificate(data: bytes) -> x509.Certificate:
    """Read a certificate. Raises CertificateRejected."""
    return certificate_of(der_of(data, CERTIFICATE))


def read_certificates(data: bytes) -> list[x509.Certificate]:
    """Read all certificates of a file, PEM, or the one of a file in DER. Raises CertificateRejected."""
    if not _BEGIN.search(_text(data)):
        return [read_certificate(data)]
    _, blocks = _blocks(data)
    ders = [_decoded(content) for label, content in blocks if label in _LABELS[CERTIFICATE]]
    try:
        found = [certificate_of(der) for der in ders]
    except CertificateRejected as error:
        raise CertificateRejected("one of its blocks is no certificate") from error
    if not found:
        raise CertificateRejected("it holds no certificate")
    return found


def read_request(data: bytes) -> x509.CertificateSigningRequest:
    """Read a PKCS#10 request. Raises CertificateRejected."""
    return request_of(der_of(data, REQUEST))


def read_crl(data: bytes) -> x509.CertificateRevocationList:
    """Read a certificate revocation list. Raises CertificateRejected."""
    return crl_of(der_of(data, CRL))


def der_of(data: bytes, wanted: str) -> bytes:
    """Return the DER of the one object of a kind that a file holds. Raises CertificateRejected."""
    if data.startswith(_DER_SEQUENCE) and not _BEGIN.search(
        _text(data)
    ):  # which is the digit 0, too: text may begin so
        return data
    begun, blocks = _blocks(data)
    found = [content for label, content in blocks if label in _LABELS[wanted]]
    if not found:
        held = f"it holds {', '.join(dict.fromkeys(begun))}, and" if begun else "it is"
        raise CertificateRejected(f"{held} no {wanted}")
    if len(found) > 1:
        raise CertificateRejected(f"it holds {len(found)} of the kind {wanted}: give a file with the one that is meant")
    return _decoded(found[0])


def _blocks(data: bytes) -> tuple[list[str], list[tuple[str, str]]]:
    """Return what begins in a file, and its blocks with what each is called. Raises CertificateRejected."""
    text = _text(data)
    begun, blocks = _BEGIN.findall(text), _BLOCK.findall(text)
    if any(label.endswith("PRIVATE KEY") for label in begun):
        raise CertificateRejected(
            "it holds a PRIVATE KEY, which belongs in no file that is handed over; whoever has had the file has the key"
        )
    if len(begun) != len(blocks):
        raise CertificateRejected("it begins a block of PEM that does not end")
    return begun, blocks


def _text(data: bytes) -> str:
    """Return the text of a file in the encodings that editors write; what is no ASCII stands around the blocks."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    return data.removeprefix(BOM_UTF8).decode("ascii", "replace")


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise CertificateRejected("its block of PEM is damaged") from error
