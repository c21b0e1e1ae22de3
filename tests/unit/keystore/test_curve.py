"""P-256: what a peer may send, the public point, and hashing to the curve with RFC 9380's known answers."""

import hashlib
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from keystore import curve
from keystore.errors import InvalidPoint
from keystore.transcript import transcript

P, N = curve.FIELD_PRIME, curve.ORDER
BASE_X = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
QUUX = b"QUUX-V01-CS02-with-P256_XMD:SHA-256_SSWU_RO_"


def x(value: int) -> bytes:
    return value.to_bytes(32, "big")


def lies_on_the_curve(value: int) -> bool:
    """x^3 - 3x + b is a square (Euler's criterion), or 0."""
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    square = (value**3 - 3 * value + b) % P
    return square == 0 or pow(square, (P - 1) // 2, P) == 1


def test_the_base_point_is_the_multiple_of_one():
    assert curve.x_of(curve.private_key(x(1)).public_key()).hex() == BASE_X


@pytest.mark.parametrize("value", [value for value in range(40) if lies_on_the_curve(value)])
def test_an_x_over_which_a_point_lies_is_taken(value):
    """x = 0 among them: it is on the curve."""
    assert curve.require_point(x(value)) == x(value)


def test_a_point_whose_x_is_not_below_the_order_is_one():
    value = next(value for value in range(N, N + 99) if lies_on_the_curve(value))
    assert curve.require_point(x(value)) == x(value)
    with pytest.raises(InvalidPoint):
        curve.require_registration_point(x(value))


@pytest.mark.parametrize("value", [value for value in range(40) if not lies_on_the_curve(value)])
def test_an_x_of_no_point_is_refused(value):
    """Each is the x of a point of the curve's twist, whose order has small factors: a token may take it."""
    with pytest.raises(InvalidPoint):
        curve.require_point(x(value))


@pytest.mark.parametrize("value", [P, P + 5, 2**256 - 1])
def test_an_x_that_is_not_below_the_prime_is_refused(value):
    with pytest.raises(InvalidPoint):
        curve.require_point(x(value))


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(33), b"\x02" + bytes.fromhex(BASE_X)])
def test_a_point_of_another_size_is_refused(data):
    with pytest.raises(InvalidPoint):
        curve.require_point(data)


@pytest.mark.parametrize("rho", [x(0), x(N), x(P)], ids=["0", "n", "p"])
def test_a_registration_point_out_of_its_range_is_refused(rho):
    with pytest.raises(InvalidPoint):
        curve.require_registration_point(rho)


@pytest.mark.parametrize(
    "key",
    [
        b"",
        bytes.fromhex(BASE_X),
        b"\x02" + x(1),
        b"\x04" + bytes.fromhex(BASE_X),
        b"\x00" * 33,
        curve.private_key(x(3)).public_key().public_numbers().x.to_bytes(33, "big"),
    ],
    ids=["empty", "x alone", "not on the curve", "uncompressed's tag", "neutral", "no tag"],
)
def test_a_verifying_key_that_is_none_is_refused(key):
    with pytest.raises(InvalidPoint):
        curve.verifying_point(key)


def test_both_verifying_keys_over_an_x_are_keys():
    for tag in (b"\x02", b"\x03"):
        assert curve.compressed(curve.verifying_point(tag + bytes.fromhex(BASE_X))) == tag + bytes.fromhex(BASE_X)


def test_a_scalar_of_48_bytes_is_never_zero():
    """FIPS 186-5, A.4.1: 1 + (c mod (n - 1))."""
    for seed, value in ((0, 1), (N - 1, 1), (N - 2, N - 1), (2**384 - 1, 1 + (2**384 - 1) % (N - 1))):
        made = curve.scalar_from_seed(seed.to_bytes(48, "big"))
        assert made.private_numbers().private_value == value
    with pytest.raises(ValueError, match="48 bytes"):
        curve.scalar_from_seed(bytes(32))


@pytest.mark.parametrize("value", [x(0), x(N), bytes(31)])
def test_a_private_key_out_of_its_range_is_refused(value):
    with pytest.raises(ValueError, match=r"."):
        curve.private_key(value)


def test_the_public_point_is_the_right_side_of_equation_4():
    """U_X = z B + rho PK, and so +-S_X R, by scalars that a test alone knows."""
    s, k, credential = 11, 7, b"credential"
    issuer = curve.compressed(curve.private_key(x(s)).public_key())
    rho = curve.x_of(curve.private_key(x(k)).public_key())
    z = int.from_bytes(hashlib.sha256(transcript("cred", issuer, credential)).digest(), "big")
    expected = curve.private_key(x((z + int.from_bytes(rho, "big") * s) % N)).public_key()
    assert curve.public_point(rho, issuer, credential) == expected
    secret = pow(k, -1, N) * (z + int.from_bytes(rho, "big") * s) % N
    product = curve.private_key(x(secret)).exchange(ec.ECDH(), curve.point_over(rho))
    assert product == curve.x_of(expected)


def test_a_public_point_that_is_the_neutral_element_is_refused(monkeypatch):
    """A liar needs rho = -z / s, with z over nothing of rho: the check stands nevertheless."""
    rho = curve.x_of(curve.private_key(x(7)).public_key())
    s = -pow(int.from_bytes(rho, "big"), -1, N) % N
    issuer = curve.compressed(curve.private_key(x(s)).public_key())
    one = type("Digest", (), {"digest": lambda self: x(1)})
    monkeypatch.setattr(curve.hashlib, "sha256", lambda _: one())
    with pytest.raises(InvalidPoint, match="neutral"):
        curve.public_point(rho, issuer, b"credential")


# RFC 9380, appendix J.1.1: message, x and y of P.
HASHED = {
    b"": (
        "2c15230b26dbc6fc9a37051158c95b79656e17a1a920b11394ca91c44247d3e4",
        "8a7a74985cc5c776cdfe4b1f19884970453912e9d31528c060be9ab5c43e8415",
    ),
    b"abc": (
        "0bb8b87485551aa43ed54f009230450b492fead5f1cc91658775dac4a3388a0f",
        "5c41b3d0731a27a7b14bc0bf0ccded2d8751f83493404c84a88e71ffd424212e",
    ),
    b"abcdef0123456789": (
        "65038ac8f2b1def042a5df0b33b1f4eca6bff7cb0f9c6c1526811864e544ed80",
        "cad44d40a656e7aff4002a8de287abc8ae0482b5ae825822bb870d6df9b56ca3",
    ),
}


@pytest.mark.parametrize("message", HASHED, ids=["empty", "abc", "longer"])
def test_hashing_to_the_curve_gives_what_rfc_9380_says(message):
    numbers = curve.hash_to_curve(message, QUUX).public_numbers()
    assert (f"{numbers.x:064x}", f"{numbers.y:064x}") == HASHED[message]


def test_hashing_to_the_curve_separates_messages_and_tags():
    made = {curve.x_of(curve.hash_to_curve(message, tag)) for message in (b"a", b"b") for tag in (QUUX, b"other")}
    assert len(made) == 4


def test_every_hash_lies_on_the_curve():
    for _ in range(64):
        curve.require_point(curve.x_of(curve.hash_to_curve(os.urandom(16))))
