"""What is plugged in: modules, their tokens and the state of the PINs' counters. No PIN is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pkcs11 import PKCS11Error, TokenFlag

from hsm import errors, module
from hsm.cryptoki import SessionCounts
from hsm.errors import translate_errors
from hsm.raw import RawToken
from hsm.softhsm import find_module

# Where Debian, Fedora and the vendors' own packages put them.
_KNOWN: Final = (
    "/usr/lib/x86_64-linux-gnu/libykcs11.so",
    "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so",
    "/usr/lib/x86_64-linux-gnu/pkcs11/opensc-pkcs11.so",
    "/usr/lib/x86_64-linux-gnu/libtpm2_pkcs11.so.1",
    "/usr/lib/x86_64-linux-gnu/pkcs11/yubihsm_pkcs11.so",
    "/usr/lib64/libykcs11.so",
    "/usr/lib64/opensc-pkcs11.so",
    "/usr/lib64/pkcs11/libtpm2_pkcs11.so",
    "/usr/lib64/pkcs11/libkryoptic_pkcs11.so",
    "/usr/lib64/pkcs11/yubihsm_pkcs11.so",
    "/usr/lib/opencryptoki/libopencryptoki.so",
    "/usr/lib64/opencryptoki/libopencryptoki.so",
    "/usr/safenet/lunaclient/lib/libCryptoki2_64.so",
    "/opt/nfast/toolkits/pkcs11/libcknfast.so",
)
# PKCS#11 3.0, section 3.2: each is a warning about a PIN, in the order in which it matters.
_PIN_STATES: Final = (
    (TokenFlag.USER_PIN_LOCKED, "USER_PIN_LOCKED"),
    (TokenFlag.USER_PIN_FINAL_TRY, "USER_PIN_FINAL_TRY"),
    (TokenFlag.USER_PIN_COUNT_LOW, "USER_PIN_COUNT_LOW"),
    (TokenFlag.USER_PIN_TO_BE_CHANGED, "USER_PIN_TO_BE_CHANGED"),
    (TokenFlag.SO_PIN_LOCKED, "SO_PIN_LOCKED"),
    (TokenFlag.SO_PIN_FINAL_TRY, "SO_PIN_FINAL_TRY"),
    (TokenFlag.SO_PIN_COUNT_LOW, "SO_PIN_COUNT_LOW"),
    (TokenFlag.SO_PIN_TO_BE_CHANGED, "SO_PIN_TO_BE_CHANGED"),
)


@dataclass(frozen=True)
class FoundToken:
    """One token in a slot. `pin_states` names the flags of CK_TOKEN_INFO that warn of a PIN, without CKF_."""

    slot: int
    label: str
    serial: str
    manufacturer: str
    model: str
    firmware: str
    is_initialised: bool
    has_user_pin: bool
    pin_states: tuple[str, ...]
    sessions: SessionCounts


def known_modules() -> list[Path]:
    """Return the modules that are installed where we know to look, SoftHSM's among them."""
    try:
        ours = [find_module()]
    except errors.ModuleNotFound:
        ours = []
    return ours + [path for path in map(Path, _KNOWN) if path.is_file()]


def tokens_of(path: Path) -> list[FoundToken]:
    """Return every token of a module, initialised or not. Raises `ModuleNotFound`, `ModuleUnusable`, `TokenFailed`."""
    loaded = module.load(path)
    with loaded.call(), translate_errors("list the tokens"):
        return [_found(loaded, token) for token in loaded.in_slots()]


def pin_states(flags: int) -> tuple[str, ...]:
    """Name the flags that warn of a PIN's state."""
    return tuple(name for flag, name in _PIN_STATES if flags & flag)


def _found(loaded: module.Module, token: RawToken) -> FoundToken:
    is_initialised = bool(token.flags & TokenFlag.TOKEN_INITIALIZED)
    return FoundToken(
        slot=token.slot.slot_id,
        label=token.label,
        serial=module.serial_of(token),
        manufacturer=token.manufacturer_id,
        model=token.model,
        firmware=".".join(map(str, token.firmware_version)),
        is_initialised=is_initialised,
        has_user_pin=bool(token.flags & TokenFlag.USER_PIN_INITIALIZED),
        pin_states=pin_states(token.flags) if is_initialised else (),  # a blank SoftHSM token calls its SO PIN locked
        sessions=_sessions(loaded, token),
    )


def _sessions(loaded: module.Module, token: RawToken) -> SessionCounts:
    try:
        return loaded.cryptoki.session_counts(token.slot.slot_id)
    except PKCS11Error:  # it was pulled between two questions: the rest of the list still stands
        return SessionCounts()
