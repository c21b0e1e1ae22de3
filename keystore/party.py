"""A party's keys in its token, by purpose. Labels are the only names; a purpose has one key, an epoch its own.

No private key and no S_X exists outside a token but: S_X in memory at its import, TLS leaves of hours in memory, ML-KEM seeds
sealed under the token's sealing key (docs/protocol.md, 2).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hsm import KeyPolicy, Token
from keystore.encryption import SEED_BYTES, DecryptionKey
from keystore.group import public_point, scalar_from_seed, u_coordinate
from keystore.issuing import IssuingKey, credential_transcript, registration_secret
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
from keystore.sealing import Indexing, Sealing, TokenIndexing, TokenSealing
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
]


@dataclass(frozen=True)
class NewEpoch:
    """A fresh encryption key: what to keep of it. `sealed_seed` opens under the token's sealing key alone."""

    key: DecryptionKey
    token_label: str
    sealed_seed: bytes


class PartyKeys:
    """What every party has in its token: PRK_X, a sealing key, the KEM keys of its epochs, and S_X."""

    _policies: ClassVar[Mapping[str, KeyPolicy]] = POLICIES

    def __init__(self, token: Token) -> None:
        """Open the keys of a token that `create` made. Raises hsm.errors.KeyNotFound, KeyPolicyViolation."""
        self.token = token
        self.signing_key: Ed25519PrivateKey = token.ed25519(IDENTITY, self._policies[IDENTITY])
        self.sealing: Sealing = TokenSealing(token.aead(SEALING, POLICIES[SEALING]))

    @classmethod
    def create(cls, token: Token) -> "PartyKeys":
        """Make the keys of a new party in its token. Raises hsm.errors.KeyExists."""
        token.generate_ed25519(IDENTITY, POLICIES[IDENTITY])
        token.generate_aes(SEALING, POLICIES[SEALING])
        return cls(token)

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

    def end_epoch(self, token_label: str) -> None:
        """Destroy the token's half of an epoch's key: what was sealed to it stays sealed for ever (B5)."""
        self.token.destroy(token_label)

    def import_registration_secret(
        self, secret: bytearray, point: bytes, issuer_public_key: bytes, credential: bytes, serial: bytes
    ) -> RegistrationSecret:
        """Import S_X, test it in the token, and wipe the caller's copy whatever happens.

        Raises InvalidScalar, CredentialMismatch, hsm.errors.KeyInvalid; then nothing stays in the token.
        """
        label = REGISTRATION_PREFIX + serial.hex()
        form = token_form(bytes(secret))
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
        """Say whether S_X of a credential is in the token: not if the token was restored in place of one that died (ADR 17)."""
        return self.token.has(REGISTRATION_PREFIX + serial.hex())

    def registration_secret(
        self, point: bytes, issuer_public_key: bytes, credential: bytes, serial: bytes
    ) -> RegistrationSecret:
        """Open S_X of a credential. Raises hsm.errors.KeyNotFound, InvalidPoint."""
        key = self.token.x25519(REGISTRATION_PREFIX + serial.hex(), POLICIES[REGISTRATION_PREFIX])
        return registration_secret(key, point, issuer_public_key, credential)


class HospitalKeys(PartyKeys):
    """What a hospital has beside: the key that wraps its records' keys, its index key, its TLS identity CA key."""

    def __init__(self, token: Token) -> None:
        """Open the keys of a hospital's token."""
        super().__init__(token)
        self.records: Sealing = TokenSealing(token.aead(RECORDS, POLICIES[RECORDS]))
        self.index: Indexing = TokenIndexing(token.mac(INDEXING, POLICIES[INDEXING]))
        self.tls_ca_key: Ed25519PrivateKey = token.ed25519(TLS_CA, POLICIES[TLS_CA])

    @classmethod
    def create(cls, token: Token) -> "HospitalKeys":
        """Make the keys of a new hospital in its token."""
        PartyKeys.create(token)
        token.generate_aes(RECORDS, POLICIES[RECORDS])
        token.generate_mac(INDEXING, POLICIES[INDEXING])
        token.generate_ed25519(TLS_CA, POLICIES[TLS_CA])
        return cls(token)


class CloudKeys(PartyKeys):
    """What the public cloud has: s and PRK_C (two keys), sealing and index keys, the federation's TLS CA key."""

    _policies = CLOUD_POLICIES

    def __init__(self, token: Token) -> None:
        """Open the keys of the public cloud's token."""
        super().__init__(token)
        self.issuing = IssuingKey(token.ed25519(ISSUING, POLICIES[ISSUING]))
        self.index: Indexing = TokenIndexing(token.mac(INDEXING, POLICIES[INDEXING]))
        self.tls_ca_key: Ed25519PrivateKey = token.ed25519(TLS_CA, self._policies[TLS_CA])

    @classmethod
    def create(cls, token: Token) -> "CloudKeys":
        """Make the keys of a new public cloud in its token."""
        PartyKeys.create(token)
        token.generate_ed25519(ISSUING, POLICIES[ISSUING])
        token.generate_mac(INDEXING, POLICIES[INDEXING])
        token.generate_ed25519(TLS_CA, POLICIES[TLS_CA])
        return cls(token)


def _seed_context(token_label: str) -> bytes:
    return transcript("mlkem-seed", token_label.encode())
