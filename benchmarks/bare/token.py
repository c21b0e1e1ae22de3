"""PKCS#11 by ctypes and nothing else, on a token that `hsm` made: what a call costs before any layer is on top of it."""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from benchmarks.rows import Bench
from benchmarks.world import PIN, softhsm_maker
from hsm import MacKey, Token, TokenAgreementKey, TokenSigningKey, open_token, pin_from_value
from hsm.softhsm import find_module

_SIGN, _AGREE, _MAC = "bare-sign", "bare-agree", "bare-mac"
_SERIAL_SESSION, _PRIVATE_KEY, _SECRET_KEY, _GENERIC_SECRET, _KDF_NULL = 4, 3, 4, 0x10, 1
_CLASS, _TOKEN, _PRIVATE, _LABEL, _KEY_TYPE, _VALUE, _SENSITIVE, _VALUE_LEN, _EXTRACTABLE = (
    *(0x0, 0x1, 0x2, 0x3, 0x100, 0x11, 0x103, 0x161, 0x162),
)
_ECDSA, _HMAC, _ECDH = 0x1041, 0x251, 0x1050
_Number = ctypes.c_ulong


class _Mechanism(ctypes.Structure):
    _fields_ = (("type", _Number), ("parameter", ctypes.c_void_p), ("size", _Number))


class _Attribute(ctypes.Structure):
    _fields_ = (("type", _Number), ("value", ctypes.c_void_p), ("size", _Number))


class _Ecdh(ctypes.Structure):
    _fields_ = (
        *(("kdf", _Number), ("shared_size", _Number), ("shared", ctypes.c_void_p)),
        *(("public_size", _Number), ("public", ctypes.c_void_p)),
    )


@dataclass(frozen=True)
class Keys:
    """The same operations through the key layer, and bare, by mechanism."""

    token: Token
    signing: TokenSigningKey
    agreement: TokenAgreementKey
    mac: MacKey
    peer: ec.EllipticCurvePublicKey
    bare: dict[str, Callable[[], object]]


@contextmanager
def token_keys(bench: Bench) -> Iterator[Keys]:
    """Make a token with a key of each kind."""
    with open_token(softhsm_maker(bench)("bare"), pin_from_value(PIN)) as token:
        signing, agreement, mac = (
            token.generate_signing(_SIGN),
            token.generate_agreement(_AGREE),
            token.generate_mac(_MAC),
        )
        peer = ec.generate_private_key(ec.SECP256R1()).public_key()
        yield Keys(token, signing, agreement, mac, peer, _Bare(token.label, peer).operations())


class _Bare:
    """A session of our own; the login of the process holds for it too."""

    def __init__(self, label: str, peer: ec.EllipticCurvePublicKey) -> None:
        self._library = ctypes.CDLL(str(find_module()))
        self._session = _Number()
        self._call(
            "OpenSession", _Number(self._slot(label)), _Number(_SERIAL_SESSION), None, None, ctypes.byref(self._session)
        )
        self._point = peer.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def operations(self) -> dict[str, Callable[[], object]]:
        """Return a step for each mechanism, everything prepared that can be."""
        sign, agree, mac = (
            self._find(_PRIVATE_KEY, _SIGN),
            self._find(_PRIVATE_KEY, _AGREE),
            self._find(_SECRET_KEY, _MAC),
        )
        ecdsa, hmac = _Mechanism(_ECDSA, None, 0), _Mechanism(_HMAC, None, 0)
        digest, message, drawn = os.urandom(32), os.urandom(100), ctypes.create_string_buffer(32)
        return {
            "ECDSA": lambda: self._signed(ecdsa, sign, digest, 64),
            "SHA256_HMAC": lambda: self._signed(hmac, mac, message, 32),
            "ECDH1_DERIVE": self._deriving(agree),
            "RANDOM": lambda: self._call("GenerateRandom", self._session, drawn, _Number(32)),
        }

    def _signed(self, mechanism: _Mechanism, key: _Number, data: bytes, size: int) -> bytes:
        result, length = ctypes.create_string_buffer(size), _Number(size)
        self._call("SignInit", self._session, ctypes.byref(mechanism), key)
        self._call("Sign", self._session, data, _Number(len(data)), result, ctypes.byref(length))
        return result.raw

    def _deriving(self, key: _Number) -> Callable[[], object]:
        point = ctypes.create_string_buffer(self._point, len(self._point))
        parameter = _Ecdh(_KDF_NULL, 0, None, len(self._point), ctypes.cast(point, ctypes.c_void_p))
        mechanism = _Mechanism(_ECDH, ctypes.cast(ctypes.byref(parameter), ctypes.c_void_p), ctypes.sizeof(parameter))
        template = _template(
            {_CLASS: _SECRET_KEY, _KEY_TYPE: _GENERIC_SECRET, _VALUE_LEN: 32},
            {_TOKEN: False, _PRIVATE: True, _SENSITIVE: False, _EXTRACTABLE: True},
        )
        made, secret = _Number(), ctypes.create_string_buffer(32)
        value = (_Attribute * 1)(_Attribute(_VALUE, ctypes.cast(secret, ctypes.c_void_p), 32))

        def derive() -> bytes:
            self._call(
                "DeriveKey",
                self._session,
                ctypes.byref(mechanism),
                key,
                template,
                _Number(len(template)),
                ctypes.byref(made),
            )
            self._call("GetAttributeValue", self._session, made, value, _Number(1))
            self._call("DestroyObject", self._session, made)
            return secret.raw

        derive.kept = point, parameter  # type: ignore[attr-defined] # as long as the step is
        return derive

    def _find(self, kind: int, label: str) -> _Number:
        text, found, number = ctypes.create_string_buffer(label.encode(), len(label)), _Number(), _Number()
        template = _template({_CLASS: kind}, {}, _Attribute(_LABEL, ctypes.cast(text, ctypes.c_void_p), len(label)))
        self._call("FindObjectsInit", self._session, template, _Number(len(template)))
        self._call("FindObjects", self._session, ctypes.byref(found), _Number(1), ctypes.byref(number))
        self._call("FindObjectsFinal", self._session)
        return found

    def _slot(self, label: str) -> int:
        number = _Number()
        self._call("GetSlotList", ctypes.c_ubyte(1), None, ctypes.byref(number))
        slots = (_Number * number.value)()
        self._call("GetSlotList", ctypes.c_ubyte(1), slots, ctypes.byref(number))
        information = ctypes.create_string_buffer(512)
        for slot in slots:
            self._call("GetTokenInfo", _Number(slot), information)
            if information.raw[:32].decode().rstrip() == label:
                return int(slot)
        raise LookupError(label)

    def _call(self, name: str, *words: object) -> None:
        code = self._library[f"C_{name}"](*words)
        if code:
            raise RuntimeError(f"C_{name}: {code:#x}")


def _template(numbers: dict[int, int], flags: dict[int, bool], *others: _Attribute) -> "ctypes.Array[_Attribute]":
    kept: list[_Attribute] = [
        *(_attribute(name, _Number(value)) for name, value in numbers.items()),
        *(_attribute(name, ctypes.c_ubyte(value)) for name, value in flags.items()),
        *others,
    ]
    return (_Attribute * len(kept))(*kept)


def _attribute(name: int, value: ctypes.c_ulong | ctypes.c_ubyte) -> _Attribute:
    made = _Attribute(name, ctypes.cast(ctypes.pointer(value), ctypes.c_void_p), ctypes.sizeof(value))
    made.kept = value
    return made
