"""A party's keys in its token, by purpose. Labels are the only names; a purpose has a key of each generation, an epoch its own.

No private key and no S_X exists outside a token but: S_X in memory at its import, and sealed at rest while it waits for the tool
of a maker whose token takes it by no other way; TLS leaves of hours in memory; and those halves of an epoch's KEM key that its
token can't hold, sealed at rest (docs/protocol.md, 2).
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from hsm import KeyKind, KeyPolicy, Token
from hsm.errors import KeyNotFound
from keystore.curve import POINT_BYTES, SCALAR_SEED_BYTES, private_key, public_point, scalar_from_seed
from keystore.encryption import SEED_BYTES, DecryptionKey
from keystore.errors import GenerationUnknown, PurposeUnknown, SealBroken
from keystore.generations import GenerationBook, label_of
from keystore.issuing import IssuingKey
from keystore.keyring import (
    FIRST_GENERATIONS,
    SEALED_OVERHEAD_BYTES,
    AgreementPrf,
    Clock,
    Indexing,
    KeyRing,
    MacPrf,
    Prf,
    Sealing,
    Together,
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
    MLKEM_PREFIX,
    PERSON_POLICIES,
    POLICIES,
    RECORDS,
    REGISTRATION_PREFIX,
    SEALING,
    TLS_CA,
)
from keystore.registration_secret import RegistrationSecret
from keystore.signatures import SigningKey
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

_Key = TypeVar("_Key", SigningKey, Prf)
_SEED_IN_KEPT: Final = {0: 0, POINT_BYTES: 0, SEED_BYTES: SEED_BYTES, SEED_BYTES + POINT_BYTES: SEED_BYTES}
"""How many of the bytes that are kept of an epoch's key are the ML-KEM seed, by how many there are; the others are the scalar."""
_SEALED_WHOLE_BYTES: Final = SEALED_OVERHEAD_BYTES + SEED_BYTES + POINT_BYTES
"""An epoch's key that is all sealed, both halves."""


@dataclass(frozen=True)
class NewEpoch:
    """A fresh encryption key: what to keep of it. `sealed_seed` is what the token doesn't hold, under its sealing key."""

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
    policies: ClassVar[Mapping[str, KeyPolicy]] = PERSON_POLICIES
    """What a key of each of its purposes has to be."""

    def __init__(self, token: Token, book: GenerationBook = FIRST_GENERATIONS, clock: Clock = system_clock) -> None:
        """Open the keys of a token that `create` made. Raises hsm.errors.KeyNotFound, KeyPolicyViolation."""
        self.token = token
        self._book, self._clock = book, clock
        self._identity = self._ring(IDENTITY, self._signing)
        self.sealing: Sealing = self._sealed_by(SEALING)

    @classmethod
    def create(cls, token: Token, book: GenerationBook = FIRST_GENERATIONS, clock: Clock = system_clock) -> Self:
        """Make the keys of a new party in its token. Raises hsm.errors.KeyExists."""
        for purpose in cls.purposes:
            generate(token, purpose, cls.policies[purpose])
        return cls(token, book, clock)

    @property
    def signing_key(self) -> SigningKey:
        """Return PRK_X: the active generation, to be asked for anew at each use."""
        return self._identity.active()[1]

    def signing_key_of(self, number: int) -> SigningKey:
        """Return PRK_X of a generation that is not revoked. Raises GenerationUnknown, GenerationRevoked."""
        return self._identity.named(number)

    def signing_key_for(self, verifying_key: bytes) -> SigningKey:
        """Return PRK_X of a PUK_X, of whatever generation that is not revoked. Raises GenerationUnknown."""
        for _, key in self._identity.usable():
            if key.verifying_key.data == verifying_key:
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
        return Successor(purpose, number, label, public_half(self.token, label, self.policies[purpose]))

    def generate_successor(self, purpose: str, now: int) -> Successor:
        """Make the next generation's key, where no ceremony does; one that an earlier attempt left is taken.

        Raises PurposeUnknown, RotationAlreadyPrepared, hsm.errors.KeyPolicyViolation.
        """
        try:
            return self.successor(purpose, now)
        except KeyNotFound:
            number = self._book.read().prepare(purpose, now).of(purpose)[-1].number
            generate(self.token, label_of(purpose, number), self.policies[purpose])
        return self.successor(purpose, now)

    def new_epoch(self) -> NewEpoch:
        """Make the encryption key of a new epoch: each half in the token where it can be, else sealed at rest.

        The token holds a P-256 half where it lets x out, and an ML-KEM half where it has that. A half outside is of the
        token's random numbers all the same. Of several tokens with the same keys one alone would have a half: there both
        are outside, which every one of them opens.
        """
        name = EPOCH_PREFIX + self.token.random(16).hex()
        mlkem, seed = self._new_mlkem(_mlkem_label(name))
        p256, scalar = self._new_p256(name)
        context = _seed_context(name)
        return NewEpoch(DecryptionKey(mlkem, p256), name, self.sealing.seal(seed + scalar, context, Together(context)))

    def _new_mlkem(self, label: str) -> tuple[MLKEM768PrivateKey, bytes]:
        if self.token.makes_keys and self.token.has_mlkem:
            return self.token.generate_mlkem(label, self.policies[MLKEM_PREFIX]), b""
        seed = self.token.random(SEED_BYTES)
        return MLKEM768PrivateKey.from_seed_bytes(seed), seed

    def _new_p256(self, label: str) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        if self.token.makes_keys and self.token.gives_x:
            return self.token.generate_agreement(label, self.policies[EPOCH_PREFIX]), b""
        key = scalar_from_seed(self.token.random(SCALAR_SEED_BYTES))
        return key, key.private_numbers().private_value.to_bytes(POINT_BYTES, "big")

    def open_epoch(self, token_label: str, sealed_seed: bytes) -> DecryptionKey:
        """Open the encryption key of an epoch. Raises SealBroken, hsm.errors.KeyNotFound, KeyPolicyViolation, KeyInvalid."""
        seed, scalar = self._kept(token_label, sealed_seed)
        mlkem = (
            MLKEM768PrivateKey.from_seed_bytes(seed)
            if seed
            else self.token.mlkem(_mlkem_label(token_label), self.policies[MLKEM_PREFIX])
        )
        p256 = (
            private_key(scalar)
            if scalar
            else self.token.agreement(token_label, self.policies[EPOCH_PREFIX], in_one=True)
        )
        return DecryptionKey(mlkem, p256)

    def holds_epoch(self, token_label: str, sealed_seed: bytes) -> bool:
        """Return whether both halves are there, kept or in the token: not if it took the place of one that died (ADR 17)."""
        try:
            seed, scalar = self._kept(token_label, sealed_seed)
        except SealBroken:
            return False
        return bool(seed or self.token.has(_mlkem_label(token_label))) and bool(scalar or self.token.has(token_label))

    def _kept(self, token_label: str, sealed_seed: bytes) -> tuple[bytes, bytes]:
        """Return the ML-KEM seed and the P-256 scalar, each empty if the token holds that half."""
        context = _seed_context(token_label)
        kept = self.sealing.open(sealed_seed, context, Together(context))
        seed_bytes = _SEED_IN_KEPT.get(len(kept))
        if seed_bytes is None:
            raise SealBroken("what is kept of an epoch's key has the size of neither half nor both")
        return kept[:seed_bytes], kept[seed_bytes:]

    def is_epoch_everywhere(self, sealed_seed: bytes) -> bool:
        """Return whether each of the party's tokens opens an epoch's key: not one from before there were several."""
        return self.token.makes_keys or len(sealed_seed) == _SEALED_WHOLE_BYTES

    def reseal_epoch(self, token_label: str, sealed_seed: bytes) -> bytes:
        """Return the seed of an epoch under the active sealing key, to be kept in place of the other. Raises SealBroken."""
        context = _seed_context(token_label)
        return self.sealing.reseal(sealed_seed, context, Together(context))

    def end_epoch(self, token_label: str) -> None:
        """Destroy what the token holds of an epoch's key: what was sealed to it stays sealed for ever (B5).

        Where the token holds none of it, the caller's kept seed was all there is.
        """
        for label in (token_label, _mlkem_label(token_label)):
            if self.token.has(label):
                with suppress(KeyNotFound):  # another process was faster
                    self.token.destroy(label)

    def import_registration_secret(
        self, secret: bytearray, point: bytes, issuer_public_key: bytes, credential: bytes, serial: bytes
    ) -> RegistrationSecret:
        """Import S_X, test it in the token, and wipe the caller's copy whatever happens.

        Raises CredentialMismatch, InvalidPoint, hsm.errors.KeyInvalid; then nothing stays in the token. One that an attempt
        before has left in the token gives way: what came between may have cut its test short.
        """
        label = REGISTRATION_PREFIX + serial.hex()
        if self.token.has(label):
            self.token.destroy(label)
        try:
            self.token.import_key(label, POLICIES[REGISTRATION_PREFIX], secret)
        finally:
            secret[:] = bytes(len(secret))
        try:
            imported = self.registration_secret(point, issuer_public_key, credential, serial)
            imported.require_consistent()
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
        key = self.token.agreement(REGISTRATION_PREFIX + serial.hex(), POLICIES[REGISTRATION_PREFIX])
        return RegistrationSecret(key, point, public_point(point, issuer_public_key, credential))

    def _sealed_by(self, purpose: str) -> TokenSealing:
        return TokenSealing(purpose, self._ring(purpose, self._prf))

    def _signing(self, label: str, policy: KeyPolicy) -> SigningKey:
        return SigningKey(self.token.signing(label, policy))

    def _prf(self, label: str, policy: KeyPolicy) -> Prf:
        if policy.kind is KeyKind.HMAC_256:
            return MacPrf(self.token.mac(label, policy))
        return AgreementPrf(self.token.agreement(label, policy))

    def _ring(self, purpose: str, open_key: Callable[[str, KeyPolicy], _Key]) -> KeyRing[_Key]:
        policy = self.policies[purpose]
        return KeyRing(purpose, lambda label: open_key(label, policy), self._book, self._clock)


class _ServerKeys(PartyKeys):
    """What hospitals and the public cloud have beside: an index key and a TLS CA key. Their tokens make HMAC keys."""

    policies = POLICIES

    def __init__(self, token: Token, book: GenerationBook = FIRST_GENERATIONS, clock: Clock = system_clock) -> None:
        super().__init__(token, book, clock)
        self.index: Indexing = TokenIndexing(self._ring(INDEXING, self._prf))
        self._tls_ca = self._ring(TLS_CA, self._signing)

    @property
    def tls_ca_key(self) -> ec.EllipticCurvePrivateKey:
        """Return the active TLS CA key."""
        return self._tls_ca.active()[1].x509

    def tls_ca_key_of(self, number: int) -> ec.EllipticCurvePrivateKey:
        """Return the TLS CA key of a generation that is not revoked. Raises GenerationUnknown, GenerationRevoked."""
        return self._tls_ca.named(number).x509


class HospitalKeys(_ServerKeys):
    """What a hospital has beside: the key that wraps its records' keys, its index key, its TLS identity CA key."""

    purposes = (IDENTITY, SEALING, RECORDS, INDEXING, TLS_CA)

    def __init__(self, token: Token, book: GenerationBook = FIRST_GENERATIONS, clock: Clock = system_clock) -> None:
        """Open the keys of a hospital's token."""
        super().__init__(token, book, clock)
        self.records: Sealing = self._sealed_by(RECORDS)


class CloudKeys(_ServerKeys):
    """What the public cloud has: s and PRK_C (two keys), sealing and index keys, the federation's TLS CA key."""

    purposes = (IDENTITY, SEALING, ISSUING, INDEXING, TLS_CA)
    policies = CLOUD_POLICIES

    def __init__(self, token: Token, book: GenerationBook = FIRST_GENERATIONS, clock: Clock = system_clock) -> None:
        """Open the keys of the public cloud's token."""
        super().__init__(token, book, clock)
        self._issuing = self._ring(ISSUING, self._signing)

    @property
    def issuing(self) -> IssuingKey:
        """Return s: the active generation."""
        return IssuingKey(self._issuing.active()[1].x509)

    def issuing_of(self, number: int) -> IssuingKey:
        """Return s of a generation that is not revoked. Raises GenerationUnknown, GenerationRevoked."""
        return IssuingKey(self._issuing.named(number).x509)


def _mlkem_label(token_label: str) -> str:
    """Return the label of an epoch's ML-KEM half, by that of its P-256 half."""
    return MLKEM_PREFIX + token_label.removeprefix(EPOCH_PREFIX)


def _seed_context(token_label: str) -> bytes:
    return transcript("mlkem-seed", token_label.encode())
