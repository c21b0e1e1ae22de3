"""What a token holds, described for people and audits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from pkcs11 import Attribute

from hsm.policy import USAGES, VERIFIED_ATTRIBUTES, KeyPolicy
from hsm.quirks import STANDARD, Quirks
from hsm.raw import RawObject

_DESCRIBED: Final = (Attribute.LABEL, Attribute.ID, *VERIFIED_ATTRIBUTES)


@dataclass(frozen=True)
class ObjectInfo:
    """One object of a token. None says that the object has no such attribute: a public key is not SENSITIVE or not.

    `object_class` and `key_type` are PKCS#11's names without CKO_ and CKK_ ("PRIVATE_KEY", "EC_EDWARDS"), or a
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
    _quirks: Quirks = field(default=STANDARD, repr=False, compare=False)

    @property
    def is_secret(self) -> bool:
        """Say whether the object is a private or secret key."""
        return self.object_class in {"PRIVATE_KEY", "SECRET_KEY"}

    def violations(self, policy: KeyPolicy) -> list[str]:
        """Name the attributes that break a policy, by the part of it that is for the object's class."""
        if self.object_class == "PUBLIC_KEY":
            return policy.public_violations(self._attributes, self._quirks)
        return policy.violations(self._attributes, self._quirks)


def describe(thing: RawObject, quirks: Quirks) -> ObjectInfo:
    """Read what an object says about itself."""
    attributes = thing.get_attributes(_DESCRIBED)
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
        _quirks=quirks,
    )


def _flag(attributes: Mapping[int, object], attribute: Attribute) -> bool | None:
    return bool(attributes[attribute]) if attribute in attributes else None


def _name(value: int) -> str:
    return value.name if isinstance(value, IntEnum) else hex(value)
