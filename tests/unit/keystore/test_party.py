"""A party's keys in its token: made, opened again, and epochs that end."""

import pytest

from hsm.errors import KeyExists, KeyInvalid, KeyNotExtractable, KeyNotFound
from keystore import group
from keystore.encryption import seal
from keystore.errors import InvalidScalar, SealBroken
from keystore.issuing import IssuingKey
from keystore.party import CloudKeys, HospitalKeys, PartyKeys

CREDENTIAL = b"the bytes of a credential"
SERIAL = b"s" * 16


@pytest.fixture
def keys(token):
    return PartyKeys.create(token)


def test_keys_are_opened_again_as_they_were_made(keys, token):
    again = PartyKeys(token)
    assert again.signing_key.public_key().public_bytes_raw() == keys.signing_key.public_key().public_bytes_raw()
    assert again.sealing.open(keys.sealing.seal(b"content", b"context"), b"context") == b"content"


def test_keys_are_not_made_twice(keys, token):
    with pytest.raises(KeyExists):
        PartyKeys.create(token)


def test_a_token_without_keys_is_refused(token):
    with pytest.raises(KeyNotFound):
        PartyKeys(token)


def test_a_private_key_does_not_leave_the_token(keys):
    with pytest.raises(KeyNotExtractable):
        keys.signing_key.private_bytes_raw()


def test_roles_have_their_keys(make_token):
    hospital = HospitalKeys.create(make_token("hospital"))
    assert hospital.records.open(hospital.records.seal(b"key", b"handle"), b"handle") == b"key"
    assert len(hospital.index.mac(b"row")) == 32
    cloud = CloudKeys.create(make_token("cloud"))
    assert cloud.issuing.public_key != cloud.signing_key.public_key().public_bytes_raw()
    assert CloudKeys(cloud.token).issuing.public_key == cloud.issuing.public_key
    assert HospitalKeys(hospital.token).index.mac(b"row") == hospital.index.mac(b"row")


def test_what_is_sealed_in_another_context_is_refused(keys):
    with pytest.raises(SealBroken):
        keys.sealing.open(keys.sealing.seal(b"content", b"one"), b"other")


def test_an_epochs_key_is_opened_again_and_opens_what_was_sealed_to_it(keys):
    epoch = keys.new_epoch()
    sealed = seal(epoch.key.encryption_key, b"first flight", b"info")
    again = keys.open_epoch(epoch.token_label, epoch.sealed_seed)
    assert again.key_id == epoch.key.key_id
    assert again.open(sealed, b"info") == b"first flight"


def test_an_epochs_seed_of_another_label_is_refused(keys):
    one, other = keys.new_epoch(), keys.new_epoch()
    with pytest.raises(SealBroken):
        keys.open_epoch(other.token_label, one.sealed_seed)


def test_an_ended_epochs_key_is_gone(keys):
    """What remains, the sealed seed, opens nothing without the token's half (B5)."""
    epoch = keys.new_epoch()
    keys.end_epoch(epoch.token_label)
    with pytest.raises(KeyNotFound):
        keys.open_epoch(epoch.token_label, epoch.sealed_seed)


@pytest.fixture
def issuer(make_token):
    return IssuingKey(make_token("cloud").generate_ed25519("issuer"))


def test_a_registration_secret_is_imported_and_the_copy_wiped(keys, issuer):
    issued = issuer.issue(CREDENTIAL)
    secret, point = issued.registration_secret, issued.registration_point
    expected = group.multiply(bytes(secret), issuer.public_key)
    imported = keys.import_registration_secret(secret, point, issuer.public_key, CREDENTIAL, SERIAL)
    assert not any(secret)
    assert imported.agree(issuer.public_key) == expected
    assert keys.registration_secret(point, issuer.public_key, CREDENTIAL, SERIAL).agree(issuer.public_key) == expected


def test_a_registration_secret_of_another_credential_is_refused_and_leaves_nothing(keys, issuer):
    issued = issuer.issue(CREDENTIAL)
    secret, point = issued.registration_secret, issued.registration_point
    with pytest.raises(KeyInvalid):
        keys.import_registration_secret(secret, point, issuer.public_key, b"another credential", SERIAL)
    assert not any(secret)
    assert not keys.token.has("registration-secret-" + SERIAL.hex())


def test_a_registration_secret_without_token_form_is_refused_and_leaves_nothing(keys, issuer):
    point = issuer.issue(CREDENTIAL).registration_point
    with pytest.raises(InvalidScalar):
        keys.import_registration_secret(
            bytearray((8).to_bytes(32, "little")), point, issuer.public_key, CREDENTIAL, SERIAL
        )
    assert not keys.token.has("registration-secret-" + SERIAL.hex())
