"""The generations of one purpose's key in a token, the active one to work with, each to open by its number; and what they seal.

What is sealed is u16be(generation) || salt || ciphertext || tag. The generation chooses the token's key, which makes the
seal's own of purpose, generation and salt (docs/protocol.md, "Seals at rest"; docs/adr/0018-rotation.md).
"""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hsm import KeyKind, KeyPolicy, MacKey, Token, TokenAgreementKey
from keystore.agreement import prf_at_hashed_point
from keystore.curve import compressed
from keystore.errors import GenerationPrepared, GenerationRevoked, RotationRefused, SealBroken
from keystore.generations import FirstGenerations, GenerationBook, State, label_of
from keystore.signatures import SigningKey
from keystore.transcript import text, transcript

Clock = Callable[[], int]
"""Gives now in milliseconds since 1970."""
FIRST_GENERATIONS = FirstGenerations()
_Key = TypeVar("_Key", SigningKey, "Prf")


def system_clock() -> int:
    """Return now, by the system's clock."""
    return time.time_ns() // 1_000_000


class KeyRing(Generic[_Key]):
    """Keys by generation, each opened when it is first needed and kept; safe to share between threads.

    The book is asked at every use, so that an activation is followed without a restart. Opening raises
    hsm.errors.KeyNotFound, KeyPolicyViolation.
    """

    def __init__(self, purpose: str, open_key: Callable[[str], _Key], book: GenerationBook, clock: Clock) -> None:
        """Open the active key: a token without it is refused here."""
        self._purpose, self._book, self._clock = purpose, book, clock
        self._open_key: Callable[[str], _Key] = open_key
        self._keys: dict[int, _Key] = {}
        self.active()

    def active(self) -> tuple[int, _Key]:
        """Return the active generation's number and key."""
        number = self._book.read().active(self._purpose, self._clock()).number
        return number, self._key(number)

    def usable(self) -> list[tuple[int, _Key]]:
        """Return every generation that is not revoked and was ever active, the active one first."""
        usable = self._book.read().usable(self._purpose, self._clock())
        return [(it.number, self._key(it.number)) for it in usable]

    def named(self, number: int) -> _Key:
        """Return the key of a generation in any state but revoked. Raises GenerationUnknown, GenerationRevoked."""
        if self._book.read().state(self._purpose, number, self._clock()) is State.REVOKED:
            raise GenerationRevoked(f"generation {number} of {self._purpose!r} is revoked")
        return self._key(number)

    def opening(self, number: int) -> _Key:
        """Return the key of a generation to open what it sealed. Raises GenerationUnknown, GenerationPrepared, GenerationRevoked.

        One whose activation is scheduled opens already: another machine's clock may be ahead of this one's.
        """
        if self._book.read().get(self._purpose, number).active_from is None:
            raise GenerationPrepared(f"generation {number} of {self._purpose!r} has sealed nothing")
        return self.named(number)

    def _key(self, number: int) -> _Key:
        """Return the key, opened once; if two threads both open it, the one that comes first stays."""
        key = self._keys.get(number)
        return (
            key if key is not None else self._keys.setdefault(number, self._open_key(label_of(self._purpose, number)))
        )


def generate(token: Token, label: str, policy: KeyPolicy) -> None:
    """Make a key of a purpose's policy. Raises hsm.errors.KeyExists."""
    if policy.kind is KeyKind.HMAC_256:
        token.generate_mac(label, policy)
    elif "SIGN" in policy.usages:
        token.generate_signing(label, policy)
    else:
        token.generate_agreement(label, policy)


def public_half(token: Token, label: str, policy: KeyPolicy) -> bytes:
    """Open a key and give its public half, empty where nobody needs one. Raises hsm.errors.KeyNotFound, KeyPolicyViolation."""
    if policy.kind is KeyKind.HMAC_256:
        token.mac(label, policy)
    elif "SIGN" in policy.usages:
        return compressed(token.signing(label, policy).public_key())
    else:
        token.agreement(label, policy)
    return b""


GENERATION_BYTES: Final = 2
SALT_BYTES: Final = 32
_CIPHERTEXT_FROM: Final = GENERATION_BYTES + SALT_BYTES
SEALED_OVERHEAD_BYTES: Final = _CIPHERTEXT_FROM + 16
"""By so much is what was sealed longer than its plaintext; 16 is the tag."""
_NONCE: Final = bytes(12)
"""Each seal has a key of its own, by its salt: so the nonce may be the same (SP 800-38D, section 8)."""


class Prf(Protocol):
    """A pseudo-random function under one key in a token."""

    def prf(self, message: bytes) -> bytes:
        """Return PRF(m), 32 bytes (docs/protocol.md, "Seals at rest")."""
        ...


@dataclass(frozen=True)
class MacPrf:
    """A server's: HMAC-SHA256 in the token."""

    key: MacKey

    def prf(self, message: bytes) -> bytes:
        """Return PRF(m)."""
        return self.key.mac(message)


@dataclass(frozen=True)
class AgreementPrf:
    """A person's: cards make no HMAC keys. The key meets no peer's point: who got answers for its own could unseal."""

    key: TokenAgreementKey

    def prf(self, message: bytes) -> bytes:
        """Return PRF(m)."""
        return prf_at_hashed_point(self.key, message)


class Sealing(Protocol):
    """AES-256-GCM under keys that a token derives by the generations of its own."""

    @property
    def generation(self) -> int:
        """Return the generation under which `seal` seals now."""
        ...

    def seal(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return generation || salt || ciphertext || tag, under the active generation."""
        ...

    def open(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext. Raises SealBroken."""
        ...

    def reseal(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the same under the active generation: unchanged, and not opened, if it is already. Raises SealBroken."""
        ...

    def generation_of(self, sealed: bytes) -> int:
        """Say which generation sealed it, without opening. Raises SealBroken if it says none."""
        ...


class Indexing(Protocol):
    """HMAC-SHA256 under the generations of a key in a token."""

    @property
    def generation(self) -> int:
        """Return the generation under which `mac` works now."""
        ...

    def mac(self, message: bytes) -> bytes:
        """Return the tag, 32 bytes, under the active generation."""
        ...

    def macs(self, message: bytes) -> Sequence[tuple[int, bytes]]:
        """Return the tag under every usable generation, with its number, the active one first."""
        ...


class TokenSealing:
    """Sealing by a token's PRF keys: one call of the token a seal, and the content stays outside."""

    def __init__(self, purpose: str, keys: KeyRing[Prf]) -> None:
        """Wrap the token's keys of a purpose."""
        self._purpose = text(purpose)
        self._keys = keys

    @property
    def generation(self) -> int:
        """Return the generation under which `seal` seals now."""
        return self._keys.active()[0]

    def seal(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return generation || salt || ciphertext || tag, under the active generation."""
        number, key = self._keys.active()
        named, salt = number.to_bytes(GENERATION_BYTES, "big"), secrets.token_bytes(SALT_BYTES)
        return named + salt + self._aead(key, named, salt).encrypt(_NONCE, plaintext, associated_data)

    def open(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext. Raises SealBroken, also for a generation that is unknown, was never active or is revoked."""
        number, named = self.generation_of(sealed), sealed[:GENERATION_BYTES]
        salt, ciphertext = sealed[GENERATION_BYTES:_CIPHERTEXT_FROM], sealed[_CIPHERTEXT_FROM:]
        if len(salt) != SALT_BYTES:
            raise SealBroken("what was sealed is too short for its salt")
        try:
            return self._aead(self._keys.opening(number), named, salt).decrypt(_NONCE, ciphertext, associated_data)
        except InvalidTag as error:
            raise SealBroken("what was sealed under the token's key does not open") from error
        except RotationRefused as error:
            raise SealBroken(f"what was sealed names a generation that opens nothing: {error}") from error

    def _aead(self, key: Prf, generation: bytes, salt: bytes) -> AESGCM:
        return AESGCM(key.prf(transcript("seal", self._purpose, generation, salt)))

    def reseal(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the same under the active generation: unchanged, and not opened, if it is already. Raises SealBroken."""
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

    def __init__(self, keys: KeyRing[Prf]) -> None:
        """Wrap the token's keys."""
        self._keys = keys

    @property
    def generation(self) -> int:
        """Return the generation under which `mac` works now."""
        return self._keys.active()[0]

    def mac(self, message: bytes) -> bytes:
        """Return the tag, 32 bytes, under the active generation."""
        return self._keys.active()[1].prf(message)

    def macs(self, message: bytes) -> Sequence[tuple[int, bytes]]:
        """Return the tag under every usable generation, with its number, the active one first."""
        return [(number, key.prf(message)) for number, key in self._keys.usable()]
