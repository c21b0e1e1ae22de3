"""Issuing by one EdDSA signature: eq. 2-10 hold, and nothing else does."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keystore import group
from keystore.errors import CredentialMismatch, InvalidPoint
from keystore.issuing import IssuingKey, check_issued, credential_transcript, registration_secret
from keystore.registration_secret import token_form

CREDENTIAL = b"the bytes of a credential"


@pytest.fixture
def issuer(token):
    return IssuingKey(token.generate_ed25519("issuer"))


def signature_of(issued) -> bytes:
    return issued.registration_point + bytes(issued.registration_secret)


def test_equations_4_7_and_10_hold_for_what_is_issued(issuer):
    """S_X B = R_X1 + h(R_X1 || PK || M_X) PK, computed by hand."""
    issued = issuer.issue(CREDENTIAL)
    h = group.challenge_scalar(issued.registration_point, issuer.public_key, credential_transcript(CREDENTIAL))
    right = group.add(issued.registration_point, group.multiply(h, issuer.public_key))
    assert group.multiply_base(bytes(issued.registration_secret)) == right == issued.public_point
    assert check_issued(issuer.public_key, CREDENTIAL, signature_of(issued)) == right


def test_a_tampered_credential_is_refused(issuer):
    signature = signature_of(issuer.issue(CREDENTIAL))
    with pytest.raises(CredentialMismatch):
        check_issued(issuer.public_key, CREDENTIAL + b".", signature)


@pytest.mark.parametrize("position", [0, 31, 32, 62])
def test_a_tampered_point_or_secret_is_refused(issuer, position):
    signature = bytearray(signature_of(issuer.issue(CREDENTIAL)))
    signature[position] ^= 1
    with pytest.raises(CredentialMismatch):
        check_issued(issuer.public_key, CREDENTIAL, bytes(signature))


def test_another_issuers_credential_is_refused(issuer, make_token):
    other = IssuingKey(make_token("other").generate_ed25519("issuer"))
    signature = signature_of(other.issue(CREDENTIAL))
    with pytest.raises(CredentialMismatch):
        check_issued(issuer.public_key, CREDENTIAL, signature)


def test_a_secret_not_reduced_is_refused(issuer):
    """S + L satisfies the equation too; Ed25519 refuses it (RFC 8032, section 5.1.7), so M_X has one S_X."""
    issued = issuer.issue(CREDENTIAL)
    larger = int.from_bytes(issued.registration_secret, "little") + group.ORDER
    with pytest.raises(CredentialMismatch):
        check_issued(issuer.public_key, CREDENTIAL, issued.registration_point + larger.to_bytes(32, "little"))


def test_a_registration_point_of_low_order_is_refused():
    """R = O, S = h s passes the equation for the issuer itself: still no R_X1."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    with pytest.raises(CredentialMismatch):
        check_issued(public, CREDENTIAL, group.IDENTITY + bytes(32))


def test_both_sides_derive_the_same_shared_key(issuer, make_token):
    issued = issuer.issue(CREDENTIAL)
    of_cloud = issued.shared_key(issuer.public_key, "D:chen", b"s" * 16)
    public = group.u_coordinate(issued.public_point)
    key = make_token("party").import_x25519("s", token_form(bytes(issued.registration_secret)), public)
    own = registration_secret(key, issued.registration_point, issuer.public_key, CREDENTIAL)
    assert own.shared_key(issuer.public_key, "D:chen", b"s" * 16) == of_cloud
    assert own.shared_key(issuer.public_key, "D:chen", b"t" * 16) != of_cloud


def test_a_registration_secret_for_an_invalid_point_is_refused(issuer, token):
    key = token.generate_x25519("some")
    with pytest.raises(InvalidPoint):
        registration_secret(key, (2).to_bytes(32, "little"), issuer.public_key, CREDENTIAL)


def test_wiping_leaves_zeros_and_repr_shows_no_secret(issuer):
    issued = issuer.issue(CREDENTIAL)
    assert bytes(issued.registration_secret).hex() not in repr(issued)
    issued.wipe()
    assert not any(issued.registration_secret)
