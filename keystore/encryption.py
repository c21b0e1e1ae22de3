"""E_PUK: HPKE (RFC 9180), base mode, single shot, KEM MLKEM768-P256, HKDF-SHA256, AES-256-GCM; and a party's epoch keys.

cryptography's HPKE has other hybrid KEMs and not this one, so it is put together here of its ML-KEM, ECDH, HKDF and AES-GCM,
as draft-ietf-hpke-pq (0x0050) and RFC 9180, section 5.1, say. P-256 is what tokens have.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystore.curve import CURVE
from keystore.errors import EpochKeyUnknown, SealBroken
from keystore.transcript import digest

KEM_ID = 0x0050
MLKEM_PUBLIC_BYTES = 1184
MLKEM_CIPHERTEXT_BYTES = 1088
UNCOMPRESSED_BYTES = 65
ENCRYPTION_KEY_BYTES = MLKEM_PUBLIC_BYTES + UNCOMPRESSED_BYTES
ENCAPSULATION_BYTES = MLKEM_CIPHERTEXT_BYTES + UNCOMPRESSED_BYTES
SEED_BYTES = 64
_HKDF_SHA256, _AES_256_GCM = 0x0001, 0x0002
_KEM_LABEL = b"MLKEM768-P256"
_SUITE = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (KEM_ID, _HKDF_SHA256, _AES_256_GCM))


def key_id_of(encryption_key: bytes) -> bytes:
    """Return the key id: the first 16 bytes of SHA-256(PUK_kem)."""
    return digest(encryption_key)[:16]


def seal(encryption_key: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Seal to PUK_kem (1,249 bytes); return enc || ct. Raises SealBroken for a key that is no key."""
    mlkem, p256 = _halves(encryption_key)
    ephemeral = ec.generate_private_key(CURVE)
    mlkem_secret, mlkem_ciphertext = mlkem.encapsulate()
    encapsulated = _uncompressed(ephemeral.public_key())
    secret = _combined(mlkem_secret, ephemeral.exchange(ec.ECDH(), p256), encapsulated, _uncompressed(p256))
    return mlkem_ciphertext + encapsulated + _aead(secret, info).seal(plaintext)


def require_encryption_key(encryption_key: bytes) -> None:
    """Raise SealBroken for bytes to which nothing can be sealed: no ML-KEM key, or no point of P-256."""
    _halves(encryption_key)


class DecryptionKey:
    """The private key of one epoch."""

    def __init__(self, mlkem_key: MLKEM768PrivateKey, p256_key: ec.EllipticCurvePrivateKey) -> None:
        """Put an ML-KEM key and a P-256 key together, each in a token or not."""
        self._mlkem = mlkem_key
        self._p256 = p256_key
        self._p256_public = _uncompressed(p256_key.public_key())
        self.encryption_key = self._mlkem.public_key().public_bytes_raw() + self._p256_public
        self.key_id = key_id_of(self.encryption_key)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Open enc || ct. Raises SealBroken, hsm.errors.HsmError."""
        encapsulated = sealed[MLKEM_CIPHERTEXT_BYTES:ENCAPSULATION_BYTES]
        try:
            ephemeral = _point(encapsulated)
            mlkem_secret = self._mlkem.decapsulate(sealed[:MLKEM_CIPHERTEXT_BYTES])
            p256_secret = self._p256.exchange(ec.ECDH(), ephemeral)
            secret = _combined(mlkem_secret, p256_secret, encapsulated, self._p256_public)
            return _aead(secret, info).open(sealed[ENCAPSULATION_BYTES:])
        except (InvalidTag, ValueError) as error:
            raise SealBroken("the seal does not open") from error

    def __repr__(self) -> str:
        return f"DecryptionKey(key_id={self.key_id.hex()})"


def _halves(encryption_key: bytes) -> tuple[MLKEM768PublicKey, ec.EllipticCurvePublicKey]:
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(encryption_key[:MLKEM_PUBLIC_BYTES])
        return mlkem, _point(encryption_key[MLKEM_PUBLIC_BYTES:])
    except ValueError as error:
        raise SealBroken("the receiver's encryption key is no key") from error


def _point(encoded: bytes) -> ec.EllipticCurvePublicKey:
    """Read an uncompressed point; pyca takes compressed ones, too, which would be a second spelling. Raises ValueError."""
    if len(encoded) != UNCOMPRESSED_BYTES:
        raise ValueError("a key of the KEM's P-256 half has 65 bytes")
    return ec.EllipticCurvePublicKey.from_encoded_point(CURVE, encoded)


def _uncompressed(point: ec.EllipticCurvePublicKey) -> bytes:
    return point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _combined(mlkem_secret: bytes, p256_secret: bytes, encapsulated: bytes, p256_public: bytes) -> bytes:
    """Return the shared secret of both halves (draft-ietf-hpke-pq, MLKEM768-P256)."""
    return hashlib.sha3_256(mlkem_secret + p256_secret + encapsulated + p256_public + _KEM_LABEL).digest()


@dataclass(frozen=True, repr=False)
class _Aead:
    key: bytes
    nonce: bytes

    def seal(self, plaintext: bytes) -> bytes:
        return AESGCM(self.key).encrypt(self.nonce, plaintext, b"")

    def open(self, ciphertext: bytes) -> bytes:
        return AESGCM(self.key).decrypt(self.nonce, ciphertext, b"")


def _aead(shared_secret: bytes, info: bytes) -> _Aead:
    """Return key and nonce of sequence number 0 (RFC 9180, section 5.1, KeySchedule of mode_base)."""
    context = b"\x00" + _labeled_extract(b"", b"psk_id_hash", b"") + _labeled_extract(b"", b"info_hash", info)
    secret = _labeled_extract(shared_secret, b"secret", b"")
    return _Aead(_labeled_expand(secret, b"key", context, 32), _labeled_expand(secret, b"base_nonce", context, 12))


def _labeled_extract(salt: bytes, label: bytes, keying_material: bytes) -> bytes:
    """Return HKDF-Extract of RFC 9180, section 4; no salt is a salt of zeros (RFC 5869, section 2.2)."""
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + _SUITE + label + keying_material, "sha256")


def _labeled_expand(key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """Return HKDF-Expand of RFC 9180, section 4."""
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + _SUITE + label + info
    return HKDFExpand(algorithm=SHA256(), length=length, info=labeled).derive(key)


class Keyring(Protocol):
    """The decryption keys of a party whose epochs have not ended."""

    def find(self, key_id: bytes) -> DecryptionKey:
        """Return the key. Raises EpochKeyUnknown."""
        ...


@dataclass(frozen=True)
class FixedKeyring:
    """A keyring that does not change: of a short-lived process, or one pending session."""

    keys: Mapping[bytes, DecryptionKey]

    @classmethod
    def of(cls, *keys: DecryptionKey) -> "FixedKeyring":
        """Build a keyring of these keys."""
        return cls({key.key_id: key for key in keys})

    def find(self, key_id: bytes) -> DecryptionKey:
        """Return the key. Raises EpochKeyUnknown."""
        try:
            return self.keys[key_id]
        except KeyError:
            raise EpochKeyUnknown("no decryption key of this party has that key id") from None
