"""edwards25519 as the paper's group: base point B (its P), prime order L. Arithmetic is libsodium's, in constant time.

Points travel compressed, 32 bytes (RFC 8032, section 5.1.2); scalars are 32 bytes little-endian, below L.
"""

import hashlib
import hmac

import nacl.bindings as sodium
from nacl.exceptions import RuntimeError as SodiumRefusal

from keystore.errors import InvalidPoint

POINT_BYTES = 32
ORDER = 2**252 + 27742317777372353535851937790883648493
IDENTITY = (1).to_bytes(POINT_BYTES, "little")
BASE_POINT: bytes = sodium.crypto_scalarmult_ed25519_base_noclamp((1).to_bytes(32, "little"))
NEGATED_BASE_POINT: bytes = sodium.crypto_core_ed25519_sub(IDENTITY, BASE_POINT)


def require_received_point(point: bytes) -> bytes:
    """Return the point if a peer may send it. Raises InvalidPoint.

    Canonical, on the curve and in the prime-order subgroup (B6); and none of O, B, -B, with which the full-point
    recovery would divide by zero or could not tell the sign (findings 3.3).
    """
    if len(point) != POINT_BYTES:
        raise InvalidPoint(f"a point has {POINT_BYTES} bytes, not {len(point)}")
    if not sodium.crypto_core_ed25519_is_valid_point(point):
        raise InvalidPoint("not a canonical point of the prime-order subgroup")
    if point in (IDENTITY, BASE_POINT, NEGATED_BASE_POINT):
        raise InvalidPoint("one of the points O, B, -B")
    return point


def scalar_from_seed(seed: bytes) -> bytes:
    """Reduce 64 uniform bytes to a uniform scalar mod L: the paper's random numbers r_5 to r_8."""
    return bytes(sodium.crypto_core_ed25519_scalar_reduce(seed))


def challenge_scalar(registration_point: bytes, issuer_public_key: bytes, message: bytes) -> bytes:
    """Return h = SHA-512(R || PK || message) mod L, as Ed25519 computes it (RFC 8032, section 5.1.7)."""
    return scalar_from_seed(hashlib.sha512(registration_point + issuer_public_key + message).digest())


def add(left: bytes, right: bytes) -> bytes:
    """Return the sum of two points. Raises InvalidPoint if either is not on the curve."""
    return _point(sodium.crypto_core_ed25519_add, left, right)


def multiply(scalar: bytes, point: bytes) -> bytes:
    """Return scalar * point, without clamping. Raises InvalidPoint for a small-order point or a zero product."""
    return _point(sodium.crypto_scalarmult_ed25519_noclamp, scalar, point)


def multiply_base(scalar: bytes) -> bytes:
    """Return scalar * B, without clamping. Raises InvalidPoint for the zero scalar."""
    return _point(sodium.crypto_scalarmult_ed25519_base_noclamp, scalar)


def u_coordinate(point: bytes) -> bytes:
    """Return the Montgomery u-coordinate, 32 bytes little-endian (RFC 7748, section 4.1). Raises InvalidPoint."""
    return _point(sodium.crypto_sign_ed25519_pk_to_curve25519, point)


def public_point(registration_point: bytes, issuer_public_key: bytes, message: bytes) -> bytes:
    """Return U_X = R_X1 + h PK = S_X B, which anyone can compute (right side of eq. 4, 7, 10). Raises InvalidPoint."""
    scalar = challenge_scalar(registration_point, issuer_public_key, message)
    point = add(registration_point, multiply(scalar, issuer_public_key))
    if hmac.compare_digest(point, IDENTITY):
        raise InvalidPoint("U_X is the neutral element")
    return point


def _point(operation, *arguments: bytes) -> bytes:  # type: ignore[no-untyped-def]  # noqa: ANN001 - libsodium's bindings are untyped
    try:
        return bytes(operation(*arguments))
    except (SodiumRefusal, ValueError) as error:
        raise InvalidPoint("libsodium refused the point") from error
