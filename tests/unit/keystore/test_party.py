"""A party's keys in its token: made, opened again, and epochs that end."""

import hmac
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hsm import Token
from hsm.errors import HsmError, KeyExists, KeyInvalid, KeyNotExtractable, KeyNotFound
from keystore.agreement import SoftwareAgreement, agree
from keystore.curve import compressed, point_over, private_key
from keystore.encryption import seal
from keystore.errors import (
    CredentialMismatch,
    GenerationRevoked,
    GenerationUnknown,
    PurposeUnknown,
    RotationAlreadyPrepared,
    SealBroken,
)
from keystore.generations import Generations
from keystore.issuing import IssuingKey
from keystore.keyring import Together
from keystore.party import CloudKeys, HospitalKeys, PartyKeys
from keystore.policies import POLICIES, audit
from keystore.signatures import SigningKey
from keystore.transcript import transcript

CREDENTIAL = b"the bytes of a credential"
SERIAL = b"s" * 16


@pytest.fixture
def keys(token):
    return PartyKeys.create(token)


def test_keys_are_opened_again_as_they_were_made(keys, token):
    again = PartyKeys(token)
    assert again.signing_key.verifying_key == keys.signing_key.verifying_key
    assert again.sealing.open(keys.sealing.seal(b"content", b"context"), b"context") == b"content"


def test_keys_are_not_made_twice(keys, token):
    with pytest.raises(KeyExists):
        PartyKeys.create(token)


def test_a_token_without_keys_is_refused(token):
    with pytest.raises(KeyNotFound):
        PartyKeys(token)


def test_a_private_key_does_not_leave_the_token(keys):
    with pytest.raises(KeyNotExtractable):
        keys.signing_key.x509.private_bytes()


def test_roles_have_their_keys(make_token):
    hospital = HospitalKeys.create(make_token("hospital"))
    assert hospital.records.open(hospital.records.seal(b"key", b"handle"), b"handle") == b"key"
    assert len(hospital.index.mac(b"row")) == 32
    cloud = CloudKeys.create(make_token("cloud"))
    assert cloud.issuing.public_key != cloud.signing_key.verifying_key.data
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


def test_an_epochs_key_is_whole_outside_a_token_that_lets_no_x_out(keys, monkeypatch):
    """Then the P-256 half is kept as a seed beside ML-KEM's, and nothing of the epoch is in the token."""
    monkeypatch.setattr(type(keys.token), "gives_x", False)
    before = len(keys.token.objects())
    epoch = keys.new_epoch()
    assert len(keys.token.objects()) == before
    assert keys.holds_epoch(epoch.token_label, epoch.sealed_seed)
    sealed = seal(epoch.key.encryption_key, b"first flight", b"info")
    assert keys.open_epoch(epoch.token_label, epoch.sealed_seed).open(sealed, b"info") == b"first flight"
    keys.end_epoch(epoch.token_label)


def test_an_epoch_is_there_if_its_half_is_in_the_token_or_both_are_sealed_under_it(keys, make_token, monkeypatch):
    other, epoch = PartyKeys.create(make_token()), keys.new_epoch()
    assert keys.holds_epoch(epoch.token_label, epoch.sealed_seed)
    assert not other.holds_epoch(epoch.token_label, epoch.sealed_seed)
    keys.end_epoch(epoch.token_label)
    assert not keys.holds_epoch(epoch.token_label, epoch.sealed_seed)
    monkeypatch.setattr(Token, "gives_x", False)
    sealed = keys.new_epoch()
    assert not keys.token.has(sealed.token_label)
    assert keys.holds_epoch(sealed.token_label, sealed.sealed_seed)
    assert not other.holds_epoch(sealed.token_label, sealed.sealed_seed)


def test_an_ended_epochs_key_is_gone(keys):
    """What remains, the sealed seed, opens nothing without the token's half (B5)."""
    epoch = keys.new_epoch()
    assert keys.holds_epoch(epoch.token_label, epoch.sealed_seed)
    keys.end_epoch(epoch.token_label)
    assert not keys.holds_epoch(epoch.token_label, epoch.sealed_seed)
    with pytest.raises(KeyNotFound):
        keys.open_epoch(epoch.token_label, epoch.sealed_seed)


def test_an_epochs_key_is_sealed_in_a_batch_that_nothing_else_is_of(keys):
    epoch = keys.new_epoch()
    assert epoch.sealed_seed[2:18] == Together(transcript("mlkem-seed", epoch.token_label.encode())).batch


@pytest.mark.parametrize("size", [1, 31, 33, 63, 65, 95, 97])
def test_what_is_kept_of_an_epochs_key_is_neither_half_or_both(keys, size):
    label = keys.new_epoch().token_label
    context = transcript("mlkem-seed", label.encode())
    sealed = keys.sealing.seal(bytes(size), context, Together(context))
    assert not keys.holds_epoch(label, sealed)
    with pytest.raises(SealBroken, match="size"):
        keys.open_epoch(label, sealed)


def test_an_epoch_whose_ml_kem_half_only_another_token_holds_does_not_open(keys):
    """Such as one of a token with CKM_ML_KEM whose party went on with this one."""
    label = keys.new_epoch().token_label
    context = transcript("mlkem-seed", label.encode())
    sealed = keys.sealing.seal(b"", context, Together(context))
    assert not keys.holds_epoch(label, sealed)
    with pytest.raises(KeyNotFound):
        keys.open_epoch(label, sealed)


@pytest.fixture
def issuer(make_token):
    return IssuingKey(make_token("cloud").generate_signing("issuer"))


def test_a_registration_secret_is_imported_and_the_copy_wiped(keys, issuer):
    issued = issuer.issue(CREDENTIAL)
    secret, point = issued.registration_secret, issued.registration_point
    expected = agree(SoftwareAgreement(private_key(bytes(secret))), point_over(point), "K1", point)
    imported = keys.import_registration_secret(secret, point, issuer.public_key, CREDENTIAL, SERIAL)
    assert not any(secret)
    assert imported.agree(point, "K1") == expected
    assert keys.registration_secret(point, issuer.public_key, CREDENTIAL, SERIAL).agree(point, "K1") == expected


def test_the_public_half_of_a_registration_secret_stands_nowhere(keys, issuer):
    """With it and s a thief would have what S_X makes of PK."""
    issued = issuer.issue(CREDENTIAL)
    secret, point = issued.registration_secret, issued.registration_point
    keys.import_registration_secret(secret, point, issuer.public_key, CREDENTIAL, SERIAL)
    label = "registration-secret-" + SERIAL.hex()
    assert [thing.object_class for thing in keys.token.objects() if thing.label == label] == ["PRIVATE_KEY"]
    assert audit(keys.token.objects()) == []


def test_a_registration_secret_of_another_credential_is_refused_and_leaves_nothing(keys, issuer):
    issued = issuer.issue(CREDENTIAL)
    secret, point = issued.registration_secret, issued.registration_point
    with pytest.raises(CredentialMismatch):
        keys.import_registration_secret(secret, point, issuer.public_key, b"another credential", SERIAL)
    assert not any(secret)
    assert not keys.token.has("registration-secret-" + SERIAL.hex())


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32, bytes(31)], ids=["0", "not below n", "31 bytes"])
def test_a_registration_secret_that_is_no_scalar_is_refused_and_leaves_nothing(keys, issuer, secret):
    point = issuer.issue(CREDENTIAL).registration_point
    with pytest.raises(KeyInvalid):
        keys.import_registration_secret(bytearray(secret), point, issuer.public_key, CREDENTIAL, SERIAL)
    assert not keys.token.has("registration-secret-" + SERIAL.hex())


class Book:
    """Where a party keeps its generations, in memory."""

    def __init__(self) -> None:
        self.them = Generations()

    def read(self) -> Generations:
        return self.them


class Rotating:
    """A party's keys, a book and a clock that the test moves."""

    def __init__(self, kind, token):
        self.book, self.now = Book(), 1000
        self.keys = kind.create(token, self.book, lambda: self.now)

    def prepare(self, purpose):
        made = self.keys.generate_successor(purpose, self.now)
        self.book.them = self.book.them.prepare(purpose, self.now, made.public)
        return made

    def activate(self, purpose, after=0):
        self.book.them = self.book.them.activate(purpose, self.now + after, self.now)

    def rotate(self, purpose):
        self.now += 1
        made = self.prepare(purpose)
        self.activate(purpose)
        return made

    def revoke(self, purpose, number):
        self.book.them = self.book.them.revoke(purpose, number, self.now)


@pytest.fixture
def hospital(make_token):
    return Rotating(HospitalKeys, make_token("hospital"))


@pytest.fixture
def cloud(make_token):
    return Rotating(CloudKeys, make_token("cloud"))


def public(key):
    return key.verifying_key.data if isinstance(key, SigningKey) else compressed(key.public_key())


def test_what_is_sealed_names_its_generation_and_opens_after_a_rotation(hospital):
    sealing = hospital.keys.sealing
    old = sealing.seal(b"content", b"context")
    assert (old[:2], sealing.generation_of(old)) == (b"\x00\x01", 1)
    assert hospital.rotate("sealing").label == "sealing.2"
    new = sealing.seal(b"content", b"context")
    assert (sealing.generation_of(new), sealing.generation) == (2, 2)
    assert [sealing.open(sealed, b"context") for sealed in (old, new)] == [b"content"] * 2


def test_what_is_sealed_anew_is_under_the_active_generation_and_not_moved_twice(hospital):
    old = hospital.keys.records.seal(b"key", b"handle")
    assert hospital.keys.records.reseal(old, b"handle") is old
    hospital.rotate("records")
    new = hospital.keys.records.reseal(old, b"handle")
    assert hospital.keys.records.generation_of(new) == 2
    assert hospital.keys.records.reseal(new, b"handle") is new
    with pytest.raises(SealBroken):
        hospital.keys.records.reseal(old, b"other")


def test_what_names_another_generation_does_not_open(hospital):
    old = hospital.keys.sealing.seal(b"content", b"context")
    hospital.rotate("sealing")
    with pytest.raises(SealBroken):
        hospital.keys.sealing.open(b"\x00\x02" + old[2:], b"context")


@pytest.mark.parametrize("named", [b"\x00\x00", b"\x00\x02", b"\xff\xff", b"\x00", b""])
def test_what_names_an_unknown_generation_or_none_is_refused(keys, named):
    with pytest.raises(SealBroken):
        keys.sealing.open(named + keys.sealing.seal(b"content", b"")[2:] if len(named) == 2 else named, b"")


def test_what_is_sealed_under_a_revoked_generation_does_not_open(hospital):
    old = hospital.keys.sealing.seal(b"content", b"context")
    hospital.rotate("sealing")
    hospital.revoke("sealing", 1)
    with pytest.raises(SealBroken):
        hospital.keys.sealing.open(old, b"context")


def test_a_generation_that_was_only_prepared_opens_nothing_and_a_scheduled_one_opens(hospital):
    """Another machine of the party, whose clock is ahead, seals under a scheduled generation already."""
    made = hospital.prepare("sealing")
    batch_key = hospital.keys.token.mac(made.label).mac(transcript("seal-batch", b"sealing", b"\x00\x02", bytes(16)))
    key = hmac.digest(batch_key, transcript("seal", bytes(16)), "sha256")
    forged = b"\x00\x02" + bytes(32) + AESGCM(key).encrypt(bytes(12), b"content", b"context")
    with pytest.raises(SealBroken):
        hospital.keys.sealing.open(forged, b"context")
    hospital.activate("sealing", after=50)
    other = HospitalKeys(hospital.keys.token, hospital.book, lambda: hospital.now + 50)
    assert hospital.keys.sealing.open(other.sealing.seal(b"content", b"context"), b"context") == b"content"
    assert hospital.keys.sealing.generation == 1


def test_an_index_answers_under_every_generation_that_is_not_revoked(hospital):
    index = hospital.keys.index
    old = index.mac(b"row")
    assert index.macs(b"row") == [(1, old)]
    hospital.rotate("index")
    assert index.mac(b"row") != old
    assert index.macs(b"row") == [(2, index.mac(b"row")), (1, old)]
    assert index.generation == 2
    hospital.revoke("index", 1)
    assert index.macs(b"row") == [(2, index.mac(b"row"))]


def test_signing_keys_are_the_active_ones_and_each_is_there_by_its_number(cloud):
    keys = cloud.keys
    first = [public(keys.signing_key), public(keys.tls_ca_key), keys.issuing.public_key]
    made = [cloud.rotate(purpose).public for purpose in ("identity", "tls-ca", "issuer")]
    assert [public(keys.signing_key), public(keys.tls_ca_key), keys.issuing.public_key] == made
    assert [public(keys.signing_key_of(1)), public(keys.tls_ca_key_of(1)), keys.issuing_of(1).public_key] == first
    assert [public(keys.signing_key_of(2)), public(keys.tls_ca_key_of(2)), keys.issuing_of(2).public_key] == made


def test_an_activation_is_followed_at_its_time_by_the_same_keys(cloud):
    made = cloud.prepare("identity")
    cloud.activate("identity", after=60_000)
    assert public(cloud.keys.signing_key) != made.public
    cloud.now += 60_000
    assert public(cloud.keys.signing_key) == made.public


def test_a_revoked_or_unknown_generation_signs_nothing(cloud):
    cloud.rotate("identity")
    cloud.revoke("identity", 1)
    with pytest.raises(GenerationRevoked):
        cloud.keys.signing_key_of(1)
    with pytest.raises(GenerationUnknown):
        cloud.keys.signing_key_of(3)


def test_a_successor_that_a_ceremony_made_is_opened_not_made_again(cloud):
    with pytest.raises(KeyNotFound):
        cloud.keys.successor("issuer", cloud.now)
    made = cloud.keys.token.generate_signing("issuer.2", POLICIES["issuer"])
    assert cloud.keys.successor("issuer", cloud.now).public == public(made)
    assert cloud.keys.generate_successor("issuer", cloud.now).public == public(made)


def test_a_successor_under_another_policy_is_refused(cloud):
    cloud.keys.token.generate_mac("issuer.2", replace(POLICIES["index"], purpose="issuer"))
    with pytest.raises(HsmError):
        cloud.keys.generate_successor("issuer", cloud.now)


def test_a_second_successor_is_refused_while_one_waits(cloud):
    cloud.prepare("index")
    with pytest.raises(RotationAlreadyPrepared):
        cloud.keys.generate_successor("index", cloud.now)


@pytest.mark.parametrize("purpose", ["records", "medical-authority", "kem-", "mlkem-", "other"])
def test_a_purpose_that_the_party_lacks_has_no_successor(cloud, purpose):
    with pytest.raises(PurposeUnknown):
        cloud.keys.generate_successor(purpose, cloud.now)


@pytest.mark.parametrize("kind", [PartyKeys, HospitalKeys, CloudKeys])
def test_every_key_of_a_party_has_successors_that_keep_the_policy(make_token, kind):
    party = Rotating(kind, make_token())
    for purpose in kind.purposes:
        party.rotate(purpose)
        assert party.rotate(purpose).label == f"{purpose}.3"
    assert audit(party.keys.token.objects()) == []
    again = kind(party.keys.token, party.book, lambda: party.now)
    assert public(again.signing_key) == public(party.keys.signing_key)


def test_an_epochs_seed_is_sealed_anew(hospital):
    epoch = hospital.keys.new_epoch()
    hospital.rotate("sealing")
    kept = hospital.keys.reseal_epoch(epoch.token_label, epoch.sealed_seed)
    hospital.revoke("sealing", 1)
    assert hospital.keys.open_epoch(epoch.token_label, kept).key_id == epoch.key.key_id
    with pytest.raises(SealBroken):
        hospital.keys.open_epoch(epoch.token_label, epoch.sealed_seed)
    assert not hospital.keys.holds_epoch(epoch.token_label, epoch.sealed_seed)


def test_threads_that_seal_through_a_rotation_leave_nothing_that_does_not_open(hospital):
    sealing = hospital.keys.sealing

    def work(number):
        if number == 20:
            hospital.rotate("sealing")
        return sealing.seal(b"%d" % number, b"context")

    with ThreadPoolExecutor(4) as pool:
        sealed = list(pool.map(work, range(40)))
    assert [sealing.open(it, b"context") for it in sealed] == [b"%d" % number for number in range(40)]
    assert {sealing.generation_of(it) for it in sealed} == {1, 2}
