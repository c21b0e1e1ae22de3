"""A party's keys in its token, by purpose. Labels are the only names; a purpose has a key of each generation, an epoch its own.

No private key and no S_X exists outside a token but: S_X in memory at its import, TLS leaves of hours in memory, ML-KEM seeds
sealed under the token's sealing key (docs/protocol.md, 2).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hsm import AeadKey, KeyPolicy, MacKey, Token, TokenEd25519Key
from hsm.errors import KeyNotFound
from keystore.encryption import SEED_BYTES, DecryptionKey
from keystore.errors import GenerationUnknown, PurposeUnknown
from keystore.generations import GenerationBook, label_of
from keystore.group import public_point, scalar_from_seed, u_coordinate
from keystore.issuing import IssuingKey, credential_transcript, registration_secret
from keystore.keyring import (
    FIRST_GENERATIONS,
    Clock,
    Indexing,
    KeyRing,
    Sealing,
    TokenIndexing,
    TokenSealing,
    generate,
    public_half,
    system_clock,
)
from keystore.policies import (
    CLOUD_POLICIES,
    EPOCH_PREFIX,
    IDENTITY,
    INDEXING,
    ISSUING,
    POLICIES,
    RECORDS,
    REGISTRATION_PREFIX,
    SEALING,
    TLS_CA,
)
from keystore.registration_secret import RegistrationSecret, token_form
from keystore.transcript import transcript

__all__ = [
    "IDENTITY",
    "INDEXING",
    "ISSUING",
    "RECORDS",
    "SEALING",
    "TLS_CA",
    "CloudKeys",
    "HospitalKeys",
    "NewEpoch",
    "PartyKeys",
    "Successor",
]

_Key = TypeVar("_Key", TokenEd25519Key, AeadKey, MacKey)


@dataclass(frozen=True)
class NewEpoch:
    """A fresh encryption key: what to keep of it. `sealed_seed` opens under the token's sealing key alone."""

    key: DecryptionKey
    token_label: str
    sealed_seed: bytes


@dataclass(frozen=True)
class Successor:
    """A key that may take over: what `Generations.prepare` notes of it. `public` is empty for a secret key."""

    purpose: str
    number: int
    label: str
    public: bytes


class PartyKeys:
    """What every party has in its token: PRK_X, a sealing key, the KEM keys of its epochs, and S_X.

    PRK_X and the sealing key have generations, which the book tells: every use is by what is active at that moment.
    """

    purposes: ClassVar[tuple[str, ...]] = (IDENTITY, SEALING)
    _policies: ClassVar[Mapping[str, KeyPolicy]] = POLICIES

    def __init__(self, token: Token, book: GenerationBook = FIRST_GENERATIONS, clock: Clock = system_clock) -> None:
        """Open the keys of a token that `create` made. Raises hsm.errors.KeyNotFound, KeyPolicyViolation."""
        self.token = token
        self._book, self._clock = book, clock
        self._identity = self._ring(IDENTITY, token.ed25519)
        self.sealing: Sealing = TokenSealing(self._ring(SEALING, token.aead))

    @classmethod
    def create(cls, token: Token, book: GenerationBook = FIRST_GENERATIONS, clock: Clock = system_clock) -> Self:
        """Make the keys of a new party in its token. Raises hsm.errors.KeyExists."""
        for purpose in cls.purposes:
            generate(token, purpose, POLICIES[purpose])
        return cls(token, book, clock)

    @property
    def signing_key(self) -> Ed25519PrivateKey:
        """Return PRK_X: the active generation, to be asked for anew at each use."""
        return self._identity.active()[1]

    def signing_key_of(self, number: int) -> Ed25519PrivateKey:
        """Return PRK_X of a generation that is not revoked. Raises GenerationUnknown, GenerationRevoked."""
        return self._identity.named(number)

    def signing_key_for(self, verifying_key: bytes) -> Ed25519PrivateKey:
        """Return PRK_X of a PUK_X, of whatever generation that is not revoked. Raises GenerationUnknown."""
        for _, key in self._identity.usable():
            if key.public_key().public_bytes_raw() == verifying_key:
                return key
        raise GenerationUnknown("no signing key of this party that is in use has that public key")

    def successor(self, purpose: str, now: int) -> Successor:
        """Open the next generation's key, which a ceremony made in the token, and say what to note of it.

        Raises PurposeUnknown, RotationAlreadyPrepared, hsm.errors.KeyNotFound, KeyPolicyViolation.
        """
        if purpose not in self.purposes:
            raise PurposeUnknown(f"this party has no key for {purpose!r}")
        number = self._book.read().prepare(purpose, now).of(purpose)[-1].number
        label = label_of(purpose, number)
        return Successor(purpose, number, label, public_half(self.token, label, self._policies[purpose]))

    def generate_successor(self, purpose: str, now: int) -> Successor:
        """Make the next generation's key, where no ceremony does; one that an earlier attempt left is taken.

        Raises PurposeUnknown, RotationAlreadyPrepared, hsm.errors.KeyPolicyViolation.
        """
        try:
            return self.successor(purpose, now)
        except KeyNotFound:
            number = self._book.read().prepare(purpose, now).of(purpose)[-1].number
            generate(self.token, label_of(purpose, number), POLICIES[purpose])
        return self.successor(purpose, now)

    def new_epoch(self) -> NewEpoch:
        """Make the encryption key of a new epoch: X25519 in the token, the ML-KEM seed from its RNG and sealed by it."""
        seed = self.token.random(SEED_BYTES)
        provisional = EPOCH_PREFIX + self.token.random(16).hex()
        key = DecryptionKey(seed, self.token.generate_x25519(provisional, POLICIES[EPOCH_PREFIX]))
        return NewEpoch(key, provisional, self.sealing.seal(seed, _seed_context(provisional)))

    def open_epoch(self, token_label: str, sealed_seed: bytes) -> DecryptionKey:
        """Open the encryption key of an epoch. Raises SealBroken, hsm.errors.KeyNotFound."""
        return DecryptionKey(
            self.sealing.open(sealed_seed, _seed_context(token_label)),
            self.token.x25519(token_label, POLICIES[EPOCH_PREFIX]),
        )

    def reseal_epoch(self, token_label: str, sealed_seed: bytes) -> bytes:
        """Return the seed of an epoch under the active sealing key, to be kept in place of the other. Raises SealBroken."""
        return self.sealing.reseal(sealed_seed, _seed_context(token_label))

    def end_epoch(self, token_label: str) -> None:
        """Destroy the token's half of an epoch's key: what was sealed to it stays sealed for ever (B5)."""
        self.token.destroy(token_label)

    def import_registration_secret(
        self, secret: bytearray, point: bytes, issuer_public_key: bytes, credential: bytes, serial: bytes
    ) -> RegistrationSecret:
        """Import S_X, test it in the token, and wipe the caller's copy whatever happens.

        Raises InvalidScalar, CredentialMismatch, hsm.errors.KeyInvalid; then nothing stays in the token. One that an attempt
        before has left in the token gives way: what came between may have cut its test short.
        """
        label = REGISTRATION_PREFIX + serial.hex()
        form = token_form(bytes(secret))
        if self.token.has(label):
            self.token.destroy(label)
        try:
            public = u_coordinate(public_point(point, issuer_public_key, credential_transcript(credential)))
            key = self.token.import_x25519(label, form, public, POLICIES[REGISTRATION_PREFIX])
        finally:
            secret[:] = bytes(len(secret))
            form[:] = bytes(len(form))
        imported = registration_secret(key, point, issuer_public_key, credential)
        try:
            imported.require_consistent(scalar_from_seed(self.token.random(64)))
        except Exception:
            self.token.destroy(label)
            raise
        return imported

    def holds_registration_secret(self, serial: bytes) -> bool:
        """Return whether S_X of a credential is in the token: not if the token took the place of one that died (ADR 17)."""
        return self.token.has(REGISTRATION_PREFIX + serial.hex())

    def forget_registration_secret(self, serial: bytes) -> None:
        """Destroy S_X of a credential that is over; none there is no error."""
        if self.holds_registration_secret(serial):
            self.token.destroy(REGISTRATION_PREFIX + serial.hex())

    def registration_secret(
        self, point: bytes, issuer_public_key: bytes, credential: bytes, serial: bytes
    ) -> RegistrationSecret:
        """Open S_X of a credential. Raises hsm.errors.KeyNotFound, InvalidPoint."""
        key = self.token.x25519(REGISTRATION_PREFIX + serial.hex(), POLICIES[REGISTRATION_PREFIX])
        return registration_secret(key, point, issuer_public_key, credential)

    def _ring(self, purpose: str, open_key: Callable[[str, KeyPolicy], _Key]) -> KeyRing[_Key]:
        policy = self._policies[purpose]
        return KeyRing(purpose, lambda label: open_key(label, policy), self._book, self._clock)


class _ServerKeys(PartyKeys):
    """What hospitals and the public cloud have beside: an index key and a TLS CA key."""

    def __init__(self, token: Token, book: GenerationBook = FIRST_GENERATIONS, clock: Clock = system_clock) -> None:
        super().__init__(token, book, clock)
        self.index: Indexing = TokenIndexing(self._ring(INDEXING, token.mac))
        self._tls_ca = self._ring(TLS_CA, token.ed25519)

    @property
    def tls_ca_key(self) -> Ed25519PrivateKey:
        """Return the active TLS CA key."""
        return self._tls_ca.active()[1]

    def tls_ca_key_of(self, number: int) -> Ed25519PrivateKey:
        """Return the TLS CA key of a generation that is not revoked. Raises GenerationUnknown, GenerationRevoked."""
        return self._tls_ca.named(number)


class HospitalKeys(_ServerKeys):
    """What a hospital has beside: the key that wraps its records' keys, its index key, its TLS identity CA key."""

    purposes = (IDENTITY, SEALING, RECORDS, INDEXING, TLS_CA)

    def __init__(self, token: Token, book: GenerationBook = FIRST_GENERATIONS, clock: Clock = system_clock) -> None:
        """Open the keys of a hospital's token."""
        super().__init__(token, book, clock)
        self.records: Sealing = TokenSealing(self._ring(RECORDS, token.aead))


class CloudKeys(_ServerKeys):
    """What the public cloud has: s and PRK_C (two keys), sealing and index keys, the federation's TLS CA key."""

    purposes = (IDENTITY, SEALING, ISSUING, INDEXING, TLS_CA)
    _policies = CLOUD_POLICIES

    def __init__(self, token: Token, book: GenerationBook = FIRST_GENERATIONS, clock: Clock = system_clock) -> None:
        """Open the keys of the public cloud's token."""
        super().__init__(token, book, clock)
        self._issuing = self._ring(ISSUING, token.ed25519)

    @property
    def issuing(self) -> IssuingKey:
        """Return s: the active generation."""
        return IssuingKey(self._issuing.active()[1])

    def issuing_of(self, number: int) -> IssuingKey:
        """Return s of a generation that is not revoked. Raises GenerationUnknown, GenerationRevoked."""
        return IssuingKey(self._issuing.named(number))


def _seed_context(token_label: str) -> bytes:
    return transcript("mlkem-seed", token_label.encode())
