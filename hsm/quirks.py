"""Vendors' quirks, as data: what a token calls things that others call otherwise.

Some tokens name a curve by its OID, some by a curve's name; some wrap a point in an OCTET STRING where others don't. What
a token says is read in each form; what it is told is a row here.
"""

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11.util.ec import encode_named_curve_parameters

from hsm.errors import KeyInvalid

POINT_SIZE_BYTES: Final = 65  # SEC 1, 2.3.3, uncompressed
_OCTET_STRING_OF_65: Final = bytes.fromhex("0441")

P256_OID: Final = bytes(encode_named_curve_parameters("secp256r1"))
P256_NAME: Final = bytes([0x13, 9]) + b"secp256r1"  # PKCS#11 3.0, section 2.3.3: curveName, a PrintableString
P256_NAMES: Final = frozenset({P256_OID, P256_NAME})
"""Every EC_PARAMS that means the curve."""


@dataclass(frozen=True)
class Quirks:
    """What one vendor's token wants; the defaults are PKCS#11 3.0's."""

    curve: bytes = P256_OID  # EC_PARAMS, as this token takes them
    wraps_points: bool = True  # CKA_EC_POINT is a DER OCTET STRING round the 65 bytes
    wraps_peers: bool = False  # the peer's point in CKM_ECDH1_DERIVE likewise
    has_copyable: bool = True  # the token takes CKA_COPYABLE in a template (since PKCS#11 2.40)

    def point_attribute(self, point: bytes) -> bytes:
        """Write a point as CKA_EC_POINT."""
        return _OCTET_STRING_OF_65 + point if self.wraps_points else point

    def peer_value(self, point: bytes) -> bytes:
        """Write a peer's point as CKM_ECDH1_DERIVE takes it."""
        return _OCTET_STRING_OF_65 + point if self.wraps_peers else point


STANDARD: Final = Quirks()

_BY_MANUFACTURER: Final[tuple[tuple[str, Quirks], ...]] = ()


def quirks_of(manufacturer: str, model: str) -> Quirks:
    """Choose by the token's own words about itself; a stranger is taken to keep to the standard."""
    words = f"{manufacturer} {model}".casefold()
    return next((quirks for name, quirks in _BY_MANUFACTURER if name.casefold() in words), STANDARD)


def point_of(public: ec.EllipticCurvePublicKey) -> bytes:
    """Write a public key as its uncompressed point."""
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def public_key_of(attribute: bytes) -> ec.EllipticCurvePublicKey:
    """Read CKA_EC_POINT in either form that tokens give it; raises `KeyInvalid` for any other, and off the curve."""
    point = attribute.removeprefix(_OCTET_STRING_OF_65) if len(attribute) > POINT_SIZE_BYTES else attribute
    if len(point) != POINT_SIZE_BYTES:
        raise KeyInvalid("The token gives a public point in a form that is neither 65 bytes nor DER round them.")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as error:
        raise KeyInvalid("The token gives a public point that is not on P-256.") from error
