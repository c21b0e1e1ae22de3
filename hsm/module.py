"""A PKCS#11 module, loaded once per process and safe under threads.

Three things can kill a process or lose a token here, each measured on SoftHSM 2.6.1 (docs/adr/0003-pkcs11.md):

- calls from two threads, because python-pkcs11 says C_Initialize(NULL): the module is initialised again with locking;
- C_Finalize while another thread is inside: calls pass a gate that `restart` shuts;
- processes that start together, because each login rewrites the token's file: they take turns by a file lock.

After a fork nothing of the parent's is used: PKCS#11 leaves a child with an uninitialised module.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import Final, cast
from weakref import WeakSet

import pkcs11

from hsm import errors
from hsm.cryptoki import Cryptoki
from hsm.errors import translate_errors
from hsm.locks import Gate, login_lock
from hsm.raw import RawToken
from hsm.uri import TokenUri

# A slot that is empty, or whose token is broken: it must not hide the others.
_ABSENT: Final = (pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised, pkcs11.DeviceError, pkcs11.GeneralError)


class Module:
    """One loaded module. `generation` grows with every initialisation: sessions of an older one are dead."""

    def __init__(self, path: Path) -> None:
        """Load and initialise; raises `ModuleUnusable`."""
        self.path = path
        self.generation = 0
        self._start_over()
        try:
            with login_lock(), translate_errors(f"load {path}"):
                self._library = pkcs11.lib(str(path))
                self._library.finalize()
                self.cryptoki = Cryptoki(path)
                self.cryptoki.initialize()
        except (OSError, AttributeError, errors.TokenFailed) as error:
            raise errors.ModuleUnusable(f"{path} is no PKCS#11 module that can be used here.") from error

    def _start_over(self) -> None:
        """Forget locks and users that belong to a parent process."""
        self.pid = os.getpid()
        self.users: WeakSet[ModuleUser] = WeakSet()
        self._gate = Gate()

    def enter_child(self) -> None:
        """Initialise anew in a process that was forked from the one that loaded the module."""
        self._start_over()
        with login_lock():
            self._initialize_again()

    def call(self) -> AbstractContextManager[None]:
        """Hold the gate open for a call: every one happens inside. Raises `TokenBusy` if a restart keeps it shut for long."""
        return self._gate

    def restart(self, seen_generation: int) -> bool:
        """Initialise again unless another thread has since `seen_generation`; every login through the module is lost.

        Returns False, with nothing done, if someone in this process could not log in again.
        """
        with login_lock(), self._gate.shut():
            if not all(user.survives_restart for user in self.users):
                return False
            if self.generation == seen_generation:
                self._initialize_again()
            return True

    def _initialize_again(self) -> None:
        with translate_errors("restart the module"):
            self.cryptoki.finalize()
            self.cryptoki.initialize()
        self.generation += 1

    @property
    def description(self) -> str:
        """Return the library's words for itself (C_GetInfo)."""
        return self._library.library_description

    def tokens(self) -> list[RawToken]:
        """Return every initialised token present, with its flags as they are now."""
        return [token for token in self.in_slots() if token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED]

    def blank_token(self) -> RawToken:
        """Return a token that nobody has initialised; raises `TokenNotFound`."""
        for token in self.in_slots():
            if not token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
                return token
        raise errors.TokenNotFound("The module has no uninitialised token.")

    def find(self, uri: TokenUri) -> RawToken:
        """Return the one token that the URI names; raises `TokenNotFound` or `AmbiguousToken`."""
        matching = [token for token in self.tokens() if _matches(uri, token)]
        if not matching:
            raise errors.TokenNotFound(f"No token matches {uri}.")
        if len(matching) > 1:
            raise errors.AmbiguousToken(f"{len(matching)} tokens match {uri}: name the serial number too.")
        return matching[0]

    def in_slots(self) -> Iterator[RawToken]:
        """Return every token present, initialised or not."""
        with translate_errors("list the tokens"):
            for slot in self._library.get_slots():
                try:
                    yield cast("RawToken", slot.get_token())
                except _ABSENT:
                    continue


class ModuleUser:
    """Whoever holds a login through a module; `Module.users` changes inside `Module.call` alone."""

    @property
    def survives_restart(self) -> bool:
        """Return whether the user has no login now, or could log in again after a restart."""
        raise NotImplementedError

    def holds(self, token: RawToken) -> bool:
        """Return whether the login is to this token."""
        raise NotImplementedError


def _matches(uri: TokenUri, token: RawToken) -> bool:
    wanted = (
        (uri.token, token.label),
        (uri.serial, serial_of(token)),
        (uri.manufacturer, token.manufacturer_id),
        (uri.model, token.model),
    )
    return all(expected is None or expected == actual for expected, actual in wanted)


def serial_of(token: RawToken) -> str:
    """Return the serial number, which PKCS#11 gives as blank-padded ASCII."""
    return token.serial.decode("ascii", "replace").strip()


class _Loaded:
    """The modules of this process by their real path."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.modules: dict[Path, Module] = {}

    def forget_lock(self) -> None:
        self.lock = Lock()


_loaded: Final = _Loaded()
os.register_at_fork(after_in_child=_loaded.forget_lock)


def load(path: Path) -> Module:
    """Return the module at an absolute path, loading it once per process; raises `ModuleNotFound`, `ModuleUnusable`."""
    if not path.is_absolute() or not path.is_file():
        raise errors.ModuleNotFound(f"There is no PKCS#11 module at {path}: give an absolute path.")
    real = path.resolve()
    with _loaded.lock:
        module = _loaded.modules.get(real)
        if module is None:
            module = _loaded.modules[real] = Module(real)
        elif module.pid != os.getpid():
            module.enter_child()
        return module


def is_loaded(path: Path) -> bool:
    """Return whether this process has loaded the module at the path."""
    return path.resolve() in _loaded.modules
