"""E_PUK: HPKE (RFC 9180), base mode, single shot, KEM MLKEM768-X25519, HKDF-SHA256, AES-256-GCM; and a party's epoch keys.

The X25519 half of an epoch's private key lives in the token; the ML-KEM seed is sealed under a token key until tokens hold
ML-KEM (docs/protocol.md, 1 and 2).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from keystore.errors import EpochKeyUnknown, SealBroken
from keystore.transcript import digest

KEM_ID = 0x647A
MLKEM_PUBLIC_BYTES = 1184
ENCRYPTION_KEY_BYTES = MLKEM_PUBLIC_BYTES + 32
SEED_BYTES = 64
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def key_id_of(encryption_key: bytes) -> bytes:
    """Return the key id: the first 16 bytes of SHA-256(PUK_kem)."""
    return digest(encryption_key)[:16]


def seal(encryption_key: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Seal to PUK_kem (1,216 bytes); return enc || ct. Raises SealBroken for a key that is no key."""
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(encryption_key[:MLKEM_PUBLIC_BYTES])
        x25519 = X25519PublicKey.from_public_bytes(encryption_key[MLKEM_PUBLIC_BYTES:])
        return _SUITE.encrypt(plaintext, hpke.MLKEM768X25519PublicKey(mlkem, x25519), info=info)
    except ValueError as error:
        raise SealBroken("the receiver's encryption key is no key") from error


def require_encryption_key(encryption_key: bytes) -> None:
    """Raise SealBroken for bytes to which nothing can be sealed: no ML-KEM key, or an X25519 key of low order."""
    seal(encryption_key, b"", b"")


class DecryptionKey:
    """The private key of one epoch."""

    def __init__(self, seed: bytes, x25519_key: X25519PrivateKey) -> None:
        """Put the ML-KEM key of a 64-byte seed (FIPS 203) and an X25519 key, in a token or not, together."""
        mlkem_key = MLKEM768PrivateKey.from_seed_bytes(seed)
        self._private = hpke.MLKEM768X25519PrivateKey(mlkem_key, x25519_key)
        self.encryption_key = mlkem_key.public_key().public_bytes_raw() + x25519_key.public_key().public_bytes_raw()
        self.key_id = key_id_of(self.encryption_key)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Open enc || ct. Raises SealBroken."""
        try:
            return _SUITE.decrypt(sealed, self._private, info=info)
        except (InvalidTag, ValueError) as error:
            raise SealBroken("the seal does not open") from error

    def __repr__(self) -> str:
        return f"DecryptionKey(key_id={self.key_id.hex()})"


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
