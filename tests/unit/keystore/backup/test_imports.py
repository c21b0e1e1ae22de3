"""Keys that are imported: of their kind and size alone, as they were given, and nothing is left of what failed."""

import dataclasses
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm import Provenance, Token, open_token, pin_from_value
from hsm.errors import KeyExists, KeyInvalid, KeyPolicyViolation
from hsm.policy import AGREEMENT, MAC, SIGNING
from keystore.backup import CLOUD, RecoverableKeys
from keystore.curve import ORDER
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
        import_key(token, label, policy, value[:-1] + bytearray([value[-1] ^ 2]))

    for key in (CLOUD[0], CLOUD[1], CLOUD[2]):
        with monkeypatch.context() as patch:
            patch.setattr(Token, "import_key", flip)
            with pytest.raises(BackupCardRejected, match=key.label):
                make(token, [key])
        assert labels(token) == set()


def test_a_token_that_restores_other_keys_than_the_cards_is_rejected(made, make_token_uri, monkeypatch):
    uri, import_key = make_token_uri("liar"), Token.import_key

    def flip(token, label, policy, value):
        import_key(token, label, policy, value[:-1] + bytearray([value[-1] ^ 2]))

    with monkeypatch.context() as patch:
        patch.setattr(Token, "import_key", flip)
        with pytest.raises(BackupCardRejected, match="issuer"):
            RecoverableKeys.restore(lambda: open_token(uri, pin_from_value(USER_PIN)), made.shares[:2], made.card)
    with open_token(uri, pin_from_value(USER_PIN)) as again:
        assert labels(again) == set()


@pytest.mark.parametrize(
    ("policy", "value"),
    [
        (SIGNING, bytes(31)),
        (SIGNING, b""),
        (SIGNING, bytes(32)),
        (SIGNING, ORDER.to_bytes(32, "big")),
        (AGREEMENT, b"\xff" * 32),
        (MAC, bytes(64)),
    ],
)
def test_what_is_no_scalar_or_another_size_of_key_is_not_imported(token, policy, value):
    with pytest.raises(KeyInvalid):
        token.import_key("odd", policy, bytearray(value))
    assert not token.has("odd")


@pytest.mark.parametrize("policy", [SIGNING, MAC])
def test_an_imported_key_breaks_a_policy_of_local_keys(token, policy):
    with pytest.raises(KeyPolicyViolation, match="LOCAL"):
        token.import_key("odd", dataclasses.replace(policy, provenance=Provenance.LOCAL), bytearray(SEED))
    assert labels(token) == set()


def test_rfc_6979_key_through_an_imported_scalar(token):
    """The key of RFC 6979, appendix A.2.5."""
    scalar = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"
    token.import_key("vector", SIGNING, bytearray.fromhex(scalar))
    public = token.signing("vector").public_key()
    assert public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex() == (
        "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
        "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
    )
    signature = token.signing("vector").sign(b"sample", ECDSA(SHA256()))
    public.verify(signature, b"sample", ECDSA(SHA256()))


def test_rfc_4231_test_2_sized_key_gives_the_same_code_in_token_and_software(token):
    token.import_key("vector", MAC, bytearray(SEED))
    assert token.mac("vector").mac(b"what do ya want for nothing?") == hmac.digest(
        SEED, b"what do ya want for nothing?", "sha256"
    )
