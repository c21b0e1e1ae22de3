"""Keys that survive a dead HSM: derived from a master seed of which only shares remain, and imported into the token.

Made at a ceremony on an air-gapped machine (docs/ceremonies/backup.md). The token says of such a key that it was imported:
not LOCAL, not NEVER_EXTRACTABLE; its secrecy before that rests on the ceremony, and the backup card says which keys these
are. They open with `CloudKeys` and `HospitalKeys` as any others do.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from hsm import Token
from hsm.errors import HsmError
from keystore.backup_card import BackupCard, KeyOnCard, card_of
from keystore.backup_derivation import (
    CLOUD,
    CLOUD_SIGNERS,
    HOSPITAL,
    SEED_BYTES,
    RecoverableKey,
    check_by,
    derived,
    fits_value,
    new_seed,
    wipe,
)
from keystore.errors import BackupCardRejected, MixedShares
from keystore.policies import IDENTITY, POLICIES, TLS_CA
from keystore.quorum import Share, combine, split

__all__ = [
    "CLOUD",
    "CLOUD_SIGNERS",
    "HOSPITAL",
    "BackupCard",
    "RecoverableKey",
    "RecoverableKeys",
    "generate_signers",
    "new_seed",
    "recovered_seed",
]

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
        """Put the card's keys into a token again, and give it open.

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
    """Give the seed of the card, without a token. The caller wipes it.

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
            token.generate_ed25519(label, POLICIES[label])


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
