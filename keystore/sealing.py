"""Keys in a token that seal and index, over their generations: what the rest of the code sees of them.

What is sealed is u16be(generation) || nonce || ciphertext || tag. The generation chooses the key, and the seal binds it as well,
ahead of the associated data (docs/adr/0018-rotation.md).
"""

from collections.abc import Sequence
from typing import Final, Protocol

from hsm import AeadKey, MacKey
from hsm.errors import AuthenticationFailed
from keystore.errors import RotationRefused, SealBroken
from keystore.keyring import KeyRing

GENERATION_BYTES: Final = 2


class Sealing(Protocol):
    """AES-256-GCM under the generations of a key in a token."""

    @property
    def generation(self) -> int:
        """Give the generation under which `seal` seals now."""
        ...

    def seal(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Give generation || nonce || ciphertext || tag, under the active generation."""
        ...

    def open(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Give the plaintext. Raises SealBroken."""
        ...

    def reseal(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Give the same under the active generation: unchanged, and not opened, if it is already. Raises SealBroken."""
        ...

    def generation_of(self, sealed: bytes) -> int:
        """Say which generation sealed it, without opening. Raises SealBroken if it says none."""
        ...


class Indexing(Protocol):
    """HMAC-SHA256 under the generations of a key in a token."""

    @property
    def generation(self) -> int:
        """Give the generation under which `mac` works now."""
        ...

    def mac(self, message: bytes) -> bytes:
        """Give the tag, 32 bytes, under the active generation."""
        ...

    def macs(self, message: bytes) -> Sequence[tuple[int, bytes]]:
        """Give the tag under every usable generation, with its number, the active one first."""
        ...


class TokenSealing:
    """Sealing under the token's AES keys."""

    def __init__(self, keys: KeyRing[AeadKey]) -> None:
        """Wrap the token's keys."""
        self._keys = keys

    @property
    def generation(self) -> int:
        """Give the generation under which `seal` seals now."""
        return self._keys.active()[0]

    def seal(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Give generation || nonce || ciphertext || tag, under the active generation."""
        number, key = self._keys.active()
        named = number.to_bytes(GENERATION_BYTES, "big")
        return named + key.seal(plaintext, named + associated_data)

    def open(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Give the plaintext. Raises SealBroken, also for a generation that is unknown, was never active or is revoked."""
        number, named = self.generation_of(sealed), sealed[:GENERATION_BYTES]
        try:
            return self._keys.opening(number).open(sealed[GENERATION_BYTES:], named + associated_data)
        except AuthenticationFailed as error:
            raise SealBroken("what was sealed under the token's key does not open") from error
        except RotationRefused as error:
            raise SealBroken(f"what was sealed names a generation that opens nothing: {error}") from error

    def reseal(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Give the same under the active generation: unchanged, and not opened, if it is already. Raises SealBroken."""
        if self.generation_of(sealed) == self.generation:
            return sealed
        return self.seal(self.open(sealed, associated_data), associated_data)

    def generation_of(self, sealed: bytes) -> int:
        """Say which generation sealed it, without opening. Raises SealBroken if it says none."""
        if len(sealed) < GENERATION_BYTES:
            raise SealBroken("what was sealed is too short to name its generation")
        return int.from_bytes(sealed[:GENERATION_BYTES], "big")


class TokenIndexing:
    """Indexing under the token's HMAC keys."""

    def __init__(self, keys: KeyRing[MacKey]) -> None:
        """Wrap the token's keys."""
        self._keys = keys

    @property
    def generation(self) -> int:
        """Give the generation under which `mac` works now."""
        return self._keys.active()[0]

    def mac(self, message: bytes) -> bytes:
        """Give the tag, 32 bytes, under the active generation."""
        return self._keys.active()[1].mac(message)

    def macs(self, message: bytes) -> Sequence[tuple[int, bytes]]:
        """Give the tag under every usable generation, with its number, the active one first."""
        return [(number, key.mac(message)) for number, key in self._keys.usable()]
