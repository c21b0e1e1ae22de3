"""Keys from a seed: known answers, made once, and the same again from any quorum of shares."""

import dataclasses
import hashlib
import hmac
import itertools

import pytest

from hsm import KeyKind
from hsm.errors import KeyNotExtractable, KeyPolicyViolation
from keystore.backup import (
    CLOUD,
    CLOUD_SIGNERS,
    HOSPITAL,
    BackupCard,
    RecoverableKey,
    RecoverableKeys,
    derived,
    generate_signers,
    new_seed,
)
from keystore.curve import ORDER
from keystore.errors import BackupCardRejected, InvalidQuorum
from keystore.issuing import check_issued
from keystore.party import CloudKeys, HospitalKeys, PartyKeys
from keystore.quorum import Share
from tests.unit.keystore.backup.recoverable import HOLDERS, SEED, labels, make


@pytest.mark.parametrize(("key", "purpose"), [(CLOUD[0], b"issuing"), (CLOUD[2], b"index")])
def test_known_derivation(key, purpose):
    """HKDF-SHA256 by hand (RFC 5869): extract with no salt, expand; of a P-256 key 48 bytes, which make the scalar."""
    parts = (b"backup-key", purpose, key.label.encode(), (1).to_bytes(8, "big"))
    info = b"medunion/v1\0" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    extracted = hmac.new(bytes(32), SEED, hashlib.sha256).digest()
    first = hmac.new(extracted, info + b"\1", hashlib.sha256).digest()
    second = hmac.new(extracted, first + info + b"\2", hashlib.sha256).digest()
    scalar = 1 + int.from_bytes(first + second[:16], "big") % (ORDER - 1)
    with derived(bytearray(SEED), key) as value:
        assert bytes(value) == (scalar.to_bytes(32, "big") if key.kind is KeyKind.P256 else first)
    assert value == bytes(32)


def test_keys_differ_by_purpose_label_and_generation():
    keys = [
        *CLOUD,
        *CLOUD_SIGNERS,
        HOSPITAL[0],
        dataclasses.replace(CLOUD[0], generation=2),
        dataclasses.replace(CLOUD[0], purpose="other"),
        dataclasses.replace(CLOUD[0], label="other"),
    ]
    values = set()
    for key in keys:
        with derived(bytearray(SEED), key) as value:
            values.add(bytes(value))
    assert len(values) == len(keys)


def test_seeds_differ_and_are_wiped_after_use(token):
    first, second = new_seed(token), new_seed(token)
    assert first != second
    make(token, seed=first)
    assert first == bytes(32)


def test_a_cloud_of_recoverable_keys_opens_as_any_other(made, token):
    keys = CloudKeys(token)
    issued = keys.issuing.issue(b"credential")
    assert check_issued(keys.issuing.public_key, b"credential", issued.registration_point + issued.registration_secret)
    assert keys.sealing.open(keys.sealing.seal(b"K_X", b"row"), b"row") == b"K_X"


def test_a_cloud_whose_signers_are_not_recoverable_generates_them(token):
    card = make(token, CLOUD).card
    generate_signers(token)
    CloudKeys(token)
    local = {info.label: info.local for info in token.objects() if info.object_class != "PUBLIC_KEY"}
    assert local == {"issuer": False, "sealing": False, "index": False, "identity": True, "tls-ca": True}
    card.verify(token)


def test_a_hospital_of_recoverable_keys_opens_as_any_other(token):
    make(token, HOSPITAL)
    generate_signers(token)
    keys = HospitalKeys(token)
    assert keys.records.open(keys.records.seal(b"key", b"handle"), b"handle") == b"key"


def test_imported_keys_say_so_and_cannot_leave(made, token):
    for info in token.objects():
        if info.object_class != "PUBLIC_KEY":
            assert (info.local, info.always_sensitive, info.never_extractable) == (False, False, False)
            assert (info.sensitive, info.extractable, info.modifiable) == (True, False, False)
    with pytest.raises(KeyNotExtractable):
        token.signing("issuer").private_numbers()


def test_a_persons_identity_is_not_restored_from_shares(made, token):
    with pytest.raises(KeyPolicyViolation, match="LOCAL"):
        PartyKeys(token)


@pytest.mark.parametrize("chosen", list(itertools.combinations(range(3), 2)))
def test_each_quorum_restores_the_same_keys(made, token, fresh, chosen):
    old = CloudKeys(token)
    row, sealed = old.index.mac(b"row"), old.sealing.seal(b"K_X", b"row")
    issued = old.issuing.issue(b"credential")
    token.close()
    shares = [Share.parse(made.shares[number].text()) for number in chosen]
    new = CloudKeys(RecoverableKeys.restore(fresh, shares, BackupCard.from_json(made.card.to_json())))
    assert new.issuing.public_key == old.issuing.public_key
    assert new.signing_key.verifying_key == old.signing_key.verifying_key
    assert new.tls_ca_key.public_key() == old.tls_ca_key.public_key()
    assert (new.index.mac(b"row"), new.sealing.open(sealed, b"row")) == (row, b"K_X")
    # Old registrations stand (eq. 4, 7, 10), and a thief of s finds none again: the nonce is another each time.
    signature = issued.registration_point + issued.registration_secret
    assert check_issued(new.issuing.public_key, b"credential", signature) == issued.public_point
    assert new.issuing.issue(b"credential").registration_secret != issued.registration_secret


def test_invalid_quorum_is_refused_and_the_seed_is_wiped(token):
    seed = new_seed(token)
    with pytest.raises(InvalidQuorum):
        RecoverableKeys.create(token, CLOUD, seed, threshold=4, holders=HOLDERS)
    assert seed == bytes(32)
    assert labels(token) == set()


@pytest.mark.parametrize("seed", [bytes(32), b"x" * 16, b"x" * 34])
def test_a_seed_that_is_none_is_refused(token, seed):
    with pytest.raises(ValueError, match="seed"):
        make(token, seed=bytearray(seed))


@pytest.mark.parametrize("keys", [[], [CLOUD[0], CLOUD[0]]])
def test_keys_are_named_once(token, keys):
    with pytest.raises(ValueError, match="once"):
        make(token, keys)


@pytest.mark.parametrize(
    "key",
    [
        RecoverableKey("epoch", "kem-00", KeyKind.P256),
        RecoverableKey("authority", "medical-authority", KeyKind.P256),
        RecoverableKey("issuing", "issuer", KeyKind.HMAC_256),
        RecoverableKey("issuing", "anything", KeyKind.P256),
    ],
)
def test_a_key_that_no_backup_restores_is_rejected(token, key):
    with pytest.raises(BackupCardRejected):
        make(token, [key])
    assert labels(token) == set()
