"""E_PUK: what opens, and that nothing else does."""

import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from keystore.encryption import (
    ENCRYPTION_KEY_BYTES,
    DecryptionKey,
    FixedKeyring,
    key_id_of,
    require_encryption_key,
    seal,
)
from keystore.errors import EpochKeyUnknown, SealBroken
from keystore.transcript import digest

KEY = DecryptionKey(bytes(range(64)), X25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = DecryptionKey(bytes(range(1, 65)), X25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
SEALED = seal(KEY.encryption_key, b"content", b"info")


def test_the_public_key_is_mlkem_then_x25519_and_the_key_id_its_hash():
    mlkem = MLKEM768PrivateKey.from_seed_bytes(bytes(range(64))).public_key().public_bytes_raw()
    x25519 = X25519PrivateKey.from_private_bytes(bytes(range(32))).public_key().public_bytes_raw()
    assert KEY.encryption_key == mlkem + x25519
    assert len(KEY.encryption_key) == ENCRYPTION_KEY_BYTES == 1216
    assert KEY.key_id == key_id_of(KEY.encryption_key) == digest(mlkem + x25519)[:16]


def test_what_is_sealed_opens_under_key_and_info():
    assert KEY.open(SEALED, b"info") == b"content"
    assert len(SEALED) == len(b"content") + 1136


def test_the_suite_is_the_one_that_the_protocol_names():
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(bytes(range(64)))
    private = hpke.MLKEM768X25519PrivateKey(mlkem, X25519PrivateKey.from_private_bytes(bytes(range(32))))
    assert suite.decrypt(SEALED, private, info=b"info") == b"content"


def test_another_info_is_refused():
    with pytest.raises(SealBroken):
        KEY.open(SEALED, b"infa")


def test_another_key_is_refused():
    with pytest.raises(SealBroken):
        OTHER.open(SEALED, b"info")


@pytest.mark.parametrize("position", [0, 1087, 1088, 1119, 1120, len(SEALED) - 1])
def test_a_tampered_ciphertext_is_refused(position):
    """Both halves of the encapsulation, the content and its tag."""
    tampered = bytearray(SEALED)
    tampered[position] ^= 1
    with pytest.raises(SealBroken):
        KEY.open(bytes(tampered), b"info")


@pytest.mark.parametrize("point", [bytes(32), (1).to_bytes(32, "little")])
def test_an_encapsulation_of_low_order_is_refused_as_any_other_by_a_token_too(token, point):
    in_token = DecryptionKey(bytes(range(64)), token.generate_x25519("epoch"))
    for key in (KEY, in_token):
        sealed = seal(key.encryption_key, b"content", b"info")
        with pytest.raises(SealBroken):
            key.open(sealed[:1088] + point + sealed[1120:], b"info")


@pytest.mark.parametrize("size", [0, 1, 1119, 1120, 1135])
def test_a_ciphertext_cut_short_is_refused(size):
    with pytest.raises(SealBroken):
        KEY.open(SEALED[:size], b"info")


def test_an_x25519_share_of_low_order_is_refused():
    with pytest.raises(SealBroken):
        KEY.open(SEALED[:1088] + bytes(32) + SEALED[1120:], b"info")


@pytest.mark.parametrize(
    "key",
    [b"", KEY.encryption_key[:-1], b"\xff" * 1216, KEY.encryption_key[:1184] + bytes(32)],
    ids=["empty", "short", "no ML-KEM key", "X25519 of low order"],
)
def test_an_encryption_key_to_which_nothing_can_be_sealed_is_refused(key):
    with pytest.raises(SealBroken):
        require_encryption_key(key)
    with pytest.raises(SealBroken):
        seal(key, b"content", b"info")


def test_a_good_encryption_key_is_taken():
    require_encryption_key(KEY.encryption_key)


def test_an_unknown_key_id_is_refused():
    keyring = FixedKeyring.of(KEY)
    assert keyring.find(KEY.key_id) is KEY
    with pytest.raises(EpochKeyUnknown):
        keyring.find(OTHER.key_id)


def test_repr_shows_the_key_id_alone():
    assert repr(KEY) == f"DecryptionKey(key_id={KEY.key_id.hex()})"
