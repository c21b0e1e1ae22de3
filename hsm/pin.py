"""PINs: where they come from, and how they stay out of logs.

A PIN reaches a token through a `PinProvider`, a function that is asked once per login. It never comes by argument
vector or environment. Python cannot wipe a string, so a `Pin` is asked for late and dropped early.
"""

import os
import stat
from collections.abc import Callable
from getpass import getpass
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

import safefiles
from hsm.errors import PinUnavailable

_MAX_PIN_BYTES: Final = 255


class Pin:
    """A PIN that shows its length alone, however it is printed, and cannot be pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Raise `PinUnavailable` if the value is empty or longer than any token takes."""
        if not 0 < len(value.encode()) <= _MAX_PIN_BYTES:
            raise PinUnavailable(f"A PIN has 1 to {_MAX_PIN_BYTES} bytes.")
        self._value = value

    def reveal(self) -> str:
        """Return the PIN itself, for the call that hands it to the token."""
        return self._value

    def __repr__(self) -> str:
        """Show the length, nothing else; `str()` gives the same."""
        return f"<Pin of {len(self._value)} characters>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied into another process."""
        raise TypeError("A PIN is not pickled.")


PinProvider = Callable[[], Pin]


def can_ask_again(provider: PinProvider) -> bool:
    """Return whether a provider can give its PIN a second time, for a login after the token was lost."""
    return not isinstance(provider, _PinFromDescriptor)


def pin_from_value(value: str) -> PinProvider:
    """Return a PIN that was derived in memory (from a biometric, say)."""
    pin = Pin(value)
    return lambda: pin


def pin_from_prompt(label: str) -> PinProvider:
    """Ask the person at the terminal, without echo, for the PIN of the token of this label.

    The provider raises `PinUnavailable` where nobody answers.
    """

    def ask() -> Pin:
        try:
            return Pin(getpass(f"PIN of {label}: "))
        except EOFError:
            raise PinUnavailable("Nobody typed a PIN.") from None

    return ask


def pin_from_file(path: Path | str) -> PinProvider:
    """Read the PIN from a file at each login; one line end after it is not part of it.

    The provider raises `PinUnavailable` unless the file is a regular one of ours (or root's) that nobody else may read.
    """
    return lambda: _read_private_file(Path(path))


def pin_from_credential(path: Path | str) -> PinProvider:
    """Read the PIN from a credential that systemd placed in the service's own directory (systemd.exec(5), LoadCredential).

    The directory is the service's alone; the file's mode may be 0440, for an access list lets the service's user read it.
    """
    return lambda: _read_private_file(Path(path), others=stat.S_IRGRP)


def pin_from_fd(descriptor: int) -> PinProvider:
    """Read the PIN from an inherited file descriptor, once, and close it; a second login needs another provider."""
    return _PinFromDescriptor(descriptor)


class _PinFromDescriptor:
    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def __call__(self) -> Pin:
        if self._descriptor is None:
            raise PinUnavailable("The PIN's file descriptor has been read already.")
        descriptor, self._descriptor = self._descriptor, None
        try:
            file = os.fdopen(descriptor, "rb")
        except OSError as error:
            raise PinUnavailable(f"The PIN cannot be read: {error.strerror}.") from error
        return _read(file)


def _read_private_file(path: Path, others: int = 0) -> Pin:
    try:
        file = safefiles.open_private(path, others=others, follow=True, of_root=True)
    except safefiles.NotPrivate as error:
        raise PinUnavailable(
            f"The PIN file {path} has to be a regular file of yours with mode 0600 or 0400."
        ) from error
    except OSError as error:
        raise PinUnavailable(f"The PIN file {path} cannot be read: {error.strerror}.") from error
    return _read(file)


def _read(file: BinaryIO) -> Pin:
    """Read to the end of the file and close it."""
    try:
        with file:
            content = file.read(_MAX_PIN_BYTES + 3)
        return Pin(content.decode().removesuffix("\n").removesuffix("\r"))
    except OSError as error:
        raise PinUnavailable(f"The PIN cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise PinUnavailable("The PIN is not UTF-8 text.") from None  # the cause would show its bytes
