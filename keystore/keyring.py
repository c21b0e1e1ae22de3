"""The generations of one purpose's key in a token, the active one to work with, each to open by its number; and what they seal.

What is sealed is u16be(generation) || batch || salt || ciphertext || tag. The generation chooses the token's key, which makes
that of the batch; the seal's own follows from it and the salt in software (docs/protocol.md, "Seals at rest";
docs/adr/0018-rotation.md, docs/adr/0032-speed.md).
"""

import hashlib
import hmac
import itertools
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hsm import KeyKind, KeyPolicy, MacKey, Token, TokenAgreementKey
from keystore.agreement import prf_at_hashed_point
from keystore.curve import compressed
from keystore.errors import GenerationPrepared, GenerationRevoked, RotationRefused, SealBroken
from keystore.generations import FirstGenerations, Generation, GenerationBook, Generations, State, label_of
from keystore.signatures import SigningKey
from keystore.transcript import text, transcript
from remembered import Memory

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

    def standing(self) -> tuple[Generation, ...]:
        """Return all generations as the book has them now: what changes when one is activated, tainted or revoked."""
        return self._book.read().of(self._purpose)

    def named(self, number: int) -> _Key:
        """Return the key of a generation in any state but revoked. Raises GenerationUnknown, GenerationRevoked."""
        return self._of(self._book.read(), number)

    def opening(self, number: int) -> _Key:
        """Return the key of a generation to open what it sealed. Raises GenerationUnknown, GenerationPrepared, GenerationRevoked.

        One whose activation is scheduled opens already: another machine's clock may be ahead of this one's.
        """
        generations = self._book.read()
        if generations.get(self._purpose, number).active_from is None:
            raise GenerationPrepared(f"generation {number} of {self._purpose!r} has sealed nothing")
        return self._of(generations, number)

    def _of(self, generations: Generations, number: int) -> _Key:
        if generations.state(self._purpose, number, self._clock()) is State.REVOKED:
            raise GenerationRevoked(f"generation {number} of {self._purpose!r} is revoked")
        return self._key(number)

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
BATCH_BYTES: Final = 16
SALT_BYTES: Final = 16
SEALS_PER_BATCH: Final = 65_536
"""Of what belongs to nothing else, a process seals no more under one batch."""
_SALT_FROM: Final = GENERATION_BYTES + BATCH_BYTES
_CIPHERTEXT_FROM: Final = _SALT_FROM + SALT_BYTES
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


@dataclass(frozen=True)
class Together:
    """What is sealed as one batch: bytes that all of it has in common, and who asks about it now, if anybody does.

    What a batch like this holds is somebody's, or a key, so its key is remembered for that asker alone, and without one not at
    all: how long an answer takes tells nobody what another has asked.
    """

    common: bytes
    asker: str = ""

    @property
    def batch(self) -> bytes:
        """Return the batch's name: the first 16 bytes of H(T("batch", common))."""
        return hashlib.sha256(transcript("batch", self.common)).digest()[:BATCH_BYTES]


class Sealing(Protocol):
    """AES-256-GCM under keys that a token derives by the generations of its own."""

    @property
    def generation(self) -> int:
        """Return the generation under which `seal` seals now."""
        ...

    def seal(self, plaintext: bytes, associated_data: bytes, together: Together | None = None) -> bytes:
        """Return generation || batch || salt || ciphertext || tag, under the active generation."""
        ...

    def open(self, sealed: bytes, associated_data: bytes, together: Together | None = None) -> bytes:
        """Return the plaintext of what was sealed so. Raises SealBroken."""
        ...

    def reseal(self, sealed: bytes, associated_data: bytes, together: Together | None = None) -> bytes:
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

    def names(self, label: str, identity: str, *, asker: str = "") -> Sequence[tuple[int, bytes]]:
        """Return HMAC(W, T(label)), W = HMAC(key, T("identity", identity)), under the same generations.

        W is remembered for this asker alone, and without one not at all: as with what is sealed `Together`.
        """
        ...


_ANYBODY: Final = "*"
"""Who asks for what is of one batch by the hour in which it was sealed alone: no identity is called that."""


class _Derived:
    """What the keys of a ring made lately (`remembered.TABLE`), so that the token is asked once for what belongs together.

    The caller has asked the book for the key, at this use: what is remembered of a revoked generation is not reached. At the
    first use behind any change in the book, all of it is forgotten.
    """

    def __init__(self, kind: str, keys: KeyRing[Prf], seconds: Callable[[], float]) -> None:
        """Begin with nothing; `kind` is the row of the table."""
        self._keys = keys
        self._known: Memory[tuple[str, int, bytes], bytes] = Memory(kind, seconds)
        self._standing = keys.standing()

    def prf(self, number: int, key: Prf, message: bytes, *, asker: str) -> bytes:
        """Return PRF(m) by the key of a generation, as remembered for this asker; without one it is not remembered."""
        if not asker:
            return key.prf(message)
        standing = self._keys.standing()
        if standing != self._standing:
            self._known.forget()
            self._standing = standing
        return self._known.of((asker, number, message), lambda: key.prf(message))


@dataclass(frozen=True)
class _Batch:
    """What a process seals under now, if it belongs to nothing else. The name is no secret: it stands in each seal."""

    name: bytes = field(default_factory=lambda: secrets.token_bytes(BATCH_BYTES))
    seals: Iterator[int] = field(default_factory=itertools.count)


class TokenSealing:
    """Sealing by a token's PRF keys: at most one call of the token a seal, and the content stays outside."""

    def __init__(self, purpose: str, keys: KeyRing[Prf], seconds: Callable[[], float] = time.monotonic) -> None:
        """Wrap the token's keys of a purpose; `seconds` is a clock that is never set back."""
        self._purpose = text(purpose)
        self._keys = keys
        self._batch_keys = _Derived("keys of batches of seals", keys, seconds)
        self._batches: Memory[None, _Batch] = Memory("batch to seal under", seconds)

    @property
    def generation(self) -> int:
        """Return the generation under which `seal` seals now."""
        return self._keys.active()[0]

    def seal(self, plaintext: bytes, associated_data: bytes, together: Together | None = None) -> bytes:
        """Return generation || batch || salt || ciphertext || tag, under the active generation."""
        batch = self._batch() if together is None else together.batch
        number, key = self._keys.active()
        salt = secrets.token_bytes(SALT_BYTES)
        ciphertext = self._aead(number, key, batch, salt, together).encrypt(_NONCE, plaintext, associated_data)
        return _named(number) + batch + salt + ciphertext

    def open(self, sealed: bytes, associated_data: bytes, together: Together | None = None) -> bytes:
        """Return the plaintext of what was sealed so.

        Raises SealBroken, also for a generation that is unknown, was never active or is revoked, and for another batch.
        """
        number, salt = self.generation_of(sealed), sealed[_SALT_FROM:_CIPHERTEXT_FROM]
        if len(salt) != SALT_BYTES:
            raise SealBroken("what was sealed is too short for its salt")
        batch = sealed[GENERATION_BYTES:_SALT_FROM]
        if together is not None and batch != together.batch:
            raise SealBroken("what was sealed is not of the batch that it belongs to")
        try:
            aead = self._aead(number, self._keys.opening(number), batch, salt, together)
            return aead.decrypt(_NONCE, sealed[_CIPHERTEXT_FROM:], associated_data)
        except InvalidTag as error:
            raise SealBroken("what was sealed under the token's key does not open") from error
        except RotationRefused as error:
            raise SealBroken(f"what was sealed names a generation that opens nothing: {error}") from error

    def reseal(self, sealed: bytes, associated_data: bytes, together: Together | None = None) -> bytes:
        """Return the same under the active generation: unchanged, and not opened, if it is already. Raises SealBroken."""
        if self.generation_of(sealed) == self.generation:
            return sealed
        return self.seal(self.open(sealed, associated_data, together), associated_data, together)

    def generation_of(self, sealed: bytes) -> int:
        """Say which generation sealed it, without opening. Raises SealBroken if it says none."""
        if len(sealed) < GENERATION_BYTES:
            raise SealBroken("what was sealed is too short to name its generation")
        return int.from_bytes(sealed[:GENERATION_BYTES], "big")

    def _aead(self, number: int, key: Prf, batch: bytes, salt: bytes, together: Together | None) -> AESGCM:
        message = transcript("seal-batch", self._purpose, _named(number), batch)
        asker = _ANYBODY if together is None else together.asker
        batch_key = self._batch_keys.prf(number, key, message, asker=asker)
        return AESGCM(hmac.digest(batch_key, transcript("seal", salt), "sha256"))

    def _batch(self) -> bytes:
        batch = self._batches.of(None, _Batch)
        if next(batch.seals) < SEALS_PER_BATCH:
            return batch.name
        self._batches.forget()
        return self._batch()


def _named(generation: int) -> bytes:
    return generation.to_bytes(GENERATION_BYTES, "big")


class TokenIndexing:
    """Indexing under the token's HMAC keys."""

    def __init__(self, keys: KeyRing[Prf], seconds: Callable[[], float] = time.monotonic) -> None:
        """Wrap the token's keys; `seconds` is a clock that is never set back."""
        self._keys = keys
        self._identities = _Derived("values of identities", keys, seconds)

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

    def names(self, label: str, identity: str, *, asker: str = "") -> Sequence[tuple[int, bytes]]:
        """Return HMAC(W, T(label)), W = HMAC(key, T("identity", identity)), under the same generations."""
        message, named = transcript("identity", text(identity)), transcript(label)
        values = [
            (number, self._identities.prf(number, key, message, asker=asker)) for number, key in self._keys.usable()
        ]
        return [(number, hmac.digest(value, named, "sha256")) for number, value in values]
