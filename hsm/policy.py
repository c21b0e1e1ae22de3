"""What a key of each purpose may be, and what a token says of its keys: made by it, opened under it, audited against it.

Every private or secret key lives in the token for good (TOKEN, PRIVATE, SENSITIVE, not EXTRACTABLE), does exactly one
kind of thing (SIGN and DERIVE never meet on a key, nor WRAP and DECRYPT: Clulow 2003, "On the security of PKCS#11") and
cannot be changed or copied into something that does more (not MODIFIABLE, not COPYABLE).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final

from pkcs11 import Attribute, KeyType, MLKEMParameterSet, ObjectClass

from hsm.errors import KeyPolicyViolation
from hsm.quirks import P256_NAMES, Quirks
from hsm.raw import AttributeValue, RawObject, Template, template

KEY_SIZE_BYTES: Final = 32
USAGES: Final = {
    attribute.name: attribute
    for attribute in (
        Attribute.ENCRYPT,
        Attribute.DECRYPT,
        Attribute.SIGN,
        Attribute.SIGN_RECOVER,
        Attribute.VERIFY,
        Attribute.VERIFY_RECOVER,
        Attribute.WRAP,
        Attribute.UNWRAP,
        Attribute.DERIVE,
        Attribute.ENCAPSULATE,
        Attribute.DECAPSULATE,
    )
}
# PKCS#11 3.0, tables 29 and 31: the usages that an object of the class has at all.
_USAGES_OF_CLASS: Final = {
    ObjectClass.PRIVATE_KEY: ("DECRYPT", "SIGN", "SIGN_RECOVER", "UNWRAP", "DERIVE"),
    ObjectClass.SECRET_KEY: ("ENCRYPT", "DECRYPT", "SIGN", "VERIFY", "WRAP", "UNWRAP", "DERIVE"),
    ObjectClass.PUBLIC_KEY: ("ENCRYPT", "VERIFY", "VERIFY_RECOVER", "WRAP", "DERIVE"),
}
# PKCS#11 3.2, which tokens without ML-KEM need not know: named in the templates of ML-KEM keys alone.
_KEM_USAGES_OF_CLASS: Final = {
    ObjectClass.PRIVATE_KEY: ("DECAPSULATE",),
    ObjectClass.PUBLIC_KEY: ("ENCAPSULATE",),
}
ML_KEM_768: Final = int(MLKEMParameterSet.ML_KEM_768)  # CKA_PARAMETER_SET


class KeyKind(Enum):
    """The kinds of key that a token holds for us: what one may do is said by its usages."""

    P256 = "P-256"
    HMAC_256 = "HMAC-SHA256"
    ML_KEM_768 = "ML-KEM-768"

    @property
    def object_class(self) -> ObjectClass:
        """Return the class of the half that must stay secret."""
        return ObjectClass.SECRET_KEY if self is KeyKind.HMAC_256 else ObjectClass.PRIVATE_KEY

    @property
    def key_type(self) -> KeyType:
        """Return the CKK_ value of such keys."""
        return _KEY_TYPES[self]


_KEY_TYPES: Final = {
    KeyKind.P256: KeyType.EC,
    KeyKind.HMAC_256: KeyType.GENERIC_SECRET,
    KeyKind.ML_KEM_768: KeyType.ML_KEM,
}
# What says the curve, the size or the parameters, and what it may say.
_SHAPES: Final[dict[KeyKind, tuple[Attribute, frozenset[object]]]] = {
    KeyKind.P256: (Attribute.EC_PARAMS, frozenset(P256_NAMES)),
    KeyKind.HMAC_256: (Attribute.VALUE_LEN, frozenset({KEY_SIZE_BYTES})),
    KeyKind.ML_KEM_768: (Attribute.PARAMETER_SET, frozenset({ML_KEM_768})),
}


class Provenance(Enum):
    """Where a key may come from, as its token tells it (CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE)."""

    LOCAL = "made in this token, and never readable outside it"
    IMPORTABLE = "made in this token, or made elsewhere and imported"


@dataclass(frozen=True)
class KeyPolicy:
    """What a key of one purpose is and may do. `usages` are exact: one too many breaks the policy too.

    A key without `has_public_half` is one whose public half may stand nowhere, so that the token holds no object of it.
    """

    purpose: str
    kind: KeyKind
    usages: frozenset[str]
    public_usages: frozenset[str] = frozenset()
    private: bool = True
    sensitive: bool = True
    extractable: bool = False
    modifiable: bool = False
    copyable: bool = False
    provenance: Provenance = Provenance.IMPORTABLE
    has_public_half: bool = True

    def secret_template(self, quirks: Quirks) -> Template:
        """Return the attributes of the private or secret half, its names and value aside."""
        copyable = {Attribute.COPYABLE: self.copyable} if quirks.has_copyable else {}
        by_decrypt = quirks.derives_by_decrypt and "DERIVE" in self.usages
        usages = self._usages_of(self.kind.object_class, self.usages | {"DECRYPT"} if by_decrypt else self.usages)
        # The last one: SoftHSM sets a template's attributes in turn, and nothing after this one.
        return template(self._flags(), usages, copyable, {Attribute.MODIFIABLE: self.modifiable})

    def public_template(self, quirks: Quirks) -> Template:
        """Return the attributes of the public half, its names and value aside."""
        flags = {Attribute.TOKEN: True, Attribute.PRIVATE: False, Attribute.MODIFIABLE: self.modifiable}
        if not quirks.names_public_usages:
            return template(flags)
        return template(flags, self._usages_of(ObjectClass.PUBLIC_KEY, self.public_usages))

    def violations(self, attributes: Mapping[int, object]) -> list[str]:
        """Name every attribute of a private or secret key that is not as the policy wants it.

        A usage that the token does not report counts as not granted; CKA_COPYABLE, which older tokens lack, as False.
        """
        required: dict[Attribute, AttributeValue] = {
            Attribute.CLASS: self.kind.object_class,
            Attribute.KEY_TYPE: self.kind.key_type,
            **self._flags(),
            Attribute.MODIFIABLE: self.modifiable,
            **dict.fromkeys(_PROVEN if self.provenance is Provenance.LOCAL else (), True),
        }
        wrong = [attribute.name for attribute, value in required.items() if attributes.get(attribute) != value]
        denied = {Attribute.COPYABLE: self.copyable, **_usage_flags(USAGES, self.usages)}
        wrong += [attribute.name for attribute, value in denied.items() if attributes.get(attribute, False) != value]
        return wrong + self._wrong_shape(attributes)

    def public_violations(self, attributes: Mapping[int, object]) -> list[str]:
        """Name every attribute of a public half that is not as the policy wants it; one that is not reported is."""
        if not self.has_public_half:
            return [Attribute.CLASS.name]
        required: dict[Attribute, AttributeValue] = {
            Attribute.KEY_TYPE: self.kind.key_type,
            Attribute.TOKEN: True,
            Attribute.PRIVATE: False,
            **self._usages_of(ObjectClass.PUBLIC_KEY, self.public_usages),
        }
        wrong = [attribute.name for attribute, value in required.items() if attributes.get(attribute, value) != value]
        return wrong + self._wrong_shape(attributes)

    def verify(self, label: str, attributes: Mapping[int, object]) -> None:
        """Raise `KeyPolicyViolation`, naming the attributes, unless a key is as the policy wants it."""
        wrong = self.violations(attributes)
        if wrong:
            raise KeyPolicyViolation(f"The key {label!r} breaks the {self.purpose} policy: {', '.join(wrong)}.")

    def _usages_of(self, object_class: ObjectClass, allowed: frozenset[str]) -> dict[Attribute, bool]:
        kem = _KEM_USAGES_OF_CLASS[object_class] if self.kind is KeyKind.ML_KEM_768 else ()
        return usages_of_class(object_class, allowed) | _usage_flags(kem, allowed)

    def _flags(self) -> dict[Attribute, bool]:
        return {
            Attribute.TOKEN: True,
            Attribute.PRIVATE: self.private,
            Attribute.SENSITIVE: self.sensitive,
            Attribute.EXTRACTABLE: self.extractable,
        }

    def _wrong_shape(self, attributes: Mapping[int, object]) -> list[str]:
        attribute, allowed = _SHAPES[self.kind]
        return [] if attributes.get(attribute) in allowed else [attribute.name]


def usages_of_class(object_class: ObjectClass, allowed: frozenset[str]) -> dict[Attribute, bool]:
    """Return yes or no for each usage that an object of the class has at all, ML-KEM's aside."""
    return _usage_flags(_USAGES_OF_CLASS[object_class], allowed)


def _usage_flags(names: Iterable[str], allowed: frozenset[str]) -> dict[Attribute, bool]:
    """Return yes or no for each of the usages, so that no token's default decides one."""
    return {USAGES[name]: name in allowed for name in names}


_PROVEN: Final = (Attribute.LOCAL, Attribute.ALWAYS_SENSITIVE, Attribute.NEVER_EXTRACTABLE)
VERIFIED_ATTRIBUTES: Final = (
    Attribute.CLASS,
    Attribute.KEY_TYPE,
    Attribute.EC_PARAMS,
    Attribute.VALUE_LEN,
    Attribute.PARAMETER_SET,
    Attribute.TOKEN,
    Attribute.PRIVATE,
    Attribute.SENSITIVE,
    Attribute.EXTRACTABLE,
    Attribute.MODIFIABLE,
    Attribute.COPYABLE,
    *_PROVEN,
    *USAGES.values(),
)
SIGNING: Final = KeyPolicy("signing", KeyKind.P256, frozenset({"SIGN"}), public_usages=frozenset({"VERIFY"}))
AGREEMENT: Final = KeyPolicy("agreement", KeyKind.P256, frozenset({"DERIVE"}))
MAC: Final = KeyPolicy("mac", KeyKind.HMAC_256, frozenset({"SIGN"}))
ML_KEM: Final = KeyPolicy("ml-kem", KeyKind.ML_KEM_768, frozenset({"DECAPSULATE"}))
_DESCRIBED: Final = (Attribute.LABEL, Attribute.ID, *VERIFIED_ATTRIBUTES)


@dataclass(frozen=True)
class ObjectInfo:
    """One object of a token. None says that the object has no such attribute: a public key is not SENSITIVE or not.

    `object_class` and `key_type` are PKCS#11's names without CKO_ and CKK_ ("PRIVATE_KEY", "EC"), or a
    vendor's number in hexadecimal; `stored` is CKA_TOKEN: False for an object that ends with its session.
    """

    label: str
    id: bytes
    object_class: str
    key_type: str | None
    stored: bool
    private: bool | None
    sensitive: bool | None
    extractable: bool | None
    local: bool | None
    always_sensitive: bool | None
    never_extractable: bool | None
    modifiable: bool | None
    usages: frozenset[str]
    _attributes: Mapping[int, object] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_secret(self) -> bool:
        """Return whether the object is a private or secret key."""
        return self.object_class in {"PRIVATE_KEY", "SECRET_KEY"}

    def violations(self, policy: KeyPolicy) -> list[str]:
        """Name the attributes that break a policy, by the part of it that is for the object's class."""
        if self.object_class == "PUBLIC_KEY":
            return policy.public_violations(self._attributes)
        return policy.violations(self._attributes)


def describe(thing: RawObject, quirks: Quirks) -> ObjectInfo:
    """Read what an object says about itself."""
    attributes = quirks.as_standard(thing.get_attributes(_DESCRIBED))
    return ObjectInfo(
        label=attributes.get(Attribute.LABEL, ""),
        id=attributes.get(Attribute.ID, b""),
        object_class=_name(attributes[Attribute.CLASS]),
        key_type=_name(attributes[Attribute.KEY_TYPE]) if Attribute.KEY_TYPE in attributes else None,
        stored=bool(attributes.get(Attribute.TOKEN)),
        private=_flag(attributes, Attribute.PRIVATE),
        sensitive=_flag(attributes, Attribute.SENSITIVE),
        extractable=_flag(attributes, Attribute.EXTRACTABLE),
        local=_flag(attributes, Attribute.LOCAL),
        always_sensitive=_flag(attributes, Attribute.ALWAYS_SENSITIVE),
        never_extractable=_flag(attributes, Attribute.NEVER_EXTRACTABLE),
        modifiable=_flag(attributes, Attribute.MODIFIABLE),
        usages=frozenset(name for name, usage in USAGES.items() if attributes.get(usage)),
        _attributes=attributes,
    )


def _flag(attributes: Mapping[int, object], attribute: Attribute) -> bool | None:
    return bool(attributes[attribute]) if attribute in attributes else None


def _name(value: int) -> str:
    return value.name if isinstance(value, IntEnum) else hex(value)
