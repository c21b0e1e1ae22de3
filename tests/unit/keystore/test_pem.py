"""Certificates, requests and lists as people hand them over."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keystore.errors import CertificateRejected
from keystore.pem import read_certificate, read_crl, read_request
from keystore.x509 import create_authority, issue_crl, request_certificate

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime.now(UTC)
CERTIFICATE = create_authority(KEY, "M:board", now=NOW)
REQUEST_DER = request_certificate(KEY, "D:chen")
REQUEST = read_request(REQUEST_DER)
CRL = issue_crl(CERTIFICATE, KEY, [], 1, now=NOW)
PEM = CERTIFICATE.public_bytes(Encoding.PEM)
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
TEXT_BEFORE = Path(__file__).parents[2] / "data" / "text-before.pem"


@pytest.mark.parametrize(
    "data",
    [
        CERTIFICATE.public_bytes(Encoding.DER),
        PEM,
        b"subject=CN = M\xc3\xbcller\n\n" + PEM,
        b"0 s:CN=M:board\n" + PEM,
        PEM + b"\nsent by mail\n",
        b"\xef\xbb\xbf" + PEM,
        PEM.decode().encode("utf-16"),
        PEM.replace(b"\n", b"\r\n"),
        PEM.replace(b"\n", b"\r"),
        PEM.replace(b"\n", b"  \n"),
        PEM.rstrip(b"\n"),
        PEM.replace(b"BEGIN CERT", b"BEGIN X509 CERT").replace(b"END CERT", b"END X509 CERT"),
        CRL.public_bytes(Encoding.PEM) + PEM,
    ],
    ids=[
        *("der", "pem", "text-before", "digit-before", "text-after", "bom", "utf-16", "crlf", "cr", "spaces", "no-end"),
        *("old-label", "beside-a-list"),
    ],
)
def test_certificate_is_read_however_it_was_written(data: bytes) -> None:
    assert read_certificate(data) == CERTIFICATE


def test_what_openssl_writes_before_a_block_is_passed_over() -> None:
    assert read_certificate(TEXT_BEFORE.read_bytes()).subject.rfc4514_string() == "CN=Probe"


def test_request_and_list_are_read_the_same_way() -> None:
    for form in (Encoding.DER, Encoding.PEM):
        assert read_request(REQUEST.public_bytes(form)) == REQUEST
        assert read_crl(CRL.public_bytes(form)) == CRL
    older = REQUEST.public_bytes(Encoding.PEM).replace(b"CERTIFICATE REQ", b"NEW CERTIFICATE REQ")
    assert read_request(b"text\n" + older) == REQUEST


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (PRIVATE, "holds a PRIVATE KEY"),
        (PEM + PRIVATE, "holds a PRIVATE KEY"),
        (PRIVATE.replace(b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY"), "holds a PRIVATE KEY"),
        (PRIVATE.partition(b"-----END")[0], "holds a PRIVATE KEY"),
        (PEM + PEM, "holds 2 of the kind certificate"),
        (REQUEST.public_bytes(Encoding.PEM), "holds CERTIFICATE REQUEST, and no certificate"),
        (REQUEST_DER, "is no certificate"),
        (PEM.partition(b"-----END")[0], "does not end"),
        (PEM.replace(b"M", b"*"), "damaged"),
        (PEM.replace(b"\nM", b"\nProc-Type: 4,ENCRYPTED\n\nM"), "damaged"),
        (b"-----BEGIN NOTHING-----", "does not end"),
        (b"no certificate at all", "is no certificate"),
        (b"", "is no certificate"),
        (b"\x30", "is no certificate"),
        (b"\xff\xfe\x00", "is no certificate"),
    ],
    ids=range(15),
)
def test_certificate_rejected_says_what_the_file_holds_instead(data: bytes, says: str) -> None:
    with pytest.raises(CertificateRejected, match=says) as raised:
        read_certificate(data)
    assert f"{KEY.private_numbers().private_value:x}" not in str(raised.value)
