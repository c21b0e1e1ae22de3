"""Issuing by one ECDSA signature: eq. 2-10 hold, and nothing else does."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from keystore.curve import ORDER, private_key, public_point, x_of
from keystore.errors import CredentialMismatch, UnusableNonce
from keystore.issuing import IssuingKey, check_issued
from keystore.policies import POLICIES, REGISTRATION_PREFIX
from keystore.registration_secret import RegistrationSecret
from keystore.signatures import read, written
from tests.keys import new_key

CREDENTIAL = b"the bytes of a credential"


@pytest.fixture
def issuer(token):
    return IssuingKey(token.generate_signing("issuer"))


def signature_of(issued) -> bytes:
    return issued.registration_point + bytes(issued.registration_secret)


def test_equations_4_7_and_10_hold_for_what_is_issued(issuer):
    """S_X R = +-(z B + rho PK), by ECDH with S_X in software."""
    issued = issuer.issue(CREDENTIAL)
    right = public_point(issued.registration_point, issuer.public_key, CREDENTIAL)
    base = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x03" + issued.registration_point)
    assert private_key(bytes(issued.registration_secret)).exchange(ec.ECDH(), base) == x_of(right)
    assert check_issued(issuer.public_key, CREDENTIAL, signature_of(issued)) == right == issued.public_point


def test_a_credential_is_never_issued_the_same_way_twice(issuer):
    """A deterministic s would give S_X back to its thief."""
    assert len({issuer.issue(CREDENTIAL).registration_point for _ in range(8)}) == 8


def test_a_tampered_credential_is_refused(issuer):
    signature = signature_of(issuer.issue(CREDENTIAL))
    with pytest.raises(CredentialMismatch):
        check_issued(issuer.public_key, CREDENTIAL + b".", signature)


@pytest.mark.parametrize("position", [0, 31, 32, 63])
def test_a_tampered_point_or_secret_is_refused(issuer, position):
    signature = bytearray(signature_of(issuer.issue(CREDENTIAL)))
    signature[position] ^= 1
    with pytest.raises(CredentialMismatch):
        check_issued(issuer.public_key, CREDENTIAL, bytes(signature))


@pytest.mark.parametrize(
    "change",
    [
        lambda r, s: written(0, s),
        lambda r, s: written(r, 0),
        lambda r, s: written(ORDER, s),
        lambda r, s: written(r, ORDER),
        lambda r, s: written(r, s)[:-1],
        lambda r, s: written(r, s) + b"\0",
    ],
    ids=["rho 0", "S 0", "rho n", "S n", "63 bytes", "65 bytes"],
)
def test_a_registration_out_of_its_range_is_refused(issuer, change):
    signature = signature_of(issuer.issue(CREDENTIAL))
    with pytest.raises(CredentialMismatch):
        check_issued(issuer.public_key, CREDENTIAL, change(*read(signature)))


def test_another_issuers_credential_is_refused(issuer, make_token):
    other = IssuingKey(make_token("other").generate_signing("issuer"))
    signature = signature_of(other.issue(CREDENTIAL))
    with pytest.raises(CredentialMismatch):
        check_issued(issuer.public_key, CREDENTIAL, signature)


def test_an_issuing_key_that_is_none_is_refused(issuer):
    signature = signature_of(issuer.issue(CREDENTIAL))
    with pytest.raises(CredentialMismatch):
        check_issued(bytes(33), CREDENTIAL, signature)


def test_a_nonce_whose_x_is_not_below_the_order_is_of_no_use(monkeypatch):
    """What is signed then is x(R) - n, over which another point lies, or none: nobody's base."""
    issued = IssuingKey(new_key()).issue(CREDENTIAL)
    stranger = private_key((5).to_bytes(32, "big")).public_key()
    monkeypatch.setattr("keystore.issuing.check_issued", lambda *_: stranger)
    with pytest.raises(UnusableNonce):
        IssuingKey(new_key()).issue(CREDENTIAL)
    assert issued.public_point != stranger


def test_both_sides_derive_the_same_shared_key(issuer, make_token):
    issued = issuer.issue(CREDENTIAL)
    of_cloud = issued.shared_key("D:chen", b"s" * 16)
    token, policy = make_token("party"), POLICIES[REGISTRATION_PREFIX]
    token.import_key("registration-secret-01", policy, issued.registration_secret)
    key = token.agreement("registration-secret-01", policy)
    own = RegistrationSecret(key, issued.registration_point, issued.public_point)
    assert own.shared_key("D:chen", b"s" * 16) == of_cloud
    assert own.shared_key("D:chen", b"t" * 16) != of_cloud
    assert own.shared_key("D:roe", b"s" * 16) != of_cloud


def test_wiping_leaves_zeros_and_repr_shows_no_secret(issuer):
    issued = issuer.issue(CREDENTIAL)
    assert bytes(issued.registration_secret).hex() not in repr(issued)
    issued.wipe()
    assert not any(issued.registration_secret)
