"""P-256 as the paper's group: base point B (its P), prime order n (FIPS 186-5; SEC 2, secp256r1).

A point of key agreement is its x-coordinate, 32 bytes big-endian, and stands for either point over it. Secret scalars are
pyca's private keys, whose ECDH works in constant time; what is computed on points here is public: U_X, by pycryptodome,
and hashing to the curve.
"""

import hashlib
from typing import Final

from Crypto.PublicKey.ECC import EccPoint  # type: ignore[attr-defined]  # documented there, not in its __all__
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystore.errors import InvalidPoint
from keystore.transcript import transcript
from remembered import Memory

CURVE: Final = ec.SECP256R1()
POINT_BYTES: Final = 32
VERIFYING_KEY_BYTES: Final = 33
SCALAR_SEED_BYTES: Final = 48
FIELD_PRIME: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER: Final = CURVE.group_order
_A: Final = FIELD_PRIME - 3
_B: Final = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_BASE_POINT: Final = EccPoint(
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    "p256",
)

_VERIFYING_POINTS: Final[Memory[bytes, ec.EllipticCurvePublicKey]] = Memory("points")
_PUBLIC_POINTS: Final[Memory[tuple[bytes, bytes, bytes], ec.EllipticCurvePublicKey]] = Memory("public points")


def require_point(x: bytes) -> bytes:
    """Return the x-coordinate if a peer may send it: below p, with a point over it (B6). Raises InvalidPoint."""
    point_over(x)
    return x


def require_registration_point(rho: bytes) -> bytes:
    """Return R_X1 if it can be one: a point that is at least 1 and below n. Raises InvalidPoint."""
    if not 1 <= int.from_bytes(require_point(rho), "big") < ORDER:
        raise InvalidPoint("R_X1 is 0, or not below the group's order")
    return rho


def point_over(x: bytes) -> ec.EllipticCurvePublicKey:
    """Return the point over an x-coordinate whose y is even. Raises InvalidPoint."""
    if len(x) != POINT_BYTES:
        raise InvalidPoint(f"a point has {POINT_BYTES} bytes, not {len(x)}")
    return _decompressed(b"\x02" + x)


def verifying_point(key: bytes) -> ec.EllipticCurvePublicKey:
    """Return a public key of 33 bytes, compressed (SEC 1, section 2.3.4). Raises InvalidPoint."""
    return _VERIFYING_POINTS.of(key, lambda: _verifying_point(key))


def _verifying_point(key: bytes) -> ec.EllipticCurvePublicKey:
    if len(key) != VERIFYING_KEY_BYTES or key[0] not in (2, 3):
        raise InvalidPoint(f"a public key has {VERIFYING_KEY_BYTES} bytes, compressed")
    return _decompressed(key)


def x_of(point: ec.EllipticCurvePublicKey) -> bytes:
    """Return the x-coordinate, 32 bytes."""
    return compressed(point)[1:]


def compressed(point: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as 33 bytes (SEC 1, section 2.3.3). Raises InvalidPoint for a key of another curve."""
    if not isinstance(point.curve, ec.SECP256R1):
        raise InvalidPoint("the key is on another curve than P-256")
    return point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def scalar_from_seed(seed: bytes) -> ec.EllipticCurvePrivateKey:
    """Return a uniform scalar from 48 uniform bytes: one of the paper's random numbers (FIPS 186-5, appendix A.4.1)."""
    if len(seed) != SCALAR_SEED_BYTES:
        raise ValueError(f"a scalar is made of {SCALAR_SEED_BYTES} bytes")
    return ec.derive_private_key(1 + int.from_bytes(seed, "big") % (ORDER - 1), CURVE)


def private_key(value: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the key of a scalar of 32 bytes, big-endian. Raises ValueError unless it is from 1 to n - 1."""
    if len(value) != POINT_BYTES:
        raise ValueError("a scalar has 32 bytes")
    return ec.derive_private_key(int.from_bytes(value, "big"), CURVE)


def public_point(rho: bytes, issuer_public_key: bytes, credential: bytes) -> ec.EllipticCurvePublicKey:
    """Return U_X = z B + rho PK = +-S_X R, which anybody can compute (right side of eq. 4, 7, 10). Raises InvalidPoint.

    A member's statement is met many times, and this takes as long as a signature: so the newest are remembered.
    """
    met = rho, issuer_public_key, credential
    return _PUBLIC_POINTS.of(met, lambda: _public_point(*met))


def _public_point(rho: bytes, issuer_public_key: bytes, credential: bytes) -> ec.EllipticCurvePublicKey:
    require_registration_point(rho)
    issuer = verifying_point(issuer_public_key).public_numbers()
    z = int.from_bytes(hashlib.sha256(credential_transcript(issuer_public_key, credential)).digest(), "big")
    sum_ = _BASE_POINT * (z % ORDER) + EccPoint(issuer.x, issuer.y, "p256") * int.from_bytes(rho, "big")
    if sum_.is_point_at_infinity():
        raise InvalidPoint("U_X is the neutral element")
    return _public(int(sum_.x), int(sum_.y))


def credential_transcript(issuer_public_key: bytes, credential: bytes) -> bytes:
    """Return T("cred", PK, M_X): what s signs and z hashes."""
    return transcript("cred", issuer_public_key, credential)


def _decompressed(encoded: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(CURVE, encoded)
    except ValueError as error:
        raise InvalidPoint("no point of P-256 has this x-coordinate") from error


def _public(x: int, y: int) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicNumbers(x, y, CURVE).public_key()


# RFC 9380, section 8.2: P256_XMD:SHA-256_SSWU_RO_. No library that we know has it for P-256 in Python; on public input alone.
_TAG: Final = b"medunion/v1 P256_XMD:SHA-256_SSWU_RO_"
_Z: Final = FIELD_PRIME - 10
_ELEMENT_BYTES: Final = 48  # L: 16 bytes more than the prime has, so that the rest is uniform (section 5.1)
_BLOCK_BYTES: Final = 64  # SHA-256's


def hash_to_curve(message: bytes, tag: bytes = _TAG) -> ec.EllipticCurvePublicKey:
    """Return Q(message), a point whose discrete logarithm nobody knows (RFC 9380, section 3, hash_to_curve)."""
    uniform = _expand_message(message, tag, 2 * _ELEMENT_BYTES)
    halves = uniform[:_ELEMENT_BYTES], uniform[_ELEMENT_BYTES:]
    first, second = (_map_to_curve(int.from_bytes(half, "big") % FIELD_PRIME) for half in halves)
    sum_ = first + second
    return _public(int(sum_.x), int(sum_.y))


def _expand_message(message: bytes, tag: bytes, size: int) -> bytes:
    """Return uniform bytes (RFC 9380, section 5.3.1, expand_message_xmd with SHA-256)."""
    suffix = tag + len(tag).to_bytes(1, "big")
    whole = bytes(_BLOCK_BYTES) + message + size.to_bytes(2, "big") + b"\0" + suffix
    first = hashlib.sha256(whole).digest()
    blocks = [hashlib.sha256(first + b"\1" + suffix).digest()]
    for number in range(2, -(-size // 32) + 1):
        mixed = bytes(a ^ b for a, b in zip(first, blocks[-1], strict=True))
        blocks.append(hashlib.sha256(mixed + number.to_bytes(1, "big") + suffix).digest())
    return b"".join(blocks)[:size]


def _map_to_curve(u: int) -> EccPoint:
    """Return a point for an element of the field (RFC 9380, section 6.6.2, simplified SWU)."""
    p = FIELD_PRIME
    shared = _Z * u * u % p
    denominator = (shared * shared + shared) % p
    first = -_B * pow(_A, -1, p) * (1 + pow(denominator, -1, p)) % p if denominator else _B * pow(_Z * _A, -1, p) % p
    # Over one of the two lies a point; which, u decides, and u is public.
    x = first if _is_square(_right_side(first)) else shared * first % p
    y = pow(_right_side(x), (p + 1) // 4, p)  # p = 3 mod 4
    return EccPoint(x, y if y % 2 == u % 2 else p - y, "p256")


def _right_side(x: int) -> int:
    return (x * x * x + _A * x + _B) % FIELD_PRIME


def _is_square(value: int) -> bool:
    return pow(value, (FIELD_PRIME - 1) // 2, FIELD_PRIME) in (0, 1)
