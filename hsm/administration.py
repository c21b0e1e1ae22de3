"""What a token's officer does: initialise it, and change its PINs. Each PIN is presented once."""

from contextlib import suppress
from pathlib import Path

import pkcs11

from hsm import errors, module
from hsm.border import crossing
from hsm.labels import MAX_TOKEN_LABEL_BYTES, checked_label
from hsm.login import close, refuse_risky_login
from hsm.pin import Pin
from hsm.raw import RawToken
from hsm.turns import turn
from hsm.uri import TokenUri


def initialise_token(
    module_path: Path, label: str, *, pin: Pin, so_pin: Pin, serial: str | None = None, erase: bool = False
) -> TokenUri:
    """Initialise a blank token (C_InitToken, C_InitPIN) and give its URI.

    Without a serial number it is the module's first blank token. A token that was initialised before is made anew only
    with `erase`, under its own security officer's PIN: everything on it is gone then. Raises `TokenNotFound`,
    `TokenExists`, `LabelInvalid`, `PinUnacceptable`, `PinIncorrect`, `PinLocked`.
    """
    checked_label(label, max_bytes=MAX_TOKEN_LABEL_BYTES)
    loaded = module.load(module_path)
    with turn(), loaded.call(), crossing("initialise the token"):
        token = loaded.blank_token() if serial is None else _of_serial(loaded, serial)
        _require_erasable(loaded, token, label, erase=erase)
        # Before anything is erased: a token without its user's PIN would be left.
        _require_lengths(loaded, token, so_pin, pin)
        loaded.cryptoki.init_token(token.slot.slot_id, so_pin.reveal(), label)
        made = token.slot.get_token()
        set_first_pin(loaded, made, pin, so_pin)
    return TokenUri(module_path=module_path, token=label, serial=module.serial_of(made) or None)


def set_first_pin(loaded: module.Module, token: RawToken, pin: Pin, so_pin: Pin) -> None:
    """Set the user's PIN of a token that was just initialised, inside `Module.call`."""
    session = token.open(rw=True)
    try:
        loaded.cryptoki.login(session.handle, pkcs11.UserType.SO, so_pin.reveal())
        loaded.cryptoki.init_pin(session.handle, pin.reveal())
    finally:
        with suppress(pkcs11.PKCS11Error):  # its last session ends the login too (PKCS #11 v3.0, section 5.6.2)
            loaded.cryptoki.logout(session.handle)
        close(session)


def change_user_pin(uri: TokenUri, *, old: Pin, new: Pin) -> None:
    """Change the user's PIN of a token that this process has not opened, with one attempt.

    Raises `TokenNotFound`, `AmbiguousToken`, `PinUnacceptable`, `PinIncorrect`, `PinLocked`, `PinFinalTry`.
    """
    loaded = module.load(uri.module_path)
    with turn(), loaded.call(), crossing("change the PIN"):
        token = loaded.find(uri)
        refuse_risky_login(token.flags, token.label)
        _require_lengths(loaded, token, new)
        session = token.open(rw=True)
        try:
            loaded.cryptoki.set_pin(session.handle, old.reveal(), new.reveal())
        finally:
            close(session)


def _of_serial(loaded: module.Module, serial: str) -> RawToken:
    matching = [token for token in loaded.in_slots() if module.serial_of(token) == serial]
    if len(matching) != 1:
        raise errors.TokenNotFound(f"The module has {len(matching)} tokens of serial number {serial}.")
    return matching[0]


def _require_erasable(loaded: module.Module, token: RawToken, label: str, *, erase: bool) -> None:
    if token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
        if not erase:
            raise errors.TokenExists(f"The token {token.label!r} is initialised already; erasing has to be asked for.")
        if token.flags & pkcs11.TokenFlag.SO_PIN_LOCKED:
            raise errors.PinLocked(f"The security officer's PIN of the token {token.label!r} is locked.")
    others = (other for other in loaded.tokens() if other.slot.slot_id != token.slot.slot_id)
    if any(other.label == label for other in others):
        raise errors.TokenExists(f"A token {label!r} exists already.")


def _require_lengths(loaded: module.Module, token: RawToken, *pins: Pin) -> None:
    fewest, most = loaded.cryptoki.pin_lengths(token.slot.slot_id)
    for pin in pins:
        size_bytes = len(pin.reveal().encode())
        if size_bytes < fewest or (most is not None and size_bytes > most):
            raise errors.PinUnacceptable(f"The token takes PINs of {fewest} to {most or 'any number of'} bytes.")
