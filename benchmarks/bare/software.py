"""What cryptography does in this process: the primitives that calls are counted in."""

import hashlib
import hmac
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MIB = 1 << 20


def primitives() -> dict[str, tuple[Callable[[], object], int]]:
    """Return a step for each, and how many of them make a round of some milliseconds."""
    key, other, mlkem = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
        MLKEM768PrivateKey.generate(),
    )
    public, mlkem_public = key.public_key(), mlkem.public_key()
    signature, (_, ciphertext) = key.sign(b"message", ec.ECDSA(SHA256())), mlkem_public.encapsulate()
    point = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    der, aead, nonce, block = _certificate(key), AESGCM(bytes(32)), bytes(12), os.urandom(MIB)
    return {
        "ECDSA verify": (lambda: public.verify(signature, b"message", ec.ECDSA(SHA256())), 20),
        "ECDSA sign": (lambda: key.sign(b"message", ec.ECDSA(SHA256())), 50),
        "ECDH": (lambda: key.exchange(ec.ECDH(), other.public_key()), 20),
        "P-256 key": (lambda: ec.generate_private_key(ec.SECP256R1()), 50),
        "point read": (lambda: ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point), 50),
        "ML-KEM encapsulate": (mlkem_public.encapsulate, 20),
        "ML-KEM decapsulate": (lambda: mlkem.decapsulate(ciphertext), 20),
        "X.509 parse": (lambda: x509.load_der_x509_certificate(der).subject, 50),
        "HMAC": (lambda: hmac.digest(bytes(32), b"message", "sha256"), 500),
        "AES-GCM, 100 bytes": (lambda: AESGCM(bytes(32)).encrypt(nonce, block[:100], b""), 200),
        "AES-GCM, 1 MiB": (lambda: aead.encrypt(nonce, block, b""), 5),
        "SHA-256, 1 MiB": (lambda: hashlib.sha256(block).digest(), 3),
    }


NAMED = {
    "ECPublicKey.verify": "ECDSA verify",
    "ECPrivateKey.sign": "ECDSA sign",
    "ECPrivateKey.exchange": "ECDH",
    "generate_private_key": "P-256 key",
    "from_public_bytes": "point read",
    "MLKEM768PublicKey.encapsulate": "ML-KEM encapsulate",
    "MLKEM768PrivateKey.decapsulate": "ML-KEM decapsulate",
    "load_der_x509_certificate": "X.509 parse",
    "hmac_digest": "HMAC",
    "AESGCM.encrypt": "AES-GCM, 100 bytes",
    "AESGCM.decrypt": "AES-GCM, 100 bytes",
}
"""What Python's profiler calls them, of what is worth a price; the bytes of long content are reckoned by themselves."""


def _certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "D:chen")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1).not_valid_before(now)
    return builder.not_valid_after(now + timedelta(days=1)).sign(key, SHA256()).public_bytes(Encoding.DER)
