"""S_PRK: one form, low s, and bound to its key."""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from keystore.curve import ORDER
from keystore.errors import InvalidPoint
from keystore.signatures import SigningKey, VerifyingKey, read, sign_ecdsa, verify_ecdsa, written
from keystore.transcript import transcript
from tests.keys import new_key, new_signing_key

MESSAGE = transcript("P6", b"message")
KEY = new_signing_key()
SIGNATURE = KEY.sign(MESSAGE)


def refused(signature: bytes, message: bytes = MESSAGE, key: VerifyingKey = KEY.verifying_key) -> None:
    with pytest.raises(InvalidSignature):
        key.verify(signature, message)


def test_a_signature_has_64_bytes_a_low_s_and_holds():
    for _ in range(40):
        signature = KEY.sign(MESSAGE)
        assert len(signature) == 64
        assert read(signature)[1] <= ORDER // 2
        KEY.verifying_key.verify(signature, MESSAGE)


def test_a_key_in_a_token_signs_the_same_form(token):
    key = SigningKey(token.generate_signing("identity"))
    for _ in range(20):
        key.verifying_key.verify(key.sign(MESSAGE), MESSAGE)


def test_the_other_half_of_s_is_refused():
    r, s = read(SIGNATURE)
    verify_ecdsa(KEY.x509.public_key(), (r, ORDER - s), transcript("sig", KEY.verifying_key.data, MESSAGE))
    refused(written(r, ORDER - s))


@pytest.mark.parametrize(
    "change",
    [
        lambda r, s: written(0, s),
        lambda r, s: written(r, 0),
        lambda r, s: written(ORDER, s),
        lambda r, s: written(r, ORDER),
        lambda r, s: written(r, s)[:-1],
        lambda r, s: written(r, s) + b"\0",
        lambda r, s: b"",
        lambda r, s: b"\x30\x44\x02\x20" + r.to_bytes(32, "big") + b"\x02\x20" + s.to_bytes(32, "big"),
    ],
    ids=["r 0", "s 0", "r n", "s n", "63 bytes", "65 bytes", "empty", "DER"],
)
def test_a_signature_of_another_form_is_refused(change):
    refused(change(*read(SIGNATURE)))


def test_another_message_or_key_is_refused():
    refused(SIGNATURE, MESSAGE + b".")
    refused(SIGNATURE, key=new_signing_key().verifying_key)


def test_plain_ecdsa_over_the_message_is_refused():
    """Without the key in what is signed, a second key can be made for one signature."""
    r, s = sign_ecdsa(KEY.x509, MESSAGE)
    refused(written(r, min(s, ORDER - s)))


def test_a_verifying_key_is_its_33_bytes():
    again = VerifyingKey(KEY.verifying_key.data)
    assert again == KEY.verifying_key == VerifyingKey.of(KEY.x509.public_key())
    assert len({again, KEY.verifying_key}) == 1
    assert again != new_signing_key().verifying_key
    assert len(again.data) == 33


def test_a_key_of_another_curve_is_refused():
    with pytest.raises(InvalidPoint):
        SigningKey(ec.generate_private_key(ec.SECP384R1()))
    for _ in range(8):  # half of all x-coordinates lie on P-256, too
        with pytest.raises(InvalidPoint):
            VerifyingKey.of(ec.generate_private_key(ec.SECP256K1()).public_key())


def test_repr_shows_the_public_half_alone():
    value = new_key()
    shown = repr(SigningKey(value)) + repr(SigningKey(value).verifying_key)
    assert f"{value.private_numbers().private_value:x}" not in shown
