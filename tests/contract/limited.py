"""A token here that is limited to what another one is documented to do: `profiles.toml`, one product a table.

The limits stand at PKCS#11's own border. A module exports one list of functions, and everything calls through it: the key
layer's ctypes and python-pkcs11 both. In this process the list is changed before it is used, so a refusal is one to the whole
key layer, with the return value that the product gives.
"""

import ctypes
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

from hsm import TokenUri, Way
from hsm.creation import _PKCS_8
from hsm.cryptoki import _Attribute, _Mechanism
from hsm.policy import USAGES
from hsm.quirks import point_of
from hsm.softhsm import find_module
from tests.contract.other_tokens import nss
from tests.contract.token_backends import Capability, SoftHsmToken, TokenUnderTest

PROFILE = "MEDUNION_PROFILE"
FILE = Path(__file__).with_name("profiles.toml")
PROFILES: dict[str, dict[str, Any]] = tomllib.loads(FILE.read_text())
PLAIN = "plain"
"""How the labels of tokens begin that are not limited: those of parties whose role the product can't have."""

_KDF = {1: "CKD_NULL", 6: "CKD_SHA256_KDF"}
_FIXED_LABEL = b"Private key for Retired Key 1"
# PKCS#11 3.0, section 5
_OK, _GENERAL_ERROR, _FUNCTION_FAILED = 0, 0x5, 0x6
_TYPE_INVALID, _VALUE_INVALID, _NOT_SUPPORTED = 0x12, 0x13, 0x54
_MECHANISM_INVALID, _PARAM_INVALID, _SESSION_COUNT = 0x70, 0x71, 0xB1
_READ_ONLY, _INCONSISTENT, _USER_TYPE_INVALID = 0xB5, 0xD1, 0x103
_RW_SESSION = 0x2  # CKF_RW_SESSION


_PROVEN = {int(kind) for kind in (Attribute.LOCAL, Attribute.ALWAYS_SENSITIVE, Attribute.NEVER_EXTRACTABLE)}


class Limits:
    """What a profile says, as the functions below ask for it."""

    def __init__(self, profile: Mapping[str, Any]) -> None:
        self.profile = profile
        self.mechanisms = {_mechanism(name.removeprefix("CKM_")) for name in profile["mechanisms"]}
        self.hmac_key_type = KeyType[profile.get("hmac_key_type", "CKK_GENERIC_SECRET").removeprefix("CKK_")]
        self.also_says = {
            (_attribute(flag), int(_attribute(other)))
            for flag, others in profile.get("also_says", {}).items()
            for other in others
        }
        self.makers_tool = False

    @property
    def way_in(self) -> str:
        """Return how a key made elsewhere gets in just now."""
        return "create" if self.makers_tool else str(self.profile["import"])

    @property
    def ways(self) -> tuple[Way, ...]:
        """Return the ways of agreement that are left, the strongest first."""
        kdf = "CKD_SHA256_KDF" in self.profile["derivations"]
        readable = self.profile.get("derived") == "readable"
        held = kdf and int(Mechanism.SHA256_HMAC) in self.mechanisms and self.profile["base"] == "nss"
        has = {Way.KDF_AND_HMAC: held, Way.KDF: kdf and readable}
        has[Way.NULL] = readable and "CKD_NULL" in self.profile["derivations"]
        return tuple(way for way in Way if has[way])


@dataclass
class Template:
    """The attributes that a call names, as they lie in memory."""

    pointer: int
    count: int

    def __iter__(self) -> Iterator[_Attribute]:
        return iter((_Attribute * self.count).from_address(self.pointer) if self.count else ())

    def get(self, kind: Attribute) -> bytes | None:
        for attribute in self:
            if attribute.type == int(kind):
                return ctypes.string_at(attribute.value, attribute.size_bytes)
        return None

    def number(self, kind: Attribute) -> int | None:
        value = self.get(kind)
        return None if value is None else int.from_bytes(value, "little")

    def changed(self, changes: Mapping[Attribute, bytes]) -> tuple[ctypes.Array[_Attribute], list[bytes]]:
        """Return a copy with some values put in or put anew, and what has to outlive it."""
        kept = [attribute for attribute in self if attribute.type not in {int(kind) for kind in changes}]
        values = list(changes.values())
        copy = (_Attribute * (len(kept) + len(changes)))(*kept)
        for place, (kind, value) in enumerate(changes.items(), len(kept)):
            address = ctypes.cast(ctypes.c_char_p(value), ctypes.c_void_p).value
            copy[place] = _Attribute(int(kind), address, len(value))
        return copy, values


def _mechanism(name: str) -> int:
    return 0x8000216F if name == "CLOUDHSM_AES_KEY_WRAP_ZERO_PAD" else int(Mechanism[name])


def _attribute(name: str) -> Attribute:
    return Attribute[name.removeprefix("CKA_")]


def _flag(value: bool) -> bytes:
    return bytes([value])


def _number(value: int) -> bytes:
    return value.to_bytes(ctypes.sizeof(ctypes.c_ulong), "little")


class _Refused(Exception):
    def __init__(self, return_value: int) -> None:
        self.return_value = return_value


def _refuse(when: object, return_value: int) -> None:
    if when:
        raise _Refused(return_value)


class Limiter:
    """A module's function list, some of its places taken; the places' numbers are PKCS#11 3.0's, section 3.6."""

    PLACES: Mapping[str, tuple[int, int]] = {
        "C_Finalize": (1, 1),
        "C_GetInfo": (2, 1),
        "C_GetTokenInfo": (6, 2),
        "C_OpenSession": (12, 5),
        "C_CloseSession": (13, 1),
        "C_CreateObject": (20, 4),
        "C_GetAttributeValue": (24, 4),
        "C_SignInit": (42, 3),
        "C_GenerateKey": (58, 5),
        "C_GenerateKeyPair": (59, 8),
        "C_UnwrapKey": (61, 8),
        "C_DeriveKey": (62, 6),
    }

    def __init__(self, library: Path, limits: Limits) -> None:
        self.limits, self._sessions = limits, set[int]()
        self._generated: set[bytes] = set()  # CKA_IDs
        self._read_only: set[int] = set()
        pointer = ctypes.c_void_p()
        self._library = ctypes.CDLL(str(library))
        assert self._library.C_GetFunctionList(ctypes.byref(pointer)) == _OK
        assert pointer.value
        first = pointer.value + ctypes.sizeof(ctypes.c_void_p)  # behind CK_VERSION
        places = (ctypes.c_void_p * 63).from_address(first)
        _make_writable(first, ctypes.sizeof(places))
        self._real: dict[str, Callable[..., int]] = {}
        self._kept = []
        for name, (place, arguments) in self.PLACES.items():
            kind = ctypes.CFUNCTYPE(ctypes.c_ulong, *(ctypes.c_void_p,) * arguments)
            self._real[name] = kind(places[place])
            taken = kind(self._guarded(getattr(self, name[2:])))
            self._kept.append(taken)
            places[place] = ctypes.cast(taken, ctypes.c_void_p).value

    @staticmethod
    def _guarded(work: Callable[..., int]) -> Callable[..., int]:
        def call(*arguments: int | None) -> int:
            try:
                return work(*(argument or 0 for argument in arguments))
            except _Refused as refusal:
                return refusal.return_value

        return call

    def _says(self, name: str) -> Any:
        return self.limits.profile.get(name)

    def Finalize(self, reserved: int) -> int:
        self._sessions.clear()
        return self._real["C_Finalize"](reserved)

    def GetInfo(self, info: int) -> int:
        answer = self._real["C_GetInfo"](info)
        words = self._says("words")
        if words:
            ctypes.memmove(info + 48, words[0].encode().ljust(32), 32)
        return answer

    def GetTokenInfo(self, slot: int, info: int) -> int:
        answer = self._real["C_GetTokenInfo"](slot, info)
        if answer == _OK and not _label(info).startswith(PLAIN):
            if self._says("words"):
                _, manufacturer, model = self._says("words")
                ctypes.memmove(info + 32, manufacturer.encode().ljust(32), 32)
                ctypes.memmove(info + 64, model.encode().ljust(16), 16)
            if self._says("sessions"):
                ctypes.c_ulong.from_address(info + 104).value = self._says("sessions")
        return answer

    def OpenSession(self, slot: int, flags: int, data: int, notify: int, session: int) -> int:
        info = ctypes.create_string_buffer(256)
        limited = self._real["C_GetTokenInfo"](slot, ctypes.addressof(info)) == _OK
        limited = limited and not _label(ctypes.addressof(info)).startswith(PLAIN)
        if limited:
            _refuse(not flags & _RW_SESSION and self._says("read_only_sessions") is False, _FUNCTION_FAILED)
            _refuse(len(self._sessions) >= (self._says("sessions") or 2**32), _SESSION_COUNT)
        answer = self._real["C_OpenSession"](slot, flags, data, notify, session)
        if limited and answer == _OK:
            handle = ctypes.c_ulong.from_address(session).value
            self._sessions.add(handle)
            (self._read_only.discard if flags & _RW_SESSION else self._read_only.add)(handle)
        return answer

    def CloseSession(self, session: int) -> int:
        self._sessions.discard(session)
        return self._real["C_CloseSession"](session)

    def _require_mechanism(self, session: int, mechanism: int) -> None:
        kind = _Mechanism.from_address(mechanism).type
        _refuse(session in self._sessions and kind not in self.limits.mechanisms, _MECHANISM_INVALID)

    def SignInit(self, session: int, mechanism: int, key: int) -> int:
        self._require_mechanism(session, mechanism)
        return self._real["C_SignInit"](session, mechanism, key)

    def GenerateKeyPair(
        self,
        session: int,
        mechanism: int,
        public: int,
        public_count: int,
        private: int,
        private_count: int,
        public_key: int,
        private_key: int,
    ) -> int:
        halves = Template(public, public_count), Template(private, private_count)
        passed: list[object] = [public, public_count, private, private_count]
        if session in self._sessions:
            self._require_mechanism(session, mechanism)
            _refuse(self._says("generates_as") == "so", _USER_TYPE_INVALID)
            names_uses = any(attribute.type in {int(usage) for usage in USAGES.values()} for attribute in halves[0])
            _refuse(names_uses and self._says("public_usages") is False, _GENERAL_ERROR)
            able = any(halves[1].get(use) == _flag(True) for use in (Attribute.SIGN, Attribute.DECRYPT))
            _refuse(self._says("derives_by_decrypt") and not able, _GENERAL_ERROR)
            copies = [half.changed(self._names_and_life(half)) for half in halves]
            self._generated.add(halves[1].get(Attribute.ID) or b"")
            passed = [part for copy, _ in copies for part in (ctypes.addressof(copy), len(copy))]
        return self._real["C_GenerateKeyPair"](session, mechanism, *passed, public_key, private_key)

    def GenerateKey(self, session: int, mechanism: int, template: int, count: int, key: int) -> int:
        if session not in self._sessions:
            return self._real["C_GenerateKey"](session, mechanism, template, count, key)
        _refuse(not self.limits.profile["hmac_keys"], _NOT_SUPPORTED)
        self._require_mechanism(session, mechanism)
        given = Template(template, count)
        changes = self._names_and_life(given) | self._kind_of_secret(given)
        if self.limits.hmac_key_type is not KeyType.GENERIC_SECRET:
            _refuse(given.get(Attribute.VALUE_LEN) is not None, _TYPE_INVALID)
            changes[Attribute.VALUE_LEN] = _number(32)
        copy, _kept = given.changed(changes)
        self._generated.add(given.get(Attribute.ID) or b"")
        return self._real["C_GenerateKey"](session, mechanism, ctypes.addressof(copy), len(copy), key)

    def CreateObject(self, session: int, template: int, count: int, handle: int) -> int:
        given = Template(template, count)
        object_class = given.number(Attribute.CLASS)
        if session not in self._sessions or object_class == ObjectClass.PUBLIC_KEY:
            return self._real["C_CreateObject"](session, template, count, handle)
        _refuse(self.limits.way_in != "create", _INCONSISTENT)
        changes = self._names_and_life(given)
        if object_class == ObjectClass.SECRET_KEY:
            changes |= self._kind_of_secret(given)
        elif self._says("shows_public_half"):
            self._show(session, given)
        copy, _kept = given.changed(changes)
        return self._real["C_CreateObject"](session, ctypes.addressof(copy), len(copy), handle)

    def _show(self, session: int, private: Template) -> None:
        """Store the public half that nobody asked for."""
        value = private.number(Attribute.VALUE)
        scalar = int.from_bytes(private.get(Attribute.VALUE) or b"", "big")
        assert value is not None
        point = point_of(ec.derive_private_key(scalar, ec.SECP256R1()).public_key())
        kept = (Attribute.LABEL, Attribute.ID, Attribute.EC_PARAMS, Attribute.KEY_TYPE)
        copy, _kept = Template(0, 0).changed(
            {kind: private.get(kind) or b"" for kind in kept}
            | {
                Attribute.CLASS: _number(ObjectClass.PUBLIC_KEY),
                Attribute.TOKEN: _flag(True),
                Attribute.PRIVATE: _flag(False),
                Attribute.EC_POINT: b"\x04\x41" + point,
            }
        )
        made = ctypes.c_ulong()
        answer = self._real["C_CreateObject"](session, ctypes.addressof(copy), len(copy), ctypes.addressof(made))
        _refuse(answer, answer)

    def _names_and_life(self, given: Template) -> dict[Attribute, bytes]:
        """Refuse a label that is too long and a session object where there is none; return what is put in place of them."""
        label = given.get(Attribute.LABEL) or b""
        _refuse(len(label) > (self._says("label_bytes") or len(label)), _VALUE_INVALID)
        passing = given.get(Attribute.TOKEN) == _flag(False)
        _refuse(passing and self._says("session_objects") == "refused", _VALUE_INVALID)
        changes = {Attribute.LABEL: _FIXED_LABEL} if self._says("labels") == "fixed" else {}
        if passing and self._says("session_objects") == "kept":
            changes[Attribute.TOKEN] = _flag(True)
        return changes

    def _kind_of_secret(self, given: Template) -> dict[Attribute, bytes]:
        """Refuse another type than the product's for HMAC keys; the token here has but one."""
        if self.limits.hmac_key_type is KeyType.GENERIC_SECRET:
            return {}
        _refuse(given.number(Attribute.KEY_TYPE) != int(self.limits.hmac_key_type), _INCONSISTENT)
        return {Attribute.KEY_TYPE: _number(KeyType.GENERIC_SECRET)}

    def UnwrapKey(
        self, session: int, mechanism: int, opener: int, data: int, size: int, template: int, count: int, key: int
    ) -> int:
        if session not in self._sessions:
            return self._real["C_UnwrapKey"](session, mechanism, opener, data, size, template, count, key)
        _refuse(self.limits.way_in != "unwrap", _NOT_SUPPORTED)
        given = Template(template, count)
        self._require_mechanism(session, mechanism)
        if given.number(Attribute.CLASS) == ObjectClass.PRIVATE_KEY:
            return self._unwrap_private(session, opener, ctypes.string_at(data, size), given, key)
        copy, _kept = given.changed({Attribute.SENSITIVE: _flag(False), Attribute.EXTRACTABLE: _flag(True)})
        passed = ctypes.addressof(copy), len(copy), key
        return self._real["C_UnwrapKey"](session, mechanism, opener, data, size, *passed)

    def _unwrap_private(self, session: int, opener: int, wrapped: bytes, given: Template, key: int) -> int:
        """Open the key here and store it: NSS gives a private key that comes wrapped uses that nobody asked for."""
        value = ctypes.create_string_buffer(32)
        wanted = _Attribute(int(Attribute.VALUE), ctypes.addressof(value), len(value))
        answer = self._real["C_GetAttributeValue"](session, opener, ctypes.addressof(wanted), 1)
        _refuse(answer, answer)
        scalar = aes_key_unwrap_with_padding(value.raw, wrapped).removeprefix(_PKCS_8)
        curve = bytes.fromhex("06082a8648ce3d030107")
        copy, _kept = given.changed({Attribute.EC_PARAMS: curve, Attribute.VALUE: scalar})
        return self._real["C_CreateObject"](session, ctypes.addressof(copy), len(copy), key)

    def DeriveKey(self, session: int, mechanism: int, base: int, template: int, count: int, key: int) -> int:
        given = Template(template, count)
        if session in self._sessions:
            self._require_mechanism(session, mechanism)
            _refuse(session in self._read_only and self._says("derives_read_only") is False, _READ_ONLY)
            kdf = ctypes.c_ulong.from_address(_Mechanism.from_address(mechanism).parameters).value
            _refuse(_KDF.get(kdf) not in self.limits.profile["derivations"], _PARAM_INVALID)
            readable = given.get(Attribute.EXTRACTABLE) == _flag(True) or given.get(Attribute.SENSITIVE) == _flag(False)
            _refuse(readable != (self._says("derived") == "readable"), _VALUE_INVALID)
        return self._real["C_DeriveKey"](session, mechanism, base, template, count, key)

    def GetAttributeValue(self, session: int, key: int, template: int, count: int) -> int:
        answer = self._real["C_GetAttributeValue"](session, key, template, count)
        given = Template(template, count)
        if session in self._sessions and any(attribute.value for attribute in given):
            for attribute in given:
                self._say(session, key, attribute)
        return answer

    def _say(self, session: int, key: int, attribute: _Attribute) -> None:
        if attribute.size_bytes == 1 and self._is(session, key, Attribute.CLASS, ObjectClass.PRIVATE_KEY):
            raised = [flag for flag, other in self.limits.also_says if other == attribute.type]
            if any(self._is(session, key, flag, 1) for flag in raised):
                ctypes.c_ubyte.from_address(attribute.value).value = 1
        if attribute.type in _PROVEN and attribute.size_bytes == 1 and self._says("base") == "nss":
            # NSS says of no key that it was made inside.
            ctypes.c_ubyte.from_address(attribute.value).value = (
                self._value(session, key, Attribute.ID) in self._generated
            )
        is_typed = self.limits.hmac_key_type is not KeyType.GENERIC_SECRET and attribute.type == int(Attribute.KEY_TYPE)
        if is_typed and attribute.size_bytes == ctypes.sizeof(ctypes.c_ulong):
            is_for_good = self._is(session, key, Attribute.TOKEN, 1)  # not what was derived
            if is_for_good and self._is(session, key, Attribute.CLASS, ObjectClass.SECRET_KEY):
                ctypes.c_ulong.from_address(attribute.value).value = int(self.limits.hmac_key_type)

    def _is(self, session: int, key: int, kind: Attribute, expected: int) -> bool:
        return int.from_bytes(self._value(session, key, kind), "little") == expected

    def _value(self, session: int, key: int, kind: Attribute) -> bytes:
        value = ctypes.create_string_buffer(64)
        wanted = _Attribute(int(kind), ctypes.addressof(value), len(value))
        answer = self._real["C_GetAttributeValue"](session, key, ctypes.addressof(wanted), 1)
        return value.raw[: wanted.size_bytes] if answer == _OK else b""


def _label(info: int) -> str:
    return ctypes.string_at(info, 32).decode().rstrip()


def _make_writable(address: int, size: int) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    start = address // page * page
    libc = ctypes.CDLL(None, use_errno=True)
    read_and_write = 0x1 | 0x2
    if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(address + size - start), read_and_write):
        raise OSError(ctypes.get_errno(), "mprotect")


class LimitedToken(TokenUnderTest):
    """SoftHSM or NSS under the profile that MEDUNION_PROFILE names."""

    def __init__(self) -> None:
        self.name = os.environ[PROFILE]
        profile = PROFILES[self.name]
        self._limits = Limits(profile)
        self._base: TokenUnderTest = nss.NssToken() if profile["base"] == "nss" else SoftHsmToken()
        self.ways = self._limits.ways
        self.has_makers_tool = profile["import"] == "tool"
        self.manufacturer, self.model = profile["words"][1:] if "words" in profile else (None, None)
        self.can = frozenset(self._abilities(profile))

    def _abilities(self, profile: Mapping[str, Any]) -> Iterator[Capability]:
        yield from (Capability.MANY_KEYS, Capability.MANY_TOKENS)
        if profile["generates_as"] == "so":
            return
        yield from (Capability.ECDSA, Capability.PROVENANCE)
        agrees, creates = bool(self.ways), profile["import"] == "create"
        conditions = {
            Capability.ECDH: agrees,
            Capability.IMPORT: creates,
            Capability.HIDDEN: creates and not profile.get("shows_public_half"),
            Capability.READABLE: Way.NULL in self.ways,
            Capability.KDF_AND_HMAC: Way.KDF_AND_HMAC in self.ways,
            Capability.HMAC: profile["hmac_keys"],
            Capability.HMAC_IMPORT: creates and profile["hmac_keys"],
        }
        yield from (capability for capability, holds in conditions.items() if holds)

    def start(self, request: pytest.FixtureRequest) -> None:
        self._base.start(request)
        library = nss.LIBRARY if isinstance(self._base, nss.NssToken) else find_module()
        self._limiter = Limiter(library, self._limits)

    def make(self, label_prefix: str) -> TokenUri:
        return self._base.make(label_prefix)

    @contextmanager
    def makers_tool(self) -> Iterator[None]:
        self._limits.makers_tool = self.has_makers_tool
        try:
            yield
        finally:
            self._limits.makers_tool = False
