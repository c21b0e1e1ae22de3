"""The backup card: what is public of a backup, so that a restore, or an auditor, can tell the right keys from others.

It names the keys, a check value of each, the quorum and its holders, and carries a tag under a key from the seed: a card that
anyone changed, or another seed's, is refused before a token is touched. The digest is for reading aloud and for transcripts.
"""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from hsm import KeyKind, Token
from keystore.backup_derivation import RecoverableKey, card_tag, fits_token
from keystore.errors import BackupCardRejected
from keystore.transcript import listing, row, transcript, u64

FORMAT: Final = "medunion backup card 1"


@dataclass(frozen=True)
class KeyOnCard:
    """A key, and the public value by which it is known again (`keystore.backup_derivation.check_by`)."""

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
        """Give the card with its tag."""
        tag = card_tag(seed, self._transcript())
        return BackupCard(self.keys, self.threshold, self.holders, self.splitting, tag)

    @property
    def digest(self) -> bytes:
        """Give SHA-256 of the card, tag included."""
        return hashlib.sha256(transcript("backup-card-digest", self._transcript(), self.tag)).digest()

    def require_seed(self, seed: bytearray) -> None:
        """Raise BackupCardRejected unless the card was made with this seed and is as it was made."""
        if not hmac.compare_digest(card_tag(seed, self._transcript()), self.tag):
            raise BackupCardRejected("The card is not the one that was made with these shares.")

    def verify(self, token: Token) -> None:
        """Raise BackupCardRejected, naming the key, unless the token's keys are the card's; KeyNotFound if one is missing.

        Needs no shares: an audit may ask at any time. Each Ed25519 key signs once, each AES key opens once.
        """
        for entry in self.keys:
            if not fits_token(token, entry.key, entry.check):
                raise BackupCardRejected(f"The token's key {entry.key.label!r} is not the card's.")
            if entry.key.kind is KeyKind.ED25519:
                token.ed25519(entry.key.label, entry.key.policy).sign(entry.key.info("backup-probe"))

    def to_json(self) -> str:
        """Give the card as JSON text."""
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
    """Give a card that has no tag yet."""
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
