"""The few PKCS#11 functions that python-pkcs11 lacks or calls unsafely, by ctypes on the same library.

python-pkcs11 initialises with C_Initialize(NULL), "I have one thread", yet releases the GIL round every call; its
sessions log the whole process out when they close, and a login that fails leaks its session. So initialising, login
and logout happen here, and so does what it has no function for: making tokens, and creating an object from a buffer
that the caller can wipe. So does all that happens at each use of a key: signing, deriving and reading results of known size, of
which python-pkcs11 asks the size first (a derivation takes six calls there, and three here). And generating keys, to whose
templates python-pkcs11 adds a length and uses that not every token takes, and unwrapping, by vendors' mechanisms too.
A call releases the GIL, as ctypes does. Failures are raised as python-pkcs11's exceptions, so that `hsm.errors` translates one
family.
"""

import ctypes
from collections.abc import Sequence
from ctypes import byref, c_char_p, c_ulong, c_void_p
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Final

from pkcs11 import KDF, Attribute, Mechanism, PKCS11Error, UserType, exceptions

_OS_LOCKING_OK: Final = 0x2  # CKF_OS_LOCKING_OK
_LOGGED_IN_STATES: Final = (1, 3)  # CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS
_TOKEN_LABEL_SIZE_BYTES: Final = 32
# CK_TOKEN_INFO (PKCS#11 3.0, section 3.2)
_TOKEN_INFO_TEXTS: Final = (("label", 32), ("manufacturer", 32), ("model", 16), ("serial", 16))
_TOKEN_INFO_NUMBERS: Final = (
    *(
        "flags",
        "most_sessions",
        "sessions",
        "most_writable_sessions",
        "writable_sessions",
        "longest_pin",
        "shortest_pin",
    ),
    *("public_memory", "free_public_memory", "private_memory", "free_private_memory"),
)
_EFFECTIVELY_INFINITE: Final = 0  # CK_EFFECTIVELY_INFINITE
_UNAVAILABLE_INFORMATION: Final = ctypes.c_ulong(-1).value  # CK_UNAVAILABLE_INFORMATION


class NotInitialized(PKCS11Error):
    """CKR_CRYPTOKI_NOT_INITIALIZED, which python-pkcs11 has no class for."""


class AlreadyInitialized(PKCS11Error):
    """CKR_CRYPTOKI_ALREADY_INITIALIZED, which python-pkcs11 has no class for."""


# PKCS#11 3.0, section 5: the return values that the calls below are known to give.
_RETURN_VALUES: Final[dict[int, type[PKCS11Error]]] = {
    0x002: exceptions.HostMemory,
    0x003: exceptions.SlotIDInvalid,
    0x005: exceptions.GeneralError,
    0x006: exceptions.FunctionFailed,
    0x007: exceptions.ArgumentsBad,
    0x010: exceptions.AttributeReadOnly,
    0x011: exceptions.AttributeSensitive,
    0x012: exceptions.AttributeTypeInvalid,
    0x013: exceptions.AttributeValueInvalid,
    0x020: exceptions.DataInvalid,
    0x021: exceptions.DataLenRange,
    0x030: exceptions.DeviceError,
    0x031: exceptions.DeviceMemory,
    0x032: exceptions.DeviceRemoved,
    0x040: exceptions.EncryptedDataInvalid,
    0x041: exceptions.EncryptedDataLenRange,
    0x050: exceptions.FunctionCancelled,
    0x054: exceptions.FunctionNotSupported,
    0x060: exceptions.KeyHandleInvalid,
    0x062: exceptions.KeySizeRange,
    0x063: exceptions.KeyTypeInconsistent,
    0x070: exceptions.MechanismInvalid,
    0x071: exceptions.MechanismParamInvalid,
    0x082: exceptions.ObjectHandleInvalid,
    0x090: exceptions.OperationActive,
    0x091: exceptions.OperationNotInitialized,
    0x0A0: exceptions.PinIncorrect,
    0x0A1: exceptions.PinInvalid,
    0x0A2: exceptions.PinLenRange,
    0x0A3: exceptions.PinExpired,
    0x0A4: exceptions.PinLocked,
    0x0B0: exceptions.SessionClosed,
    0x0B1: exceptions.SessionCount,
    0x0B3: exceptions.SessionHandleInvalid,
    0x0B5: exceptions.SessionReadOnly,
    0x0B6: exceptions.SessionExists,
    0x0D0: exceptions.TemplateIncomplete,
    0x0D1: exceptions.TemplateInconsistent,
    0x0E0: exceptions.TokenNotPresent,
    0x0E1: exceptions.TokenNotRecognised,
    0x0E2: exceptions.TokenWriteProtected,
    0x100: exceptions.UserAlreadyLoggedIn,
    0x101: exceptions.UserNotLoggedIn,
    0x102: exceptions.UserPinNotInitialized,
    0x104: exceptions.AnotherUserAlreadyLoggedIn,
    0x130: exceptions.DomainParamsInvalid,
    0x190: NotInitialized,
    0x191: AlreadyInitialized,
}


class Function(IntEnum):
    """Places in CK_FUNCTION_LIST (PKCS#11 3.0, section 3.6): all that a module has to export is C_GetFunctionList."""

    C_Initialize = 0
    C_Finalize = 1
    C_GetTokenInfo = 6
    C_InitToken = 9
    C_InitPIN = 10
    C_SetPIN = 11
    C_GetSessionInfo = 15
    C_Login = 18
    C_Logout = 19
    C_CreateObject = 20
    C_DestroyObject = 22
    C_GetAttributeValue = 24
    C_SignInit = 42
    C_Sign = 43
    C_GenerateKey = 58
    C_GenerateKeyPair = 59
    C_UnwrapKey = 61
    C_DeriveKey = 62
    C_GenerateRandom = 64


# What each takes: handles, lengths and numbers are CK_ULONG; texts and data that it reads alone are given as bytes.
_ARGUMENTS: Final[dict[Function, tuple[type, ...]]] = {
    Function.C_Initialize: (c_void_p,),
    Function.C_Finalize: (c_void_p,),
    Function.C_GetTokenInfo: (c_ulong, c_void_p),
    Function.C_InitToken: (c_ulong, c_char_p, c_ulong, c_char_p),
    Function.C_InitPIN: (c_ulong, c_char_p, c_ulong),
    Function.C_SetPIN: (c_ulong, c_char_p, c_ulong, c_char_p, c_ulong),
    Function.C_GetSessionInfo: (c_ulong, c_void_p),
    Function.C_Login: (c_ulong, c_ulong, c_char_p, c_ulong),
    Function.C_Logout: (c_ulong,),
    Function.C_CreateObject: (c_ulong, c_void_p, c_ulong, c_void_p),
    Function.C_DestroyObject: (c_ulong, c_ulong),
    Function.C_GetAttributeValue: (c_ulong, c_ulong, c_void_p, c_ulong),
    Function.C_SignInit: (c_ulong, c_void_p, c_ulong),
    Function.C_Sign: (c_ulong, c_char_p, c_ulong, c_void_p, c_void_p),
    Function.C_GenerateKey: (c_ulong, c_void_p, c_void_p, c_ulong, c_void_p),
    Function.C_GenerateKeyPair: (
        *(c_ulong, c_void_p),
        *(c_void_p, c_ulong, c_void_p, c_ulong),
        *(c_void_p, c_void_p),
    ),
    Function.C_UnwrapKey: (c_ulong, c_void_p, c_ulong, c_char_p, c_ulong, c_void_p, c_ulong, c_void_p),
    Function.C_DeriveKey: (c_ulong, c_void_p, c_ulong, c_void_p, c_ulong, c_void_p),
    Function.C_GenerateRandom: (c_ulong, c_void_p, c_ulong),
}


class _FunctionList(ctypes.Structure):
    _fields_ = (("version", ctypes.c_ubyte * 2), ("functions", ctypes.c_void_p * (max(Function) + 1)))


class _InitializeArgs(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("create_mutex", "destroy_mutex", "lock_mutex", "unlock_mutex")),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_void_p),
    )


class _SessionInfo(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_ulong) for name in ("slot", "state", "flags", "device_error"))


class _TokenInfo(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_ubyte * size) for name, size in _TOKEN_INFO_TEXTS),
        *((name, ctypes.c_ulong) for name in _TOKEN_INFO_NUMBERS),
        ("versions", ctypes.c_ubyte * 4),
        ("utc_time", ctypes.c_ubyte * 16),
    )


class _Attribute(ctypes.Structure):
    _fields_ = (("type", ctypes.c_ulong), ("value", ctypes.c_void_p), ("size_bytes", ctypes.c_ulong))


class _Mechanism(ctypes.Structure):
    """CK_MECHANISM: a mechanism and its parameters, if it has any."""

    _fields_ = (("type", ctypes.c_ulong), ("parameters", ctypes.c_void_p), ("size_bytes", ctypes.c_ulong))


class _EcdhParameters(ctypes.Structure):
    """CK_ECDH1_DERIVE_PARAMS."""

    _fields_ = (
        ("kdf", c_ulong),
        ("shared_size_bytes", c_ulong),
        ("shared", c_char_p),
        ("public_size_bytes", c_ulong),
        ("public", c_char_p),
    )


@cache
def _plain(mechanism: int) -> _Mechanism:
    """Return a mechanism without parameters, made once: modules only read it."""
    return _Mechanism(mechanism)


class Prepared:
    """A template as C takes it, made once for all calls that are given it: modules only read it."""

    def __init__(self, template: Sequence[tuple[Attribute, bytearray]]) -> None:
        """Keep the values where they lie: a template points at them."""
        self._values = template
        self.attributes = _attributes(template)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True)
class SessionCounts:
    """What a token says of its sessions with this application; None where it sets no bound or does not say."""

    most: int | None = None
    most_writable: int | None = None
    open: int | None = None
    open_writable: int | None = None


class Cryptoki:
    """Raw calls on one loaded module; each raises a `PKCS11Error` unless the module returns CKR_OK."""

    def __init__(self, path: Path) -> None:
        """Find the module's function list; raises OSError or AttributeError if the file is no PKCS#11 module."""
        self._library = ctypes.CDLL(str(path))
        pointer = ctypes.POINTER(_FunctionList)()
        get_function_list = self._library.C_GetFunctionList
        get_function_list.restype = ctypes.c_ulong
        _accept(get_function_list(byref(pointer)))
        functions = pointer.contents.functions
        self._functions = {
            function: ctypes.CFUNCTYPE(c_ulong, *arguments)(functions[function])
            for function, arguments in _ARGUMENTS.items()
        }

    def initialize(self) -> None:
        """Initialise the module for use by many threads."""
        self._call(Function.C_Initialize, byref(_InitializeArgs(flags=_OS_LOCKING_OK)))

    def finalize(self) -> None:
        """End the module's use; a module that is not initialised is left as it is."""
        try:
            self._call(Function.C_Finalize, None)
        except NotInitialized:
            return

    def login(self, session: int, user: UserType, pin: str) -> None:
        """Log the whole process in to the session's token."""
        encoded = pin.encode()
        self._call(Function.C_Login, session, int(user), encoded, len(encoded))

    def logout(self, session: int) -> None:
        """Log the whole process out of the session's token; handles of private objects die."""
        self._call(Function.C_Logout, session)

    def is_logged_in(self, session: int) -> bool:
        """Return whether the user is logged in to the session's token."""
        info = _SessionInfo()
        self._call(Function.C_GetSessionInfo, session, byref(info))
        return info.state in _LOGGED_IN_STATES

    def session_counts(self, slot: int) -> SessionCounts:
        """Ask the token in a slot how many sessions it has and allows; fails too if the token is not there."""
        info = self._token_info(slot)
        return SessionCounts(
            most=_bound(info.most_sessions),
            most_writable=_bound(info.most_writable_sessions),
            open=_known(info.sessions),
            open_writable=_known(info.writable_sessions),
        )

    def pin_lengths(self, slot: int) -> tuple[int, int | None]:
        """Ask the token in a slot for the fewest and the most bytes of a PIN; None if it sets no bound."""
        info = self._token_info(slot)
        return _known(info.shortest_pin) or 0, _bound(info.longest_pin)

    def _token_info(self, slot: int) -> _TokenInfo:
        info = _TokenInfo()
        self._call(Function.C_GetTokenInfo, slot, byref(info))
        return info

    def init_token(self, slot: int, so_pin: str, label: str) -> None:
        """Make the token in the slot anew, under the security officer's PIN."""
        encoded, padded = so_pin.encode(), label.encode().ljust(_TOKEN_LABEL_SIZE_BYTES)
        self._call(Function.C_InitToken, slot, encoded, len(encoded), padded)

    def init_pin(self, session: int, pin: str) -> None:
        """Set the user's PIN, in a session of the security officer."""
        encoded = pin.encode()
        self._call(Function.C_InitPIN, session, encoded, len(encoded))

    def set_pin(self, session: int, old: str, new: str) -> None:
        """Change the user's PIN, in a writable session in which nobody but the user is logged in."""
        before, after = old.encode(), new.encode()
        self._call(Function.C_SetPIN, session, before, len(before), after, len(after))

    def create_object(self, session: int, template: Sequence[tuple[Attribute, bytearray]]) -> int:
        """Create an object from values that the token reads where they lie: nothing of them is copied. Its handle."""
        handle = c_ulong()
        self._call(Function.C_CreateObject, session, _attributes(template), len(template), byref(handle))
        return handle.value

    def generate_key(self, session: int, mechanism: Mechanism, template: Sequence[tuple[Attribute, bytearray]]) -> None:
        """Generate a secret key by a mechanism without parameters."""
        chosen, handle = byref(_plain(mechanism)), byref(c_ulong())
        self._call(Function.C_GenerateKey, session, chosen, _attributes(template), len(template), handle)

    def generate_pair(
        self,
        session: int,
        mechanism: Mechanism,
        public: Sequence[tuple[Attribute, bytearray]],
        private: Sequence[tuple[Attribute, bytearray]],
    ) -> None:
        """Generate a key pair by a mechanism without parameters."""
        halves = _attributes(public), len(public), _attributes(private), len(private)
        handles = byref(c_ulong()), byref(c_ulong())
        self._call(Function.C_GenerateKeyPair, session, byref(_plain(mechanism)), *halves, *handles)

    def unwrap_key(
        self,
        session: int,
        opener: int,
        mechanism: int,
        wrapped: bytes,
        template: Sequence[tuple[Attribute, bytearray]],
    ) -> None:
        """Unwrap a key by a mechanism without parameters, which may be a vendor's own."""
        given = byref(_plain(mechanism)), opener, wrapped, len(wrapped)
        made = _attributes(template), len(template), byref(c_ulong())
        self._call(Function.C_UnwrapKey, session, *given, *made)

    def sign(self, session: int, key: int, mechanism: Mechanism, data: bytes, size_bytes: int) -> bytes:
        """Sign or authenticate data by a mechanism without parameters; the result has at most `size_bytes`."""
        self._call(Function.C_SignInit, session, byref(_plain(mechanism)), key)
        result, size = ctypes.create_string_buffer(size_bytes), c_ulong(size_bytes)
        self._call(Function.C_Sign, session, data, len(data), result, byref(size))
        return result.raw[: size.value]

    def derive_by_ecdh(
        self, session: int, key: int, kdf: KDF, shared_info: bytes | None, point: bytes, template: Prepared
    ) -> int:
        """Derive a secret key by CKM_ECDH1_DERIVE, with a peer's point as the token takes it. Its handle."""
        parameters = _EcdhParameters(kdf, len(shared_info or b""), shared_info, len(point), point)
        mechanism = _Mechanism(Mechanism.ECDH1_DERIVE, ctypes.addressof(parameters), ctypes.sizeof(parameters))
        handle = c_ulong()
        given = byref(mechanism), key, template.attributes, len(template), byref(handle)
        self._call(Function.C_DeriveKey, session, *given)
        return handle.value

    def read(self, session: int, thing: int, attribute: Attribute, most_bytes: int) -> bytes:
        """Read one attribute of an object, which has at most so many bytes."""
        value = ctypes.create_string_buffer(most_bytes)
        wanted = _Attribute(attribute, ctypes.addressof(value), most_bytes)
        self._call(Function.C_GetAttributeValue, session, thing, byref(wanted), 1)
        return value.raw[: wanted.size_bytes]

    def destroy(self, session: int, thing: int) -> None:
        """Destroy an object."""
        self._call(Function.C_DestroyObject, session, thing)

    def random(self, session: int, size_bytes: int) -> bytes:
        """Return bytes from the token's random number generator."""
        value = ctypes.create_string_buffer(size_bytes)
        self._call(Function.C_GenerateRandom, session, value, size_bytes)
        return value.raw

    def _call(self, function: Function, *arguments: object) -> None:
        _accept(self._functions[function](*arguments))


def _attributes(template: Sequence[tuple[Attribute, bytearray]]) -> ctypes.Array[_Attribute]:
    """Point at values where they lie."""
    attributes = (_Attribute * len(template))()
    for attribute, (kind, value) in zip(attributes, template, strict=True):
        attribute.type, attribute.size_bytes = int(kind), len(value)
        attribute.value = ctypes.addressof((ctypes.c_char * len(value)).from_buffer(value))
    return attributes


def _known(number: int) -> int | None:
    return None if number == _UNAVAILABLE_INFORMATION else number


def _bound(number: int) -> int | None:
    return None if number == _EFFECTIVELY_INFINITE else _known(number)


def _accept(return_value: int) -> None:
    if return_value:
        kind = _RETURN_VALUES.get(return_value, PKCS11Error)
        raise kind(f"PKCS#11 return value 0x{return_value:x}")
