"""The part of python-pkcs11 that we use, typed: its own stubs leave out handles and what a key can do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag

from hsm.templates import AttributeValue

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
        mechanism_param: tuple[int, bytes | None, bytes],
        template: Mapping[Attribute, AttributeValue],
    ) -> RawObject:
        """C_DeriveKey."""


class RawDomain(Protocol):
    """A curve to generate keys on."""

    def generate_keypair(
        self,
        *,
        store: bool,
        capabilities: MechanismFlag,
        mechanism: Mechanism,
        public_template: Mapping[Attribute, AttributeValue],
        private_template: Mapping[Attribute, AttributeValue],
    ) -> object:
        """C_GenerateKeyPair."""


class RawSession(Protocol):
    """A session of a token."""

    handle: int

    def close(self) -> None:
        """C_CloseSession."""

    def generate_random(self, nbits: int) -> bytes:
        """C_GenerateRandom."""

    def get_objects(self, attrs: Mapping[Attribute, AttributeValue]) -> Iterator[RawKey]:
        """C_FindObjects."""

    def create_object(self, attrs: Mapping[Attribute, AttributeValue]) -> object:
        """C_CreateObject."""

    def create_domain_parameters(
        self, key_type: KeyType, attrs: Mapping[Attribute, AttributeValue], *, local: bool
    ) -> RawDomain:
        """Name a curve, without a call to the token."""

    def generate_key(
        self,
        key_type: KeyType,
        key_length: int,
        *,
        store: bool,
        capabilities: MechanismFlag,
        mechanism: Mechanism,
        template: Mapping[Attribute, AttributeValue],
    ) -> object:
        """C_GenerateKey."""


class RawSlot(Protocol):
    """Where a token sits; it changes when the token is plugged elsewhere."""

    slot_id: int

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
