"""S_X in a token: what it agrees on, and that it is the one of its credential."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from keystore.agreement import SoftwareAgreement, agree
from keystore.curve import point_over, private_key
from keystore.errors import CredentialMismatch, InvalidPoint
from keystore.issuing import IssuingKey
from keystore.policies import POLICIES, REGISTRATION_PREFIX
from keystore.registration_secret import RegistrationSecret
from tests.keys import new_key

ISSUER = IssuingKey(new_key())


def registered(name: bytes) -> RegistrationSecret:
    issued = ISSUER.issue(name)
    key = SoftwareAgreement(private_key(bytes(issued.registration_secret)))
    return RegistrationSecret(key, issued.registration_point, issued.public_point)


def agreement_point(scalar: ec.EllipticCurvePrivateKey, peer: RegistrationSecret) -> bytes:
    """x(r R_X1)."""
    return scalar.exchange(ec.ECDH(), point_over(peer.point))


def test_who_holds_s_and_who_chose_r_agree():
    """Eq. 17, 22: S_D (r R_D1) = +-r U_D, whichever of two points each x stands for."""
    for number in range(20):
        doctor, r = registered(b"doctor %d" % number), new_key()
        sent = agreement_point(r, doctor)
        assert doctor.agree(sent, "K1") == agree(SoftwareAgreement(r), doctor.public_point, "K1", sent)


def test_a_key_in_a_token_agrees_and_passes_the_self_test(token):
    issued, policy = ISSUER.issue(b"doctor"), POLICIES[REGISTRATION_PREFIX]
    token.import_key("registration-secret-01", policy, issued.registration_secret)
    key = token.agreement("registration-secret-01", policy)
    doctor, r = RegistrationSecret(key, issued.registration_point, issued.public_point), new_key()
    doctor.require_consistent()
    sent = agreement_point(r, doctor)
    assert doctor.agree(sent, "K1") == agree(SoftwareAgreement(r), doctor.public_point, "K1", sent)


def test_another_base_agrees_on_nothing():
    doctor, other, r = registered(b"doctor"), registered(b"other"), new_key()
    sent = agreement_point(r, other)
    assert doctor.agree(sent, "K1") != agree(SoftwareAgreement(r), doctor.public_point, "K1", sent)


@pytest.mark.parametrize("point", [bytes(31), b"\xff" * 32, (1).to_bytes(32, "big")])
def test_what_is_no_point_is_refused_before_the_token_is_asked(point):
    with pytest.raises(InvalidPoint):
        registered(b"doctor").agree(point, "K1")


def test_a_key_of_another_credential_fails_the_self_test():
    doctor, other = registered(b"doctor"), registered(b"other")
    with pytest.raises(CredentialMismatch):
        RegistrationSecret(other.key, doctor.point, doctor.public_point).require_consistent()
    with pytest.raises(CredentialMismatch):
        RegistrationSecret(doctor.key, doctor.point, other.public_point).require_consistent()
    doctor.require_consistent()
