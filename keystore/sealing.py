"""Keys in a token that seal and index: what the rest of the code sees of them."""

from typing import Protocol

from hsm import AeadKey, MacKey
from hsm.errors import AuthenticationFailed
from keystore.errors import SealBroken


class Sealing(Protocol):
    """AES-256-GCM under a key in a token."""

    def seal(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Give nonce || ciphertext || tag."""
        ...

    def open(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Give the plaintext. Raises SealBroken."""
        ...


class Indexing(Protocol):
    """HMAC-SHA256 under a key in a token."""

    def mac(self, message: bytes) -> bytes:
        """Give the tag, 32 bytes."""
        ...


class TokenSealing:
    """Sealing under the token's AES key."""

    def __init__(self, key: AeadKey) -> None:
        """Wrap the token's key."""
        self._key = key

    def seal(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Give nonce || ciphertext || tag."""
        return self._key.seal(plaintext, associated_data)

    def open(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Give the plaintext. Raises SealBroken."""
        try:
            return self._key.open(sealed, associated_data)
        except AuthenticationFailed as error:
            raise SealBroken("what was sealed under the token's key does not open") from error


class TokenIndexing:
    """Indexing under the token's HMAC key."""

    def __init__(self, key: MacKey) -> None:
        """Wrap the token's key."""
        self._key = key

    def mac(self, message: bytes) -> bytes:
        """Give the tag, 32 bytes."""
        return self._key.mac(message)
