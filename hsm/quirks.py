"""Vendors' quirks, as data: what a token calls things that others call otherwise.

Some tokens name a curve by its OID, some by a curve's name; some wrap a point in an OCTET STRING where others don't. What
a token says is read in each form; what it is told is a row here. What a token refuses with a word of its own needs no row: the
key layer then does without it (sessions that are read-only, keys that end with their session).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, KeyType
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
    names_public_usages: bool = True  # the template of a public half may say what it is for
    mac_key_type: KeyType = KeyType.GENERIC_SECRET  # CKA_KEY_TYPE of an HMAC key; any other has its length in its name
    derives_read_only: bool = (
        True  # in a session that is read-only, too, what is derived being an object of the session
    )
    derives_by_decrypt: bool = False  # the template of an agreement key has to allow DECRYPT
    # flags that it raises, whatever the key can do, of each key of which it raises another
    also_says: tuple[tuple[Attribute, frozenset[Attribute]], ...] = ()

    def as_standard(self, attributes: Mapping[int, Any]) -> dict[int, Any]:
        """Return what the token says of a key as a token without quirks would say it."""
        said = dict(attributes)
        for flag, others in self.also_says:
            if attributes.get(flag) is True:
                said |= dict.fromkeys(others & attributes.keys(), False)
        if said.get(Attribute.KEY_TYPE) == self.mac_key_type:
            said[Attribute.KEY_TYPE] = KeyType.GENERIC_SECRET
        return said

    def point_attribute(self, point: bytes) -> bytes:
        """Write a point as CKA_EC_POINT."""
        return _OCTET_STRING_OF_65 + point if self.wraps_points else point

    def peer_value(self, point: bytes) -> bytes:
        """Write a peer's point as CKM_ECDH1_DERIVE takes it."""
        return _OCTET_STRING_OF_65 + point if self.wraps_peers else point


STANDARD: Final = Quirks()

_BY_WORDS: Final[tuple[tuple[str, Quirks], ...]] = (
    # tpm2-pkcs11 a38c350, src/lib/attrs.c: a use of the public half that the TPM sees otherwise is CKR_GENERAL_ERROR, "attr
    # mismatch"; run on swtpm with 1.9.0. A TPM knows two uses, each of which has two names here (src/lib/tpm.c, "conditional
    # block"), and agrees by the second; no EC key encrypts or decrypts. Known by the module's words: the others are the TPM's.
    (
        "TPM2.0 Cryptoki",
        Quirks(
            names_public_usages=False,
            derives_read_only=False,  # src/lib/derive.c, object_create: run on swtpm with a38c350
            derives_by_decrypt=True,
            also_says=(
                (Attribute.SIGN, frozenset({Attribute.ENCRYPT})),
                (Attribute.DERIVE, frozenset({Attribute.DECRYPT, Attribute.VERIFY})),
            ),
        ),
    ),
    # yubihsm-shell 428bfdd, pkcs11/util_pkcs11.c, parse_hmac_template: CKK_SHA256_HMAC alone, and no CKA_VALUE_LEN.
    ("YubiHSM", Quirks(mac_key_type=KeyType.SHA256_HMAC)),
    # OpenSC 14c80b0, src/pkcs15init/pkcs15-lib.c: every key that it makes is MODIFIABLE (DEFAULT_PRKEY_FLAGS), of which
    # C_SetAttributeValue changes names alone (src/pkcs11/framework-pkcs15.c, pkcs15_set_attrib), and whatever signs says
    # SIGN_RECOVER, too (x509_to_pkcs15_private_key_usage), which no EC key does.
    (
        "OpenSC",
        Quirks(
            also_says=(
                (Attribute.TOKEN, frozenset({Attribute.MODIFIABLE})),
                (Attribute.SIGN, frozenset({Attribute.SIGN_RECOVER})),
            )
        ),
    ),
)


def quirks_of(*words: str) -> Quirks:
    """Choose by what a token and its module say of themselves; a stranger is taken to keep to the standard."""
    said = " ".join(words).casefold()
    return next((quirks for name, quirks in _BY_WORDS if name.casefold() in said), STANDARD)


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
