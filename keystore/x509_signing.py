"""Signing what was judged: a twin under a throw-away key is linted first, and what the real key signed has to be the same bytes.

A CA's key signs nothing that has not passed: a builder's fault, or another input than was meant, is found while it is still a
twin (as in Let's Encrypt's boulder, cmd/ceremony).
"""

import os
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm import TokenEd25519Key
from keystore.errors import CertificateRejected
from keystore.x509_lint import lint_certificate, lint_crl, lint_request
from keystore.x509_profiles import Profile

SERIAL_BYTES: Final = 20


def serial_number(key: Ed25519PrivateKey) -> int:
    """Draw a serial number of 159 random bits, from the token that signs if the key is in one (RFC 5280, section 4.1.2.2)."""
    draw = key.random if isinstance(key, TokenEd25519Key) else os.urandom
    return int.from_bytes(draw(SERIAL_BYTES), "big") >> 1


def signed_certificate(builder: x509.CertificateBuilder, key: Ed25519PrivateKey, profile: Profile) -> x509.Certificate:
    """Have a certificate signed. Raises CertificateRejected, HsmError."""
    twin = builder.sign(Ed25519PrivateKey.generate(), None)
    lint_certificate(twin, profile, key.public_key())
    signed = builder.sign(key, None)
    _require_same(twin.tbs_certificate_bytes, signed.tbs_certificate_bytes)
    return signed


def signed_crl(
    builder: x509.CertificateRevocationListBuilder, key: Ed25519PrivateKey
) -> x509.CertificateRevocationList:
    """Have a revocation list signed. Raises CertificateRejected, HsmError."""
    twin = builder.sign(Ed25519PrivateKey.generate(), None)
    lint_crl(twin, key.public_key())
    signed = builder.sign(key, None)
    _require_same(twin.tbs_certlist_bytes, signed.tbs_certlist_bytes)
    return signed


def signed_request(
    builder: x509.CertificateSigningRequestBuilder, key: Ed25519PrivateKey
) -> x509.CertificateSigningRequest:
    """Have a request signed; it holds the key that signs it, which alone tells it from its twin. Raises CertificateRejected."""
    throw_away = Ed25519PrivateKey.generate()
    twin = builder.sign(throw_away, None)
    lint_request(twin)
    signed = builder.sign(key, None)
    expected = twin.tbs_certrequest_bytes.replace(_spki(throw_away.public_key()), _spki(key.public_key()))
    _require_same(expected, signed.tbs_certrequest_bytes)
    return signed


def _spki(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _require_same(judged: bytes, signed: bytes) -> None:
    if judged != signed:
        raise CertificateRejected("SAME_AS_LINTED: what was signed is not what was judged")
