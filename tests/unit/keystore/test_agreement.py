"""agree: known answers of its parts, and that a token and software give the same."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hsm import software_prf
from keystore.agreement import SHARED_INFO, SoftwareAgreement, agree, prf_at_hashed_point
from keystore.curve import hash_to_curve, point_over, private_key
from keystore.transcript import transcript
from tests.keys import new_key


def test_ecdh_gives_what_rfc_5903_says():
    """Section 8.1: the 256-bit random ECP group."""
    ours = private_key(bytes.fromhex("c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433"))
    theirs = point_over(bytes.fromhex("d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"))
    shared = "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"
    assert ours.exchange(ec.ECDH(), theirs).hex() == shared


def test_the_rest_of_it_is_one_block_of_x963_and_hmac():
    """SEC 1, section 3.6.1: K = SHA-256(Z || 00000001 || SharedInfo)."""
    x, message = bytes(range(32)), b"message"
    key = hashlib.sha256(x + (1).to_bytes(4, "big") + b"medunion/v1").digest()
    assert software_prf(x, SHARED_INFO, message) == hmac.digest(key, message, "sha256")


def test_a_token_agrees_as_software_does(token):
    in_token, peer = token.generate_agreement("d"), new_key()
    of_peer = agree(SoftwareAgreement(peer), in_token.public_key(), "K1", b"field")
    assert agree(in_token, peer.public_key(), "K1", b"field") == of_peer


def test_label_and_fields_are_bound():
    key, peer = SoftwareAgreement(new_key()), new_key().public_key()
    made = {agree(key, peer, *what) for what in (("K1", b"a"), ("K2", b"a"), ("K1", b"b"), ("K1",), ("K1", b"a", b""))}
    assert len(made) == 5


@pytest.mark.parametrize("sign", [b"\x02", b"\x03"])
def test_either_point_over_an_x_agrees_to_the_same(sign):
    key, other = SoftwareAgreement(new_key()), new_key().public_key()
    x = other.public_numbers().x.to_bytes(32, "big")
    peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sign + x)
    assert agree(key, peer, "K1") == agree(key, other, "K1")


def test_a_persons_prf_is_the_scalar_at_the_hashed_point(token):
    key, message = token.generate_agreement("sealing"), transcript("seal", b"purpose")
    assert prf_at_hashed_point(key, message) == key.prf(hash_to_curve(message), SHARED_INFO, message)
    assert prf_at_hashed_point(key, message) != prf_at_hashed_point(key, message + b".")
