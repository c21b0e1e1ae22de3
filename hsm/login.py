"""One token's login in this process, and how it comes back after a loss.

A login belongs to the whole process, and closing the session that made it would log everyone out: so one session logs
in, stays, and does nothing else. A PIN that was refused is never tried again: tokens lock after a few.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Final

import pkcs11

from hsm import errors
from hsm.errors import translate_errors
from hsm.locks import login_lock
from hsm.module import Module, ModuleUser
from hsm.pin import Pin, PinProvider, can_ask_again
from hsm.raw import MAPPER, RawSession, RawToken
from hsm.uri import TokenUri

LOGIN_ATTEMPTS: Final = 3
_BETWEEN_ATTEMPTS: Final = timedelta(seconds=0.1)
# Looking for a lost token may restart the module under other tokens' users: not at every call.
_RENEWAL_INTERVAL: Final = timedelta(seconds=1)
_NO_LOGIN: Final = -1


class Login(ModuleUser):
    """Finds the token, asks for the PIN, logs in. `count` grows with each login, `generation` is the module's then."""

    def __init__(self, module: Module, uri: TokenUri, ask_pin: PinProvider, attempts: int = LOGIN_ATTEMPTS) -> None:
        """Log in for the first time; raises what `hsm.open_token` names."""
        self._module, self._uri, self._ask_pin = module, uri, ask_pin
        self._may_renew = can_ask_again(ask_pin)
        self._lost = False
        self._next_renewal = 0.0  # by the monotonic clock, in seconds
        self.count = 0
        self.generation = _NO_LOGIN
        self.token: RawToken
        self._session: RawSession
        self._establish(attempts)

    @property
    def is_current(self) -> bool:
        """Return whether sessions may be opened under this login, as far as is known without asking the token."""
        return not self._lost and self.generation == self._module.generation

    @property
    def survives_restart(self) -> bool:
        """Return whether there is no login to lose, or the PIN can be asked for again."""
        return self._lost or self._may_renew

    @property
    def may_be_renewed(self) -> bool:
        """Return whether it is time to look for a lost token again."""
        return time.monotonic() >= self._next_renewal

    def holds(self, token: RawToken) -> bool:
        """Return whether this is the login to the token."""
        return (self.token.label, self.token.serial) == (token.label, token.serial)

    def is_good(self) -> bool:
        """Ask the token whether the login still stands."""
        with self._module.call():
            return self.stands()

    def stands(self) -> bool:
        """Return whether the token is there and the login to it stands; inside `Module.call`."""
        if not self.is_current:
            return False
        try:
            with translate_errors("look at the login"):
                self._module.find(self._uri)  # SoftHSM calls a login good whose token is gone
                return self._module.cryptoki.is_logged_in(self._session.handle)
        except (errors.SessionLost, errors.TokenFailed, errors.TokenNotFound):
            return False

    def renew(self, attempts: int = LOGIN_ATTEMPTS) -> None:
        """Log in again after a loss, once; raises `PinIncorrect` at most once, else `TokenUnavailable`."""
        self._lost = True
        if not self._may_renew:
            raise errors.TokenUnavailable("The token was lost, and its PIN cannot be asked for again.")
        if not self.may_be_renewed:
            raise errors.TokenUnavailable("The token was lost; it is looked for again in a moment.")
        self._next_renewal = time.monotonic() + _RENEWAL_INTERVAL.total_seconds()
        try:
            self._establish(attempts)
        except errors.PinIncorrect:
            self._may_renew = False
            raise
        except errors.TokenBusy:
            raise
        except errors.HsmError as error:
            raise errors.TokenUnavailable(f"The token was lost and is not back: {error}") from error
        self._next_renewal = 0.0

    def again(self) -> None:
        """Log in because a person wants to, even if the PIN was refused before; raises as at the first login."""
        self._lost = True
        try:
            self._establish(LOGIN_ATTEMPTS)
        except errors.PinIncorrect:
            self._may_renew = False
            raise
        self._may_renew, self._next_renewal = can_ask_again(self._ask_pin), 0.0

    def log_out(self) -> None:
        """Log out and close the session, inside `Module.call`; nothing happens if the login is no longer there.

        The token stays this login's: nobody else in this process opens it meanwhile.
        """
        if self.generation == self._module.generation:
            with suppress(pkcs11.PKCS11Error):  # the token may be gone
                self._module.cryptoki.logout(self._session.handle)
            close(self._session)
        self._lost, self.generation = True, _NO_LOGIN

    def end(self) -> None:
        """Log out for good, inside `Module.call`."""
        self._module.users.discard(self)
        self.log_out()

    def _establish(self, attempts: int) -> None:
        """Find the token, ask for its PIN and log in.

        Another process that starts or logs in now may make the token vanish from this one, for a moment or until the module is
        restarted (SoftHSM 2.6.1): so restart it and try again, a little later. A refused PIN ends it at once.
        """
        pin: Pin | None = None
        for last in (False,) * (attempts - 1) + (True,):
            generation = self._module.generation
            try:
                with self._approach() as token:
                    refuse_risky_login(token.flags, token.label)
                pin = pin or self._ask_pin()  # a person may need a while: nobody waits for a turn or at the gate
                with self._approach() as token:
                    self._log_in(token, pin)
            except (errors.TokenNotFound, errors.SessionLost, errors.TokenFailed):
                if last or not self._module.restart(generation):
                    raise
                time.sleep(_BETWEEN_ATTEMPTS.total_seconds())
            else:
                return

    @contextmanager
    def _approach(self) -> Iterator[RawToken]:
        with login_lock(), self._module.call(), translate_errors("log in to the token"):
            token = self._module.find(self._uri)
            if any(user is not self and user.holds(token) for user in self._module.users):
                raise errors.TokenInUse(f"This process has the token {token.label!r} open already: share that Token.")
            yield token

    def _log_in(self, token: RawToken, pin: Pin) -> None:
        session = open_session(token)
        try:
            self._present(pin, session.handle)
        except BaseException:
            close(session)
            raise
        if self.generation == self._module.generation:
            close(self._session)
        self.token, self._session = token, session
        self.generation, self._lost = self._module.generation, False
        self.count += 1
        self._module.users.add(self)

    def _present(self, pin: Pin, session: int) -> None:
        try:
            self._module.cryptoki.login(session, pkcs11.UserType.USER, pin.reveal())
        except pkcs11.UserAlreadyLoggedIn:
            # Left over from a Token that was dropped unclosed: this PIN has not been checked yet.
            self._module.cryptoki.logout(session)
            self._module.cryptoki.login(session, pkcs11.UserType.USER, pin.reveal())


def refuse_risky_login(flags: int, label: str) -> None:
    """Raise `PinLocked` or `PinFinalTry` if the token says that a login is no use or may be the last."""
    if flags & pkcs11.TokenFlag.USER_PIN_LOCKED:
        raise errors.PinLocked(f"The PIN of the token {label!r} is locked.")
    if flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY:
        raise errors.PinFinalTry(f"The token {label!r} allows one more try: log in by its maker's tool first.")


def open_session(token: RawToken, *, writable: bool = False) -> RawSession:
    """Open a session without a PIN; a writable one, too, where a token opens no other."""
    try:
        return token.open(rw=writable, attribute_mapper=MAPPER)
    except pkcs11.FunctionFailed:  # AWS CloudHSM guide, Known issues for PKCS#11: a session without CKF_RW_SESSION
        if writable:
            raise
        return token.open(rw=True, attribute_mapper=MAPPER)


def close(session: RawSession) -> None:
    """Close a session that was opened without a PIN; it may be dead already."""
    with suppress(pkcs11.PKCS11Error):
        session.close()
