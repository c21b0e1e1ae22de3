"""The part of python-pkcs11 that we use: typed, and its templates checked before they reach C.

python-pkcs11's own stubs leave out handles and what a key can do. It frees memory that it never filled when one value of a
template does not pack: the process may die. It also packs any truthy thing as a boolean and `bytes(5)` as five zeros. So a
template is built here alone, from values of exactly the right type, and packed once for trial.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, Protocol

from pkcs11 import MGF, Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
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


def packed_all(attributes: Template) -> list[tuple[Attribute, bytearray]]:
    """Return a template's values as C takes them, each in a buffer of its own; raises TypeError."""
    return [(attribute, bytearray(packed(attribute, value))) for attribute, value in attributes.items()]


NO_CAPABILITIES = MechanismFlag(0)  # usages come by template; python-pkcs11's defaults are too generous


class RawObject(Protocol):
    """An object's handle, good in the session that found it and while somebody is logged in."""

    def __getitem__(self, attribute: Attribute) -> Any:  # noqa: ANN401 - each attribute has its own type
        """Read one attribute."""

    def get_attributes(self, attributes: Sequence[Attribute]) -> Mapping[int, Any]:
        """Read those of the attributes that the object has."""

    def destroy(self) -> None:
        """Destroy the object in the token."""


class RawKey(RawObject, Protocol):
    """A private or secret key's handle."""

    handle: int

    def derive_key(
        self,
        key_type: KeyType,
        key_length: int,
        *,
        capabilities: MechanismFlag,
        mechanism: Mechanism,
        mechanism_param: tuple[int, bytes | None, bytes] | bytes,
        store: bool = ...,
        template: Mapping[Attribute, AttributeValue],
    ) -> "RawKey":
        """C_DeriveKey."""

    def decapsulate_key(
        self,
        ciphertext: bytes,
        key_type: KeyType,
        *,
        capabilities: MechanismFlag,
        mechanism: Mechanism,
        template: Mapping[Attribute, AttributeValue],
    ) -> "RawKey":
        """C_DecapsulateKey."""

    def wrap_key(
        self, key: "RawKey", *, mechanism: Mechanism, mechanism_param: tuple[Mechanism, MGF, bytes | None] | None = ...
    ) -> bytes:
        """C_WrapKey."""

    def unwrap_key(
        self,
        object_class: ObjectClass,
        key_type: KeyType,
        key_data: bytes,
        *,
        mechanism: Mechanism,
        mechanism_param: tuple[Mechanism, MGF, bytes | None] | None = ...,
        store: bool,
        capabilities: MechanismFlag,
        template: Mapping[Attribute, object],
    ) -> "RawKey":
        """C_UnwrapKey."""


class RawSession(Protocol):
    """A session of a token."""

    handle: int

    def close(self) -> None:
        """C_CloseSession."""

    def get_objects(self, attrs: Mapping[Attribute, AttributeValue]) -> Iterator[RawKey]:
        """C_FindObjects."""

    def create_object(self, attrs: Mapping[Attribute, AttributeValue]) -> RawKey:
        """C_CreateObject."""

    def generate_key(
        self,
        key_type: KeyType,
        key_length: int,
        *,
        store: bool,
        capabilities: MechanismFlag,
        mechanism: Mechanism,
        template: Mapping[Attribute, AttributeValue],
    ) -> RawKey:
        """C_GenerateKey."""

    def generate_keypair(
        self,
        key_type: KeyType,
        key_length: int | None,
        *,
        store: bool,
        capabilities: MechanismFlag,
        mechanism: Mechanism,
        public_template: Mapping[Attribute, AttributeValue],
        private_template: Mapping[Attribute, AttributeValue],
    ) -> tuple[RawObject, RawKey]:
        """C_GenerateKeyPair."""


class RawSlot(Protocol):
    """Where a token sits; it changes when the token is plugged elsewhere."""

    slot_id: int

    def get_mechanisms(self) -> Collection[int]:
        """C_GetMechanismList."""

    def get_token(self) -> "RawToken":
        """C_GetTokenInfo."""


class RawToken(Protocol):
    """A token's description at one moment."""

    label: str
    serial: bytes
    manufacturer_id: str
    model: str
    firmware_version: tuple[int, int]
    flags: int
    slot: RawSlot

    def open(self, *, rw: bool = ..., attribute_mapper: object = ...) -> RawSession:
        """C_OpenSession, without a PIN."""
