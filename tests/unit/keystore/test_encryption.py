"""E_PUK: what opens, and that nothing else does."""

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystore.curve import private_key
from keystore.encryption import (
    ENCAPSULATION_BYTES,
    ENCRYPTION_KEY_BYTES,
    DecryptionKey,
    FixedKeyring,
    key_id_of,
    require_encryption_key,
    seal,
)
from keystore.errors import EpochKeyUnknown, SealBroken
from keystore.transcript import digest

MLKEM = MLKEM768PrivateKey.from_seed_bytes(bytes(range(64)))
KEY = DecryptionKey(MLKEM, private_key(bytes(range(32))))
OTHER = DecryptionKey(MLKEM768PrivateKey.generate(), private_key(bytes(range(1, 33))))
SEALED = seal(KEY.encryption_key, b"content", b"info")


def test_the_public_key_is_mlkem_then_p256_and_the_key_id_its_hash():
    mlkem = MLKEM.public_key().public_bytes_raw()
    p256 = private_key(bytes(range(32))).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert KEY.encryption_key == mlkem + p256
    assert len(KEY.encryption_key) == ENCRYPTION_KEY_BYTES == 1249
    assert KEY.key_id == key_id_of(KEY.encryption_key) == digest(mlkem + p256)[:16]


def test_what_is_sealed_opens_under_key_and_info():
    assert KEY.open(SEALED, b"info") == b"content"
    assert len(SEALED) == len(b"content") + ENCAPSULATION_BYTES + 16 == len(b"content") + 1169


def test_another_info_is_refused():
    with pytest.raises(SealBroken):
        KEY.open(SEALED, b"infa")


def test_another_key_is_refused():
    with pytest.raises(SealBroken):
        OTHER.open(SEALED, b"info")


@pytest.mark.parametrize("position", [0, 1087, 1088, 1089, 1152, 1153, len(SEALED) - 1])
def test_a_tampered_ciphertext_is_refused(position):
    """Both halves of the encapsulation, the content and its tag."""
    tampered = bytearray(SEALED)
    tampered[position] ^= 1
    with pytest.raises(SealBroken):
        KEY.open(bytes(tampered), b"info")


@pytest.mark.parametrize("point", [b"\x04" + bytes(64), b"\x02" + bytes(64), b"\0" * 65])
def test_an_encapsulation_of_no_point_is_refused_as_any_other_by_a_token_too(token, point):
    in_token = DecryptionKey(MLKEM, token.generate_agreement("epoch"))
    for key in (KEY, in_token):
        sealed = seal(key.encryption_key, b"content", b"info")
        assert key.open(sealed, b"info") == b"content"
        with pytest.raises(SealBroken):
            key.open(sealed[:1088] + point + sealed[1153:], b"info")


@pytest.mark.parametrize("size", [0, 1, 1087, 1088, 1152, 1153, 1168])
def test_a_ciphertext_cut_short_is_refused(size):
    with pytest.raises(SealBroken):
        KEY.open(SEALED[:size], b"info")


@pytest.mark.parametrize(
    "key",
    [
        b"",
        KEY.encryption_key[:-1],
        KEY.encryption_key + b"\0",
        b"\xff" * 1184 + KEY.encryption_key[1184:],
        KEY.encryption_key[:1184] + b"\x04" + bytes(64),
        KEY.encryption_key[:1184] + b"\x02" + KEY.encryption_key[1185:1217],
        KEY.encryption_key[:1183] + KEY.encryption_key[1184:],
    ],
    ids=["empty", "short", "long", "no ML-KEM key", "not on the curve", "compressed", "ML-KEM key of another size"],
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
