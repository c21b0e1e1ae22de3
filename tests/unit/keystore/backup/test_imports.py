"""Keys that are imported: of their kind and size alone, as they were given, and nothing is left of what failed."""

import dataclasses
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hsm import Provenance, Token, creation, open_token, pin_from_value
from hsm.errors import KeyExists, KeyInvalid, KeyPolicyViolation
from hsm.policy import AGREEMENT, MAC, SEALING, SIGNING
from keystore.backup import CLOUD, RecoverableKeys
from keystore.errors import BackupCardRejected
from tests.conftest import USER_PIN
from tests.unit.keystore.backup.recoverable import SEED, labels, make


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
    monkeypatch.setattr(creation, "sign_ed25519", lambda session, key, message: other.sign(message))
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
