"""Shares that do not restore: refused by their reason, before anybody logs in to a token."""

import dataclasses

import pytest
from shamir_mnemonic import Share as Slip39Share

from keystore.backup import RecoverableKeys
from keystore.errors import (
    BackupCardRejected,
    CorruptShare,
    DuplicateShare,
    InvalidQuorum,
    KeystoreError,
    MixedShares,
    TooFewShares,
)
from keystore.quorum import Share, split
from tests.unit.keystore.backup.recoverable import HOLDERS, SEED


def foreign(made, token):
    """A share of another seed that drew the same number: 1 in 32768 splittings does."""
    other = split(bytes(32), threshold=2, holders=HOLDERS)[2]
    words = dataclasses.replace(Slip39Share.from_mnemonic(other.words), identifier=made.shares[0].splitting).mnemonic()
    return Share.parse(words)


@pytest.mark.parametrize(
    ("refused", "choose"),
    [
        (TooFewShares, lambda made, token: []),
        (TooFewShares, lambda made, token: made.shares[:1]),
        (DuplicateShare, lambda made, token: [made.shares[0], made.shares[0]]),
        (
            CorruptShare,
            lambda made, token: [made.shares[0], dataclasses.replace(made.shares[1], words="academic acid")],
        ),
        (MixedShares, lambda made, token: [made.shares[0], split(SEED, threshold=2, holders=HOLDERS)[1]]),
        (MixedShares, lambda made, token: split(SEED, threshold=2, holders=HOLDERS)[:2]),
        (MixedShares, lambda made, token: [made.shares[0], foreign(made, token)]),
    ],
)
def test_bad_shares_are_refused_before_a_login(made, token, fresh, refused, choose):
    with pytest.raises(refused):
        RecoverableKeys.restore(fresh, choose(made, token), made.card)
    assert fresh.opened == []


def test_a_corrupted_share_is_refused_before_a_login(made):
    words = made.shares[0].words.split()
    words[20] = "academic" if words[20] != "academic" else "acid"
    with pytest.raises(CorruptShare, match="word 21"):
        Share.parse(" ".join(words))


def test_shares_of_what_is_no_seed_are_refused_as_mixed(made, fresh):
    other = split(bytes(16), threshold=2, holders=HOLDERS)
    card = dataclasses.replace(made.card, splitting=other[0].splitting)
    with pytest.raises(MixedShares):
        RecoverableKeys.restore(fresh, other[:2], card)
    assert fresh.opened == []


def test_another_seeds_shares_are_rejected_by_the_card(made, fresh):
    other = split(SEED, threshold=2, holders=HOLDERS)
    card = dataclasses.replace(made.card, splitting=other[0].splitting)
    with pytest.raises(BackupCardRejected):
        RecoverableKeys.restore(fresh, other[:2], card)
    assert fresh.opened == []


def test_errors_are_one_family():
    for kind in (TooFewShares, DuplicateShare, CorruptShare, MixedShares, InvalidQuorum, BackupCardRejected):
        assert issubclass(kind, KeystoreError)
        assert kind.reason != KeystoreError.reason
