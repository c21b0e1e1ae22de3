"""The group of the paper: known answers of RFC 8032, and every point that a peer may not send (B6, findings 3.3)."""

import hashlib

import pytest

from keystore import group
from keystore.errors import InvalidPoint

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
TWO_B = group.multiply_base((2).to_bytes(32, "little"))
ORDER_EIGHT = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")


def is_on_curve(y: int) -> bool:
    """-x^2 + y^2 = 1 + d x^2 y^2 has a solution x (Euler's criterion)."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    return square == 0 or pow(square, (P - 1) // 2, P) == 1


def test_the_base_point_and_the_order_are_those_of_rfc_8032():
    assert group.BASE_POINT.hex() == "58" + "66" * 31
    assert int.from_bytes(group.BASE_POINT, "little") == 4 * pow(5, -1, P) % P
    assert group.ORDER == 2**252 + 27742317777372353535851937790883648493
    assert group.NEGATED_BASE_POINT.hex() == "58" + "66" * 30 + "e6"
    assert group.add(group.BASE_POINT, group.NEGATED_BASE_POINT) == group.IDENTITY


def test_a_public_key_of_rfc_8032_is_the_multiple_that_its_secret_says():
    """RFC 8032, section 7.1, test 1: A = s B with s clamped out of SHA-512 of the secret key."""
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    low = int.from_bytes(hashlib.sha512(secret).digest()[:32], "little")
    scalar = (low & (2**254 - 8) | 2**254) % group.ORDER
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert group.multiply_base(scalar.to_bytes(32, "little")).hex() == public


def test_the_u_coordinate_of_the_base_point_is_nine():
    assert group.u_coordinate(group.BASE_POINT) == (9).to_bytes(32, "little")


def test_a_scalar_is_reduced_from_64_bytes():
    assert group.scalar_from_seed((group.ORDER + 5).to_bytes(64, "little")) == (5).to_bytes(32, "little")


def test_a_point_of_the_group_is_taken():
    assert group.require_received_point(TWO_B) == TWO_B


@pytest.mark.parametrize("point", [b"", TWO_B[:31], TWO_B + b"\0"])
def test_a_point_of_another_length_is_refused(point):
    with pytest.raises(InvalidPoint):
        group.require_received_point(point)


def test_the_base_point_is_refused():
    with pytest.raises(InvalidPoint, match="O, B, -B"):
        group.require_received_point(group.BASE_POINT)


def test_the_negated_base_point_is_refused():
    with pytest.raises(InvalidPoint, match="O, B, -B"):
        group.require_received_point(group.NEGATED_BASE_POINT)


def test_the_neutral_element_is_refused():
    with pytest.raises(InvalidPoint):
        group.require_received_point(group.IDENTITY)


def small_order_points() -> dict[str, bytes]:
    multiple, found = ORDER_EIGHT, {}
    for count in range(1, 8):
        found[f"{count} T8"] = multiple
        multiple = group.add(multiple, ORDER_EIGHT)
    assert multiple == group.IDENTITY
    return found


@pytest.mark.parametrize("point", small_order_points().values(), ids=small_order_points())
def test_a_point_of_low_order_is_refused(point):
    with pytest.raises(InvalidPoint):
        group.require_received_point(point)


@pytest.mark.parametrize("point", small_order_points().values(), ids=small_order_points())
def test_a_point_with_torsion_is_refused(point):
    with pytest.raises(InvalidPoint):
        group.require_received_point(group.add(TWO_B, point))


@pytest.mark.parametrize("y", [y for y in range(19) if is_on_curve(y)])
def test_an_encoding_that_is_not_canonical_is_refused(y):
    """y + p still fits in 255 bits for y < 19."""
    with pytest.raises(InvalidPoint):
        group.require_received_point((y + P).to_bytes(32, "little"))


@pytest.mark.parametrize("sign", [0, 1])
def test_a_sign_for_x_zero_is_refused(sign):
    """(0, 1) and (0, -1) have no negative x: the encoding with the sign bit is not canonical, and both have low order."""
    for y in (1, P - 1):
        with pytest.raises(InvalidPoint):
            group.require_received_point((y | sign << 255).to_bytes(32, "little"))


@pytest.mark.parametrize("y", [y for y in range(2, 40) if not is_on_curve(y)])
def test_a_point_off_the_curve_is_refused(y):
    """Such a y is the u-coordinate of a point on the twist: the token would take it (findings 3.3)."""
    with pytest.raises(InvalidPoint):
        group.require_received_point(y.to_bytes(32, "little"))


def test_arithmetic_refuses_what_is_no_point():
    off_curve = (2).to_bytes(32, "little")
    with pytest.raises(InvalidPoint):
        group.add(off_curve, TWO_B)
    with pytest.raises(InvalidPoint):
        group.multiply((3).to_bytes(32, "little"), off_curve)
    with pytest.raises(InvalidPoint):
        group.u_coordinate(off_curve)


def test_a_zero_product_is_refused():
    with pytest.raises(InvalidPoint):
        group.multiply_base(bytes(32))
    with pytest.raises(InvalidPoint):
        group.multiply(bytes(32), TWO_B)


def test_the_public_point_is_the_right_side_of_equation_4():
    r, s, message = 7, 11, b"message"
    registration_point = group.multiply_base(r.to_bytes(32, "little"))
    issuer = group.multiply_base(s.to_bytes(32, "little"))
    h = int.from_bytes(hashlib.sha512(registration_point + issuer + message).digest(), "little")
    expected = group.multiply_base(((r + h * s) % group.ORDER).to_bytes(32, "little"))
    assert group.public_point(registration_point, issuer, message) == expected


def test_a_public_point_that_is_the_neutral_element_is_refused():
    """A liar picks R_X1 = -h PK only if h does not cover R_X1; the check stands nevertheless."""
    s = 11
    issuer = group.multiply_base(s.to_bytes(32, "little"))
    real = group.challenge_scalar
    try:
        group.challenge_scalar = lambda *_: (1).to_bytes(32, "little")
        negated = group.multiply_base((group.ORDER - s).to_bytes(32, "little"))
        with pytest.raises(InvalidPoint, match="neutral"):
            group.public_point(negated, issuer, b"message")
    finally:
        group.challenge_scalar = real
