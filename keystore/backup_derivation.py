"""From a master seed to keys: HKDF-SHA256 (RFC 5869), one derivation per key, each bound to what the key is for.

key = HKDF(ikm = seed, no salt, info = T("backup-key", purpose, label, u64(generation)), 32 bytes); the bytes are an Ed25519
seed, an AES-256 key or an HMAC-SHA256 key. The seed itself is HKDF(ikm = 32 bytes of the token || 32 bytes of the system, info =
T("backup-seed")): good as long as either is. Values are in buffers that their owner wipes; copies that Python or a library
made along the way are beyond reach, which is one reason for the air-gapped machine (docs/adr/0017-backup.md).
"""

import hmac
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hsm import KeyKind, KeyPolicy, Provenance, Token
from hsm.errors import AuthenticationFailed
from keystore.errors import BackupCardRejected
from keystore.generations import label_of, purpose_and_number
from keystore.policies import CLOUD_POLICIES, IDENTITY, INDEXING, ISSUING, RECORDS, SEALING, TLS_CA, rotatable_purpose
from keystore.transcript import transcript, u64

SEED_BYTES: Final = 32
_NONCE_BYTES: Final = 12


@dataclass(frozen=True)
class RecoverableKey:
    """One key that a seed gives: what it is for, its label in the token, its kind. A rotation counts `generation` up."""

    purpose: str
    label: str
    kind: KeyKind
    generation: int = 1

    @property
    def policy(self) -> KeyPolicy:
        """Give the policy under which the token holds it. Raises BackupCardRejected for a label that no restored key may have."""
        purpose = rotatable_purpose(self.label)
        if purpose is None or purpose_and_number(self.label) != (purpose, self.generation):
            raise BackupCardRejected(f"A key {self.label!r} of generation {self.generation} is none of ours.")
        policy = CLOUD_POLICIES[purpose]
        if policy.kind is not self.kind or policy.provenance is not Provenance.IMPORTABLE:
            raise BackupCardRejected(f"A key {self.label!r} of this kind is not restored from a backup.")
        return policy

    def successor(self, number: int) -> "RecoverableKey":
        """Give what follows this first generation by that number, to be made from a seed of its own."""
        return replace(self, label=label_of(self.label, number), generation=number)

    def info(self, what: str) -> bytes:
        """Give T(what, purpose, label, generation)."""
        return transcript(what, self.purpose.encode(), self.label.encode(), u64(self.generation))


_ISSUING: Final = RecoverableKey("issuing", ISSUING, KeyKind.ED25519)
_SEALING: Final = RecoverableKey("sealing", SEALING, KeyKind.AES_256)
_INDEX: Final = RecoverableKey("index", INDEXING, KeyKind.HMAC_256)
_RECORDS: Final = RecoverableKey("records", RECORDS, KeyKind.AES_256)
_IDENTITY: Final = RecoverableKey("identity", IDENTITY, KeyKind.ED25519)
_TLS_CA: Final = RecoverableKey("tls-ca", TLS_CA, KeyKind.ED25519)

CLOUD: Final = (_ISSUING, _SEALING, _INDEX)
"""What a federation cannot do without: s, the keys of what the cloud stored."""
HOSPITAL: Final = (_RECORDS, _SEALING, _INDEX)
"""What a hospital's records cannot do without."""
CLOUD_SIGNERS: Final = (_IDENTITY, _TLS_CA)
"""What everybody pins of the cloud: lost, each party needs a new trust bundle. Recoverable if the founders choose so."""


def new_seed(token: Token) -> bytearray:
    """Make a master seed of the token's random numbers and the system's. The caller wipes it, or `RecoverableKeys.create`."""
    drawn = bytearray(token.random(SEED_BYTES) + os.urandom(SEED_BYTES))
    try:
        return _expand(drawn, transcript("backup-seed"))
    finally:
        wipe(drawn)


@contextmanager
def derived(seed: bytearray, key: RecoverableKey) -> Iterator[bytearray]:
    """Give a key's 32 bytes for a block, then wipe them."""
    value = _expand(seed, key.info("backup-key"))
    try:
        yield value
    finally:
        wipe(value)


def card_tag(seed: bytearray, card: bytes) -> bytes:
    """Give HMAC-SHA256 of a card's transcript under HKDF(seed, info = T("backup-card-key")): who has M shares can make it."""
    key = _expand(seed, transcript("backup-card-key"))
    try:
        return hmac.digest(key, card, "sha256")
    finally:
        wipe(key)


def check_by(token: Token, key: RecoverableKey) -> bytes:
    """Have the token make the public value by which its key is known again, and which tells nothing of the key.

    Ed25519: the public key. HMAC: the code of T("backup-check", ...). AES: the seal of nothing with that as its associated data.
    """
    if key.kind is KeyKind.ED25519:
        return token.ed25519(key.label, key.policy).public_key().public_bytes_raw()
    if key.kind is KeyKind.HMAC_256:
        return token.mac(key.label, key.policy).mac(key.info("backup-check"))
    return token.aead(key.label, key.policy).seal(b"", key.info("backup-check"))


def fits_token(token: Token, key: RecoverableKey, check: bytes) -> bool:
    """Say whether the token's key of this label is the one of which the check value was made."""
    if key.kind is not KeyKind.AES_256:
        return hmac.compare_digest(check_by(token, key), check)
    try:
        return token.aead(key.label, key.policy).open(check, key.info("backup-check")) == b""
    except AuthenticationFailed:
        return False


def fits_value(value: bytearray, key: RecoverableKey, check: bytes) -> bool:
    """Say the same of a key's 32 bytes, in software: so that no token is believed about what it stored."""
    if key.kind is KeyKind.ED25519:
        public = Ed25519PrivateKey.from_private_bytes(bytes(value)).public_key()
        return hmac.compare_digest(public.public_bytes_raw(), check)
    if key.kind is KeyKind.HMAC_256:
        return hmac.compare_digest(hmac.digest(value, key.info("backup-check"), "sha256"), check)
    try:
        nonce, tag = check[:_NONCE_BYTES], check[_NONCE_BYTES:]
        return AESGCM(bytes(value)).decrypt(nonce, tag, key.info("backup-check")) == b""
    except (InvalidTag, ValueError):
        return False


def wipe(buffer: bytearray) -> None:
    """Overwrite a buffer with zeros."""
    buffer[:] = bytes(len(buffer))


def _expand(secret: bytearray, info: bytes) -> bytearray:
    output = bytearray(SEED_BYTES)
    HKDF(algorithm=SHA256(), length=SEED_BYTES, salt=None, info=info).derive_into(secret, output)
    return output
