"""PKCS#11 templates, checked before they reach C.

python-pkcs11 frees memory that it never filled when one value of a template does not pack: the process may die. It also
packs any truthy thing as a boolean and `bytes(5)` as five zeros. So a template is built here alone, from values of
exactly the right type, and packed once for trial.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.attributes import (
    AttributeMapper,
    handle_biginteger,
    handle_bool,
    handle_bytes,
    handle_str,
    handle_ulong,
)

AttributeValue = bool | int | str | bytes | IntEnum
Template = dict[Attribute, AttributeValue]

_ENUMERATIONS: Final[dict[Attribute, type[IntEnum]]] = {
    Attribute.CLASS: ObjectClass,
    Attribute.KEY_TYPE: KeyType,
    Attribute.KEY_GEN_MECHANISM: Mechanism,
}
_TYPES: Final[dict[object, type]] = {
    handle_bool: bool,
    handle_ulong: int,
    handle_str: str,
    handle_bytes: bytes,
    handle_biginteger: bytes,
}


def _lenient_mapper() -> AttributeMapper:
    """Read a vendor's own class, key type or mechanism as a plain number, where python-pkcs11 raises ValueError."""
    mapper = AttributeMapper()
    pack, unpack = handle_ulong
    for attribute, known in _ENUMERATIONS.items():
        values = {int(member): member for member in known}
        mapper.register_handler(attribute, lambda value: pack(int(value)), _reader(values, unpack))
    return mapper


def _reader(members: Mapping[int, IntEnum], unpack: Callable[[bytes], int]) -> Callable[[bytes], int]:
    def read(raw: bytes) -> int:
        value = unpack(raw)
        return members.get(value, value)

    return read


MAPPER: Final = _lenient_mapper()


def template(*parts: Mapping[Attribute, AttributeValue]) -> Template:
    """Merge the parts into one template; raises TypeError for a value that python-pkcs11 could not pack, or repeats."""
    merged: Template = {}
    for attribute, value in (pair for part in parts for pair in part.items()):
        if attribute in merged:
            raise TypeError(f"The template names {attribute.name} twice.")
        packed(attribute, value)
        merged[attribute] = value
    return merged


def packed(attribute: Attribute, value: AttributeValue) -> bytes:
    """Return one attribute's value as C takes it, or raise TypeError."""
    handler = MAPPER.attribute_types.get(attribute)
    if handler is None:
        raise TypeError(f"python-pkcs11 cannot pack {attribute.name}.")
    expected = _TYPES.get(handler)
    right = isinstance(value, IntEnum) if expected is None else type(value) is expected
    if not right:
        raise TypeError(f"{attribute.name} in a template is a {type(value).__name__}.")
    return MAPPER.pack_attribute(attribute, value)
