"""Vendors' quirks, as data: what a token calls things that others call otherwise.

PKCS#11 3.0 gives X25519 keys the type CKK_EC_MONTGOMERY; SoftHSM 2 gives them CKK_EC_EDWARDS. Some tokens know a curve
by its OID alone, some by its name alone; some wrap a point in an OCTET STRING. A row here says so once for each.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, TypeVar

from pkcs11 import KeyType, Mechanism, PKCS11Error, exceptions

from hsm.errors import KeyInvalid

_Member = TypeVar("_Member", bound=IntEnum)

POINT_SIZE_BYTES: Final = 32
_OCTET_STRING_OF_32: Final = bytes.fromhex("0420")


def _registered(enum: type[_Member], name: str, value: int) -> _Member:
    """Return the member of this value, adding it to the enum if python-pkcs11 does not know it.

    Without it python-pkcs11 raises ValueError at every use of a key that reports the value.
    """
    try:
        return enum(value)
    except ValueError:
        member = int.__new__(enum, value)
        member._name_, member._value_ = name, value
        enum._value2member_map_[value] = member
        return member


EC_MONTGOMERY: Final = _registered(KeyType, "EC_MONTGOMERY", 0x41)  # PKCS#11 3.0, section 6.3.3
EC_MONTGOMERY_KEY_PAIR_GEN: Final = _registered(Mechanism, "EC_MONTGOMERY_KEY_PAIR_GEN", 0x1056)


@dataclass(frozen=True)
class Curve:
    """How a token names one curve and the keys on it; `names` holds every EC_PARAMS that means the curve."""

    key_type: KeyType
    generation: Mechanism
    parameters: bytes
    names: frozenset[bytes]


_ED25519_OID: Final = bytes.fromhex("06032b6570")
_X25519_OID: Final = bytes.fromhex("06032b656e")
_ED25519_NAME: Final = bytes([0x13, 12]) + b"edwards25519"
_X25519_NAME: Final = bytes([0x13, 10]) + b"curve25519"
_ED25519: Final = Curve(
    KeyType.EC_EDWARDS, Mechanism.EC_EDWARDS_KEY_PAIR_GEN, _ED25519_OID, frozenset({_ED25519_OID, _ED25519_NAME})
)
_X25519: Final = Curve(EC_MONTGOMERY, EC_MONTGOMERY_KEY_PAIR_GEN, _X25519_OID, frozenset({_X25519_OID, _X25519_NAME}))


@dataclass(frozen=True)
class Quirks:
    """What one vendor's token wants; the defaults are PKCS#11 3.0's."""

    ed25519: Curve = _ED25519
    x25519: Curve = _X25519
    wraps_points: bool = True  # CKA_EC_POINT is a DER OCTET STRING round the 32 bytes
    has_copyable: bool = True  # the token takes CKA_COPYABLE in a template (since PKCS#11 2.40)
    wraps_peers: bool = False  # the peer's value in CKM_ECDH1_DERIVE likewise
    tag_failures: tuple[type[PKCS11Error], ...] = (exceptions.EncryptedDataInvalid, exceptions.EncryptedDataLenRange)

    def point_attribute(self, point: bytes) -> bytes:
        """Write a point as CKA_EC_POINT."""
        return _OCTET_STRING_OF_32 + point if self.wraps_points else point

    def peer_value(self, point: bytes) -> bytes:
        """Write a peer's point as CKM_ECDH1_DERIVE takes it."""
        return _OCTET_STRING_OF_32 + point if self.wraps_peers else point


STANDARD: Final = Quirks()
SOFTHSM: Final = Quirks(
    x25519=replace(_X25519, key_type=KeyType.EC_EDWARDS, generation=Mechanism.EC_EDWARDS_KEY_PAIR_GEN),
    # 2.6.1 reports a wrong GCM tag as CKR_GENERAL_ERROR; 2.7 as PKCS#11 says.
    tag_failures=(*STANDARD.tag_failures, exceptions.GeneralError),
)
NSS: Final = Quirks(wraps_points=False)
# From the vendors' sources, not tried: ykcs11 refuses OIDs; Kryoptic's points are raw. docs/tokens.md says what was run.
YKCS11: Final = Quirks(
    ed25519=replace(_ED25519, parameters=_ED25519_NAME), x25519=replace(_X25519, parameters=_X25519_NAME)
)
KRYOPTIC: Final = Quirks(wraps_points=False)

_BY_MANUFACTURER: Final = (("SoftHSM", SOFTHSM), ("Yubico", YKCS11), ("Kryoptic", KRYOPTIC), ("Mozilla", NSS))


def quirks_of(manufacturer: str, model: str) -> Quirks:
    """Choose by the token's own words about itself; a stranger is taken to keep to the standard."""
    words = f"{manufacturer} {model}".casefold()
    return next((quirks for name, quirks in _BY_MANUFACTURER if name.casefold() in words), STANDARD)


def point_of(attribute: bytes) -> bytes:
    """Read CKA_EC_POINT in either form that tokens give it; raises `KeyInvalid` for any other."""
    point = attribute.removeprefix(_OCTET_STRING_OF_32) if len(attribute) > POINT_SIZE_BYTES else attribute
    if len(point) != POINT_SIZE_BYTES:
        raise KeyInvalid("The token gives a public point in a form that is neither 32 bytes nor DER round them.")
    return point
