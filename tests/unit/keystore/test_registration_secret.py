"""S_X as an X25519 key of the token, and the full point recovered from it (facts 3, 4; findings 3.1 to 3.6)."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from keystore import group
from keystore.errors import CredentialMismatch, InvalidPoint, InvalidScalar
from keystore.registration_secret import RegistrationSecret, derive_shared_key, token_form

L = group.ORDER
DELTA = 8 * L - 2**255


def scalar(value: int) -> bytes:
    return (value % L).to_bytes(32, "little")


def random_scalar() -> bytes:
    return group.scalar_from_seed(os.urandom(64))


def in_software(secret: bytes) -> RegistrationSecret:
    key = X25519PrivateKey.from_private_bytes(bytes(token_form(secret)))
    return RegistrationSecret(key, group.multiply_base(secret))


def test_the_form_is_a_clamped_scalar_of_plus_or_minus_s():
    for _ in range(200):
        secret = random_scalar()
        k = int.from_bytes(token_form(secret), "little")
        assert k % 8 == 0
        assert 2**254 <= k < 2**255
        assert k % L in (int.from_bytes(secret, "little"), L - int.from_bytes(secret, "little"))


@pytest.mark.parametrize("k", [8, DELTA, 2**255, 8 * L - 8], ids=["8", "delta", "2^255", "8L-8"])
def test_a_scalar_without_token_form_is_refused(k):
    """Exactly k0 <= delta or k0 >= 2^255 have none (findings 3.1): k0 and 8L - k0 both miss the range."""
    with pytest.raises(InvalidScalar):
        token_form(scalar(k))


def test_the_zero_scalar_is_refused():
    with pytest.raises(InvalidScalar):
        token_form(bytes(32))


@pytest.mark.parametrize(
    ("k", "form"),
    [(DELTA + 8, 2**255 - 8), (2**254, 2**254), (2**254 - 8, 2**254 + DELTA + 8), (2**255 - 8, 2**255 - 8)],
    ids=["delta+8", "2^254 has two, k0 is taken", "2^254-8", "2^255-8"],
)
def test_a_scalar_at_the_edge_has_its_token_form(k, form):
    assert int.from_bytes(token_form(scalar(k)), "little") == form


def test_the_recovered_point_is_libsodiums_product():
    for _ in range(100):
        secret, point = random_scalar(), group.multiply_base(random_scalar())
        assert in_software(secret).agree(point) == group.multiply(secret, point)


@pytest.mark.parametrize("edge", [DELTA + 8, 2**254, 2**255 - 8])
def test_the_recovered_point_is_right_for_scalars_at_the_edge(edge):
    point = group.multiply_base(random_scalar())
    assert in_software(scalar(edge)).agree(point) == group.multiply(scalar(edge), point)


def test_the_recovered_point_is_right_where_the_received_point_is_related_to_the_secret():
    """U, -U, 2B, -2B and an issuer's key are no exceptions (findings 3.2)."""
    secret = random_scalar()
    public = group.multiply_base(secret)
    negated = group.multiply_base(scalar(-int.from_bytes(secret, "little")))
    for point in (public, negated, group.multiply_base(scalar(2)), group.multiply_base(scalar(-2))):
        assert in_software(secret).agree(point) == group.multiply(secret, point)


def test_the_recovered_point_is_right_through_a_real_token(token):
    for number in range(6):
        secret = random_scalar()
        public = group.multiply_base(secret)
        key = token.import_x25519(f"s-{number}", token_form(secret), group.u_coordinate(public))
        for point in (group.multiply_base(random_scalar()), public):
            assert RegistrationSecret(key, public).agree(point) == group.multiply(secret, point)


@pytest.mark.parametrize("point", [group.IDENTITY, group.BASE_POINT, group.NEGATED_BASE_POINT], ids=["O", "B", "-B"])
def test_a_point_at_which_recovery_fails_raises_no_foreign_error(point):
    """They are refused before; here only a keystore error may come, or for B, half of the time, a right answer."""
    for _ in range(8):
        secret = random_scalar()
        try:
            product = in_software(secret).agree(point)
        except InvalidPoint:
            continue
        assert product == group.multiply(secret, point)


def test_an_answer_of_another_key_is_refused():
    """The token's key and U_X do not belong together: neither candidate fits."""
    stranger = RegistrationSecret(in_software(random_scalar()).key, group.multiply_base(random_scalar()))
    with pytest.raises(InvalidPoint):
        stranger.agree(group.multiply_base(random_scalar()))
    with pytest.raises(CredentialMismatch):
        stranger.require_consistent(random_scalar())


def test_a_consistent_key_passes_the_self_test():
    in_software(random_scalar()).require_consistent(random_scalar())


def test_both_sides_of_a_key_agreement_compute_the_same_point():
    """Eq. 17 and 22: S_D R_P2 + r6 U_P = S_P R_D2 + r5 U_D."""
    s_d, s_p, r5, r6 = (random_scalar() for _ in range(4))
    doctor, patient = in_software(s_d), in_software(s_p)
    r_p2, r_d2 = group.multiply_base(r5), group.multiply_base(r6)
    of_doctor = group.add(doctor.agree(r_p2), group.multiply(r6, patient.public_point))
    of_patient = group.add(patient.agree(r_d2), group.multiply(r5, doctor.public_point))
    assert of_doctor == of_patient


def test_the_shared_key_depends_on_identity_and_serial():
    product = bytes(range(32))
    keys = {
        derive_shared_key(product, identity, serial)
        for identity in ("D:chen", "D:roe")
        for serial in (b"s" * 16, b"t" * 16)
    }
    assert len(keys) == 4
