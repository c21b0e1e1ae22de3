"""Backup: keys from a seed, their card, and a token that comes back the same."""

import dataclasses
import hashlib
import hmac
import itertools
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from shamir_mnemonic import Share as Slip39Share

from hsm import KeyKind, Provenance, Token, importing, open_token, pin_from_value
from hsm.errors import KeyExists, KeyInvalid, KeyNotExtractable, KeyNotFound, KeyPolicyViolation
from hsm.policy import AGREEMENT, MAC, SEALING, SIGNING
from keystore.backup import (
    CLOUD,
    CLOUD_SIGNERS,
    HOSPITAL,
    BackupCard,
    RecoverableKey,
    RecoverableKeys,
    generate_signers,
    new_seed,
    recovered_seed,
)
from keystore.backup_derivation import derived
from keystore.errors import (
    BackupCardRejected,
    CorruptShare,
    DuplicateShare,
    InvalidQuorum,
    KeystoreError,
    MixedShares,
    TooFewShares,
)
from keystore.issuing import check_issued
from keystore.party import CloudKeys, HospitalKeys, PartyKeys
from keystore.quorum import Share, split
from tests.conftest import USER_PIN

HOLDERS = ("O:ada", "O:ben", "O:cho")
SEED = bytes(range(32))


def make(token, keys=(*CLOUD, *CLOUD_SIGNERS), seed=None):
    return RecoverableKeys.create(token, keys, seed or new_seed(token), threshold=2, holders=HOLDERS)


@pytest.fixture
def made(token):
    return make(token)


@pytest.fixture
def fresh(make_token_uri):
    """Give a function that opens a fresh token and notes that it did: what `restore` is handed."""
    opened = []

    def open_it():
        opened.append(open_token(make_token_uri("restored"), pin_from_value(USER_PIN)))
        return opened[-1]

    open_it.opened = opened
    yield open_it
    for token in opened:
        token.close()


def labels(token: Token):
    return {info.label for info in token.objects()}


def test_known_derivation():
    """HKDF-SHA256 by hand (RFC 5869): extract with no salt, expand one block."""
    info = b"medunion/v1\0" + b"".join(
        len(part).to_bytes(4, "big") + part for part in (b"backup-key", b"issuing", b"issuer", (1).to_bytes(8, "big"))
    )
    extracted = hmac.new(bytes(32), SEED, hashlib.sha256).digest()
    with derived(bytearray(SEED), CLOUD[0]) as value:
        assert bytes(value) == hmac.new(extracted, info + b"\1", hashlib.sha256).digest()
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
        token.ed25519("issuer").private_bytes_raw()


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
    assert new.signing_key.public_key() == old.signing_key.public_key()
    assert new.tls_ca_key.public_key() == old.tls_ca_key.public_key()
    assert (new.index.mac(b"row"), new.sealing.open(sealed, b"row")) == (row, b"K_X")
    # Ed25519 is deterministic: the same credential gets the same (R_X1, S_X), so old registrations stand (eq. 4, 7, 10).
    assert new.issuing.issue(b"credential").registration_secret == issued.registration_secret


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


def test_a_card_changed_in_any_field_is_rejected_before_a_login(made, fresh):
    entry = made.card.keys[0]
    changed = [
        {"threshold": 3},
        {"holders": ("O:ada", "O:ben", "O:eve")},
        {"tag": bytes(32)},
        {"keys": made.card.keys[1:]},
        {"keys": (dataclasses.replace(entry, check=bytes(32)), *made.card.keys[1:])},
        {"keys": (dataclasses.replace(entry, key=dataclasses.replace(entry.key, generation=2)), *made.card.keys[1:])},
    ]
    for change in changed:
        with pytest.raises(BackupCardRejected):
            RecoverableKeys.restore(fresh, made.shares[:2], dataclasses.replace(made.card, **change))
    assert fresh.opened == []


def test_a_card_of_another_splitting_is_rejected(made):
    seed = recovered_seed(made.shares[:2], made.card)
    made.card.require_seed(seed)
    with pytest.raises(BackupCardRejected):
        dataclasses.replace(made.card, splitting=made.card.splitting ^ 1).require_seed(seed)


def test_a_card_reads_back_as_it_was_written(made):
    assert BackupCard.from_json(made.card.to_json()) == made.card


def test_a_card_says_nothing_secret(made):
    text = made.card.to_json()
    seed = recovered_seed(made.shares[:2], made.card)
    assert seed.hex() not in text
    for entry in made.card.keys:
        with derived(seed, entry.key) as value:
            assert value.hex() not in text
    words = made.shares[0].words.split()
    assert not any(" ".join(words[at : at + 2]) in text for at in range(4, len(words)))


def test_a_card_altered_on_paper_is_rejected(made):
    fields = json.loads(made.card.to_json())
    others = [
        fields | {"threshold": 3},
        fields | {"note": "more"},
        fields | {"digest": "00" * 32},
        fields | {"format": "medunion backup card 2"},
        fields | {"keys": [fields["keys"][0] | {"extra": 1}]},
        fields | {"keys": [fields["keys"][0] | {"kind": "RSA"}]},
        fields | {"keys": [fields["keys"][0] | {"generation": "1"}]},
        fields | {"keys": {}},
        fields | {"threshold": True},
        fields | {"tag": fields["tag"].upper()},
        {name: value for name, value in fields.items() if name != "tag"},
        [],
    ]
    for other in others:
        with pytest.raises(BackupCardRejected):
            BackupCard.from_json(json.dumps(other))
    with pytest.raises(BackupCardRejected):
        BackupCard.from_json("no json")


def test_another_tokens_keys_are_rejected_by_the_card(made, make_token):
    for label in ("issuer", "sealing", "index"):
        other = make_token("other")
        keys = [key for key in CLOUD if key.label == label]
        make(other, keys)
        card = dataclasses.replace(made.card, keys=tuple(e for e in made.card.keys if e.key.label == label))
        with pytest.raises(BackupCardRejected, match=label):
            card.verify(other)


def test_a_token_without_the_keys_does_not_pass_the_card(made, make_token):
    with pytest.raises(KeyNotFound):
        made.card.verify(make_token("empty"))


def test_nothing_is_left_of_keys_that_could_not_all_be_made(token):
    token.generate_mac("index")
    with pytest.raises(KeyExists):
        make(token)
    assert labels(token) == {"index"}


def test_nothing_is_left_of_a_restore_that_failed_half_way(made, make_token_uri, monkeypatch):
    uri, opened = make_token_uri("half"), []
    import_key = Token.import_key

    def fail_at_the_index(token, label, policy, value):
        if label == "index":
            raise KeyInvalid("the token gave up")
        import_key(token, label, policy, value)

    with monkeypatch.context() as patch:
        patch.setattr(Token, "import_key", fail_at_the_index)
        with pytest.raises(KeyInvalid):
            RecoverableKeys.restore(
                lambda: opened.append(open_token(uri, pin_from_value(USER_PIN))) or opened[0],
                made.shares[:2],
                made.card,
            )
    with open_token(uri, pin_from_value(USER_PIN)) as again:  # the failed restore gave it back
        assert labels(again) == set()


def test_a_token_that_keeps_other_keys_than_it_was_given_is_rejected(token, monkeypatch):
    import_key = Token.import_key

    def flip(token, label, policy, value):
        import_key(token, label, policy, bytearray([value[0] ^ 1]) + value[1:])

    for key in (CLOUD[0], CLOUD[1], CLOUD[2]):
        with monkeypatch.context() as patch:
            patch.setattr(Token, "import_key", flip)
            with pytest.raises(BackupCardRejected, match=key.label):
                make(token, [key])
        assert labels(token) == set()


def test_a_token_that_restores_other_keys_than_the_cards_is_rejected(made, make_token_uri, monkeypatch):
    uri, import_key = make_token_uri("liar"), Token.import_key

    def flip(token, label, policy, value):
        import_key(token, label, policy, bytearray([value[0] ^ 1]) + value[1:])

    with monkeypatch.context() as patch:
        patch.setattr(Token, "import_key", flip)
        with pytest.raises(BackupCardRejected, match="issuer"):
            RecoverableKeys.restore(lambda: open_token(uri, pin_from_value(USER_PIN)), made.shares[:2], made.card)
    with open_token(uri, pin_from_value(USER_PIN)) as again:
        assert labels(again) == set()


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
        RecoverableKey("epoch", "kem-00", KeyKind.X25519),
        RecoverableKey("authority", "medical-authority", KeyKind.ED25519),
        RecoverableKey("issuing", "issuer", KeyKind.AES_256),
        RecoverableKey("issuing", "anything", KeyKind.ED25519),
    ],
)
def test_a_key_that_no_backup_restores_is_rejected(token, key):
    with pytest.raises(BackupCardRejected):
        make(token, [key])
    assert labels(token) == set()


@pytest.mark.parametrize(
    ("policy", "size_bytes"), [(SIGNING, 31), (SEALING, 16), (MAC, 64), (SIGNING, 0), (AGREEMENT, 32)]
)
def test_a_key_of_another_size_or_kind_is_not_imported(token, policy, size_bytes):
    with pytest.raises(KeyInvalid):
        token.import_key("odd", policy, bytearray(size_bytes))
    assert not token.has("odd")


@pytest.mark.parametrize("policy", [SIGNING, SEALING, MAC])
def test_an_imported_key_breaks_a_policy_of_local_keys(token, policy):
    with pytest.raises(KeyPolicyViolation, match="LOCAL"):
        token.import_key("odd", dataclasses.replace(policy, provenance=Provenance.LOCAL), bytearray(SEED))
    assert labels(token) == set()


def test_an_imported_key_that_signs_as_another_is_not_kept(token, monkeypatch):
    other = Ed25519PrivateKey.generate()
    monkeypatch.setattr(importing, "sign_ed25519", lambda session, key, message: other.sign(message))
    with pytest.raises(KeyInvalid):
        token.import_key("odd", SIGNING, bytearray(SEED))
    assert labels(token) == set()


def test_rfc_8032_test_1_through_an_imported_seed(token):
    seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    token.import_key("vector", SIGNING, bytearray.fromhex(seed))
    key = token.ed25519("vector")
    assert key.public_key().public_bytes_raw().hex() == (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    assert key.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


def test_rfc_4231_test_2_sized_key_gives_the_same_code_in_token_and_software(token):
    token.import_key("vector", MAC, bytearray(SEED))
    assert token.mac("vector").mac(b"what do ya want for nothing?") == hmac.digest(
        SEED, b"what do ya want for nothing?", "sha256"
    )


def test_errors_are_one_family():
    for kind in (TooFewShares, DuplicateShare, CorruptShare, MixedShares, InvalidQuorum, BackupCardRejected):
        assert issubclass(kind, KeystoreError)
        assert kind.reason != KeystoreError.reason
