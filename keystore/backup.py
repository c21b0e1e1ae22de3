"""Keys that survive a dead HSM: derived from a master seed of which only shares remain, and imported into the token.

Made at a ceremony on an air-gapped machine (docs/ceremonies/backup.md). The token says of such a key that it was imported:
not LOCAL, not NEVER_EXTRACTABLE; its secrecy before that rests on the ceremony, and the backup card says which keys these
are. They open with `CloudKeys` and `HospitalKeys` as any others do.

From a seed to keys by HKDF-SHA256 (RFC 5869), one derivation per key, each bound to what the key is for:
HKDF(ikm = seed, no salt, info = T("backup-key", purpose, label, u64(generation))), 48 bytes for a P-256 key, of which they make
the scalar (docs/protocol.md, 1), 32 bytes for an HMAC-SHA256 key, which they are. The seed itself is HKDF(ikm = 32 bytes of the
token || 32 bytes of the system, info = T("backup-seed"), 32 bytes): good as long as either is. Values are in buffers that their
owner wipes; copies that Python or a library made along the way are beyond reach, which is one reason for the air-gapped machine
(docs/adr/0017-backup.md).

The backup card is what is public, so that a restore, or an auditor, can tell the right keys from others. It names the keys, a
check value of each, the quorum and its holders, and carries a tag under a key from the seed: a card that anyone changed, or
another seed's, is refused before a token is touched. The digest is for reading aloud and for transcripts.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hsm import KeyKind, KeyPolicy, Provenance, Token
from hsm.errors import HsmError
from keystore.curve import SCALAR_SEED_BYTES, compressed, private_key, scalar_from_seed
from keystore.errors import BackupCardRejected, MixedShares
from keystore.generations import label_of, purpose_and_number
from keystore.policies import (
    CLOUD_POLICIES,
    IDENTITY,
    INDEXING,
    ISSUING,
    POLICIES,
    RECORDS,
    SEALING,
    TLS_CA,
    rotatable_purpose,
)
from keystore.quorum import Share, combine, split
from keystore.transcript import listing, row, transcript, u64

SEED_BYTES: Final = 32
_KEY_BYTES: Final = 32


@dataclass(frozen=True)
class RecoverableKey:
    """One key that a seed gives: what it is for, its label in the token, its kind. A rotation counts `generation` up."""

    purpose: str
    label: str
    kind: KeyKind
    generation: int = 1

    @property
    def policy(self) -> KeyPolicy:
        """Return the policy under which the token holds it. Raises BackupCardRejected for a label of no restored key."""
        purpose = rotatable_purpose(self.label)
        if purpose is None or purpose_and_number(self.label) != (purpose, self.generation):
            raise BackupCardRejected(f"A key {self.label!r} of generation {self.generation} is none of ours.")
        policy = CLOUD_POLICIES[purpose]
        if policy.kind is not self.kind or policy.provenance is not Provenance.IMPORTABLE:
            raise BackupCardRejected(f"A key {self.label!r} of this kind is not restored from a backup.")
        return policy

    def successor(self, number: int) -> "RecoverableKey":
        """Return what follows this first generation by that number, to be made from a seed of its own."""
        return replace(self, label=label_of(self.label, number), generation=number)

    def info(self, what: str) -> bytes:
        """Return T(what, purpose, label, generation)."""
        return transcript(what, self.purpose.encode(), self.label.encode(), u64(self.generation))


_ISSUING: Final = RecoverableKey("issuing", ISSUING, KeyKind.P256)
_SEALING: Final = RecoverableKey("sealing", SEALING, KeyKind.HMAC_256)
_INDEX: Final = RecoverableKey("index", INDEXING, KeyKind.HMAC_256)
_RECORDS: Final = RecoverableKey("records", RECORDS, KeyKind.HMAC_256)
_IDENTITY: Final = RecoverableKey("identity", IDENTITY, KeyKind.P256)
_TLS_CA: Final = RecoverableKey("tls-ca", TLS_CA, KeyKind.P256)

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
    """Yield a key's 32 bytes for a block, then wipe them: a scalar, big-endian, or an HMAC key."""
    size = SCALAR_SEED_BYTES if key.kind is KeyKind.P256 else _KEY_BYTES
    expanded = _expand(seed, key.info("backup-key"), size)
    value = _scalar(expanded) if key.kind is KeyKind.P256 else expanded
    try:
        yield value
    finally:
        wipe(value)


def _scalar(seed: bytearray) -> bytearray:
    try:
        number = scalar_from_seed(bytes(seed)).private_numbers().private_value
        return bytearray(number.to_bytes(_KEY_BYTES, "big"))
    finally:
        wipe(seed)


def card_tag(seed: bytearray, card: bytes) -> bytes:
    """Return HMAC-SHA256 of a card's transcript under HKDF(seed, info = T("backup-card-key")): who has M shares can make it."""
    key = _expand(seed, transcript("backup-card-key"))
    try:
        return hmac.digest(key, card, "sha256")
    finally:
        wipe(key)


def check_by(token: Token, key: RecoverableKey) -> bytes:
    """Have the token make the public value by which its key is known again, and which tells nothing of the key.

    P-256: the public key, compressed. HMAC: the code of T("backup-check", ...).
    """
    if key.kind is KeyKind.P256:
        return compressed(token.signing(key.label, key.policy).public_key())
    return token.mac(key.label, key.policy).mac(key.info("backup-check"))


def probe_by(token: Token, key: RecoverableKey) -> None:
    """Have a signing key sign once, which is verified by its public half. Raises hsm.errors.TokenFailed."""
    if key.kind is KeyKind.P256:
        token.signing(key.label, key.policy).sign(key.info("backup-probe"), ECDSA(SHA256()))


def fits_value(value: bytearray, key: RecoverableKey, check: bytes) -> bool:
    """Return whether a check value is that of a key's 32 bytes, in software: no token is believed about what it stored."""
    if key.kind is KeyKind.P256:
        return hmac.compare_digest(compressed(private_key(bytes(value)).public_key()), check)
    return hmac.compare_digest(hmac.digest(value, key.info("backup-check"), "sha256"), check)


def wipe(buffer: bytearray) -> None:
    """Overwrite a buffer with zeros."""
    buffer[:] = bytes(len(buffer))


def _expand(secret: bytearray, info: bytes, size: int = _KEY_BYTES) -> bytearray:
    output = bytearray(size)
    HKDF(algorithm=SHA256(), length=size, salt=None, info=info).derive_into(secret, output)
    return output


FORMAT: Final = "medunion backup card 1"


@dataclass(frozen=True)
class KeyOnCard:
    """A key, and the public value by which it is known again (`check_by`)."""

    key: RecoverableKey
    check: bytes


@dataclass(frozen=True)
class BackupCard:
    """Nothing here is secret. `splitting` is the number that all shares of the quorum carry."""

    keys: tuple[KeyOnCard, ...]
    threshold: int
    holders: tuple[str, ...]
    splitting: int
    tag: bytes = b""

    def signed(self, seed: bytearray) -> "BackupCard":
        """Return the card with its tag."""
        tag = card_tag(seed, self._transcript())
        return BackupCard(self.keys, self.threshold, self.holders, self.splitting, tag)

    @property
    def digest(self) -> bytes:
        """Return SHA-256 of the card, tag included."""
        return hashlib.sha256(transcript("backup-card-digest", self._transcript(), self.tag)).digest()

    def require_seed(self, seed: bytearray) -> None:
        """Raise BackupCardRejected unless the card was made with this seed and is as it was made."""
        if not hmac.compare_digest(card_tag(seed, self._transcript()), self.tag):
            raise BackupCardRejected("The card is not the one that was made with these shares.")

    def verify(self, token: Token) -> None:
        """Raise BackupCardRejected, naming the key, unless the token's keys are the card's; KeyNotFound if one is missing.

        Needs no shares: an audit may ask at any time. Each signing key signs once.
        """
        for entry in self.keys:
            if not hmac.compare_digest(check_by(token, entry.key), entry.check):
                raise BackupCardRejected(f"The token's key {entry.key.label!r} is not the card's.")
            probe_by(token, entry.key)

    def to_json(self) -> str:
        """Return the card as JSON text."""
        return json.dumps(self._fields() | {"digest": self.digest.hex()}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a card. Raises BackupCardRejected for anything but what `to_json` gives: unknown fields, another digest."""
        try:
            card = cls._of(json.loads(text))
            canonical = json.loads(card.to_json())
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise BackupCardRejected("The text is no backup card.") from error
        if canonical != json.loads(text):
            raise BackupCardRejected("The card is not as it was written: its digest or a field differs.")
        return card

    @classmethod
    def _of(cls, fields: dict[str, object]) -> Self:
        keys, holders, threshold, splitting = (fields[name] for name in ("keys", "holders", "threshold", "splitting"))
        if not (isinstance(keys, list) and isinstance(holders, list)):
            raise TypeError("lists are missing")
        if not (type(threshold) is int and type(splitting) is int):
            raise TypeError("numbers are missing")
        tag = bytes.fromhex(str(fields["tag"]))
        return cls(tuple(map(_key_of, keys)), threshold, tuple(map(str, holders)), splitting, tag)

    def _fields(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "threshold": self.threshold,
            "holders": list(self.holders),
            "splitting": self.splitting,
            "keys": [_fields_of(entry) for entry in self.keys],
            "tag": self.tag.hex(),
        }

    def _transcript(self) -> bytes:
        return transcript(
            "backup-card",
            u64(self.threshold),
            listing([holder.encode() for holder in self.holders]),
            u64(self.splitting),
            listing([_row_of(entry) for entry in self.keys]),
        )


def card_of(keys: Sequence[KeyOnCard], threshold: int, holders: Sequence[str], splitting: int) -> BackupCard:
    """Return a card that has no tag yet."""
    return BackupCard(tuple(keys), threshold, tuple(holders), splitting)


def _row_of(entry: KeyOnCard) -> bytes:
    key = entry.key
    return row(key.purpose.encode(), key.label.encode(), key.kind.value.encode(), u64(key.generation), entry.check)


def _fields_of(entry: KeyOnCard) -> dict[str, object]:
    key = entry.key
    return {
        "purpose": key.purpose,
        "label": key.label,
        "kind": key.kind.value,
        "generation": key.generation,
        "check": entry.check.hex(),
    }


def _key_of(fields: dict[str, object]) -> KeyOnCard:
    generation = fields["generation"]
    if type(generation) is not int:
        raise TypeError("a generation is a number")
    kind = KeyKind(fields["kind"])
    key = RecoverableKey(str(fields["purpose"]), str(fields["label"]), kind, generation)
    return KeyOnCard(key, bytes.fromhex(str(fields["check"])))


_GENERATED: Final = (IDENTITY, TLS_CA)


@dataclass(frozen=True)
class RecoverableKeys:
    """What a ceremony that made recoverable keys gives out: the public card, and the shares, one for each holder."""

    card: BackupCard
    shares: Sequence[Share]

    @classmethod
    def create(
        cls,
        token: Token,
        keys: Sequence[RecoverableKey],
        seed: bytearray,
        *,
        threshold: int,
        holders: Sequence[str],
    ) -> "RecoverableKeys":
        """Split the seed, import the keys that it gives, and wipe it whatever happens.

        Raises InvalidQuorum, BackupCardRejected if the token holds other keys than it was given, hsm.errors.KeyExists; then none
        of the keys stays in the token.
        """
        try:
            shares = split(bytes(seed), threshold=threshold, holders=holders)
            with _imported(token, keys, seed):
                made = [KeyOnCard(key, check_by(token, key)) for key in keys]
                for entry in made:
                    _require_stored(seed, entry)
                card = card_of(made, threshold, holders, shares[0].splitting).signed(seed)
            return cls(card, shares)
        finally:
            wipe(seed)

    @staticmethod
    def restore(open_token: Callable[[], Token], shares: Sequence[Share], card: BackupCard) -> Token:
        """Put the card's keys into a token again, and return it open.

        Shares and card are checked first, in memory: `open_token` is called, and a PIN presented, only if they are right.
        Raises what `recovered_seed` raises, hsm.errors.KeyExists, BackupCardRejected; then none of the keys stays, and the
        token is closed.
        """
        seed = recovered_seed(shares, card)
        try:
            return _restored(open_token(), seed, card)
        finally:
            wipe(seed)


def recovered_seed(shares: Sequence[Share], card: BackupCard) -> bytearray:
    """Return the seed of the card, without a token. The caller wipes it.

    Raises TooFewShares, DuplicateShare, CorruptShare, MixedShares, BackupCardRejected.
    """
    if any(share.splitting != card.splitting for share in shares):
        raise MixedShares("The shares are of another splitting than the card's.")
    secret = combine(shares)
    if len(secret) != SEED_BYTES:
        raise MixedShares("These are no shares of a master seed.")
    seed = bytearray(secret)
    try:
        card.require_seed(seed)
    except BaseException:
        wipe(seed)
        raise
    return seed


def generate_signers(token: Token) -> None:
    """Generate in the token the signing keys that it does not hold yet: the identity and the TLS CA of a party.

    For a hospital, which certifies new ones, and a cloud that keeps `CLOUD_SIGNERS` out of its backup.
    """
    for label in _GENERATED:
        if not token.has(label):
            token.generate_signing(label, POLICIES[label])


def _restored(token: Token, seed: bytearray, card: BackupCard) -> Token:
    try:
        with _imported(token, [entry.key for entry in card.keys], seed):
            card.verify(token)
    except BaseException:
        token.close()
        raise
    return token


@contextmanager
def _imported(token: Token, keys: Sequence[RecoverableKey], seed: bytearray) -> Iterator[None]:
    """Import the keys; if that, or the block, fails, destroy those that were imported."""
    _require_named_once(keys, seed)
    done: list[str] = []
    try:
        for key in keys:
            with derived(seed, key) as value:
                token.import_key(key.label, key.policy, value)
            done.append(key.label)
        yield
    except BaseException:
        for label in done:
            with suppress(HsmError):  # what went wrong first is told
                token.destroy(label)
        raise


def _require_named_once(keys: Sequence[RecoverableKey], seed: bytearray) -> None:
    if len(seed) != SEED_BYTES or not any(seed):
        raise ValueError(f"A master seed has {SEED_BYTES} bytes, and has not been wiped.")
    if not keys or len({key.label for key in keys}) != len(keys):
        raise ValueError("Name each key to be made once.")


def _require_stored(seed: bytearray, entry: KeyOnCard) -> None:
    with derived(seed, entry.key) as value:
        if not fits_value(value, entry.key, entry.check):
            raise BackupCardRejected(f"The token keeps another key as {entry.key.label!r} than it was given.")
