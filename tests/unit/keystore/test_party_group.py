"""A party whose keys are in two tokens: what it makes at run time is in both, or needs neither."""

import hashlib

import pytest

from hsm import open_group, open_token, pin_from_value
from hsm.errors import GroupMakesNoKeys, KeyNotFound
from keystore.encryption import seal
from keystore.issuing import IssuingKey
from keystore.party import SEALING, CloudKeys
from keystore.policies import CLOUD_POLICIES

CREDENTIAL = b"the bytes of a credential"
SERIAL = b"s" * 16


@pytest.fixture
def uris(make_token_uri, user_pin):
    """Two tokens with one set of keys."""
    made = [make_token_uri("twin") for _ in range(2)]
    for uri in made:
        with open_token(uri, pin_from_value(user_pin.reveal())) as token:
            for purpose in CloudKeys.purposes:
                value = bytearray(hashlib.sha256(purpose.encode()).digest())
                token.import_key(purpose, CLOUD_POLICIES[purpose], value)
    return made


@pytest.fixture
def opened(uris, user_pin):
    """Open both as one, or one of them alone, until the test ends."""
    tokens = []

    def make(*numbers):
        for token in tokens:
            token.close()
        pin = pin_from_value(user_pin.reveal())
        named = [(uris[number], pin) for number in numbers]
        tokens.append(open_group(named) if len(named) > 1 else open_token(*named[0]))
        return CloudKeys(tokens[-1])

    yield make
    for token in tokens:
        token.close()


def test_epoch_of_two_tokens_is_opened_by_each(opened):
    both = opened(0, 1)
    epoch = both.new_epoch()
    assert not both.token.has(epoch.token_label)
    sealed = seal(epoch.key.encryption_key, b"first flight", b"info")
    for number in (0, 1):
        one = opened(number)
        assert one.holds_epoch(epoch.token_label, epoch.sealed_seed)
        assert one.open_epoch(epoch.token_label, epoch.sealed_seed).open(sealed, b"info") == b"first flight"


def test_epoch_from_before_there_were_two_is_opened_by_the_first_and_missed_in_no_other(opened):
    alone = opened(0)
    epoch = alone.new_epoch()
    assert alone.is_epoch_everywhere(epoch.sealed_seed)
    both = opened(1, 0)
    assert both.holds_epoch(epoch.token_label, epoch.sealed_seed)
    assert not both.is_epoch_everywhere(epoch.sealed_seed)
    sealed = seal(epoch.key.encryption_key, b"first flight", b"info")
    assert both.open_epoch(epoch.token_label, epoch.sealed_seed).open(sealed, b"info") == b"first flight"
    assert all(both.token.member_health(member) for member in both.token.members)
    both.end_epoch(epoch.token_label)
    assert not both.holds_epoch(epoch.token_label, epoch.sealed_seed)
    with pytest.raises(KeyNotFound):
        both.open_epoch(epoch.token_label, epoch.sealed_seed)


def test_registration_secret_is_in_both_and_leaves_both(opened):
    both = opened(0, 1)
    issuer = IssuingKey(both.token.signing("issuer", CLOUD_POLICIES["issuer"]))
    issued = issuer.issue(CREDENTIAL)
    arguments = issued.registration_point, issuer.public_key, CREDENTIAL, SERIAL
    both.import_registration_secret(issued.registration_secret, *arguments)
    for number in (0, 1):
        opened(number).registration_secret(*arguments).require_consistent()
    both = opened(0, 1)
    both.forget_registration_secret(SERIAL)
    for number in (0, 1):
        assert not opened(number).holds_registration_secret(SERIAL)


def test_successor_is_taken_from_both_and_never_made_in_one(opened, uris, user_pin):
    both = opened(0, 1)
    with pytest.raises(GroupMakesNoKeys):
        both.generate_successor(SEALING, 1)
    for number in (0, 1):
        opened(number).token.import_key("sealing.2", CLOUD_POLICIES[SEALING], bytearray(range(32)))
    successor = opened(0, 1).generate_successor(SEALING, 1)
    assert (successor.number, successor.label) == (2, "sealing.2")
