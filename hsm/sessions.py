"""The sessions of one token in this process: a bounded pool under one login.

Sessions of the pool are opened without a PIN (`hsm.login` holds the login). When a session, a handle or the login is
lost (module restarted, token taken out, logged out by someone else), the work is done again, once, on what could be
re-established.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from pkcs11 import Attribute, ObjectClass, PKCS11Error

from hsm import errors
from hsm.cryptoki import Cryptoki, SessionCounts
from hsm.errors import translate_errors
from hsm.locks import Permits
from hsm.login import LOGIN_ATTEMPTS, Login, close, open_session
from hsm.metrics import MANAGEMENT, Meter, TokenMetrics
from hsm.module import Module
from hsm.policy import VERIFIED_ATTRIBUTES, KeyPolicy
from hsm.quirks import Quirks
from hsm.raw import AttributeValue, RawKey, RawSession, template

if TYPE_CHECKING:
    from hsm.agreement import Way

_Result = TypeVar("_Result")
# After these the session is as good as before; after anything else it is closed.
_HARMLESS: Final = (
    errors.KeyAmbiguous,
    errors.KeyExists,
    errors.KeyNotFound,
    errors.KeyPolicyViolation,
    errors.MechanismMissing,
)


@dataclass
class KnownWays:
    """The ways of agreement that a token was found to have (`hsm.agreement`); none before they were tried."""

    found: "tuple[Way, ...]" = ()


@dataclass
class Session:
    """A session on loan to one thread, and the key handles that were looked up in it."""

    raw: RawSession
    cryptoki: Cryptoki
    login: Login
    quirks: Quirks
    ways: KnownWays
    epoch: tuple[int, int]
    generation: int
    _keys: dict[str, tuple[KeyPolicy, RawKey]] = field(default_factory=dict)

    def random(self, size_bytes: int) -> bytes:
        """Return bytes from the token's generator."""
        return self.cryptoki.random(self.raw.handle, size_bytes)

    def search(self, attributes: dict[Attribute, AttributeValue]) -> list[RawKey]:
        """Return all objects with these attributes.

        Raises `SessionLost` if nobody is logged in: a token then hides its private objects as if they weren't there. One
        that was taken away reads as empty (SoftHSM), so nothing is believed to be missing before the token was seen.
        """
        if not self.cryptoki.is_logged_in(self.raw.handle):
            raise errors.SessionLost("The token's login was lost.")
        found = list(self.raw.get_objects(template(attributes)))
        if not found and not self.login.stands():
            raise errors.SessionLost("The token went away.")
        return found

    def key(self, label: str, policy: KeyPolicy) -> RawKey:
        """Return the private or secret key, looked up and checked against its policy once per session.

        Raises `KeyNotFound`, `KeyAmbiguous` or `KeyPolicyViolation`.
        """
        known = self._keys.get(label)
        if known is not None and (known[0] is policy or known[0] == policy):
            return known[1]
        key = self.one(policy.kind.object_class, label)
        policy.verify(label, self.quirks.as_standard(key.get_attributes(VERIFIED_ATTRIBUTES)))
        self._keys[label] = policy, key
        return key

    def attempt(self, work: Callable[[], _Result], doing: str) -> _Result | errors.HsmError:
        """Do something that not every token offers: its result, or the token's refusal; raises if the token went away."""
        try:
            with translate_errors(doing):
                return work()
        except errors.MechanismMissing as error:
            return error
        except errors.TokenFailed as error:
            if not self.login.stands():  # not every token has a word for a lost login
                raise
            return error

    def one(self, object_class: ObjectClass, label: str) -> RawKey:
        """Return the only object of this class and label; raises `KeyNotFound` or `KeyAmbiguous`."""
        found = self.search({Attribute.CLASS: object_class, Attribute.LABEL: label})
        if not found:
            raise errors.KeyNotFound(f"The token holds no {object_class.name.lower()} {label!r}.")
        if len(found) > 1:
            raise errors.KeyAmbiguous(f"The token holds {len(found)} objects {object_class.name.lower()} {label!r}.")
        return found[0]


def session_limits(configured: int, counts: SessionCounts) -> tuple[int, int]:
    """Return how many sessions the pool may have open, and how many of them writable: what was asked for, what the token allows.

    One of the token's sessions is the login's, which is not writable. A token that allows a single session gets a pool of
    one all the same: its refusal says more than ours could.
    """
    most = configured if counts.most is None else max(1, min(configured, counts.most - 1))
    return most, most if counts.most_writable is None else min(most, counts.most_writable)


class Lending(Protocol):
    """Whoever lends sessions to keys: one token's `Sessions`, or those of several that hold the same keys (`hsm.group`)."""

    @property
    def ways(self) -> KnownWays:
        """Return the ways of agreement that are known of the token to which the next session leads."""
        ...

    def run(
        self,
        work: Callable[[Session], _Result],
        *,
        doing: str,
        mechanism: str = MANAGEMENT,
        writable: bool = False,
    ) -> _Result:
        """Do some work in a session."""
        ...

    def probe(self) -> bool:
        """Return whether the token answers."""
        ...

    def metrics(self) -> TokenMetrics:
        """Return what was counted so far."""
        ...

    def watch(self, label: str, policy: KeyPolicy) -> None:
        """Take note of a key that was opened."""
        ...

    def forget(self, label: str) -> None:
        """Take note of a key that was destroyed."""
        ...

    def log_out(self) -> None:
        """Give all sessions back and log out; the next use logs in again."""
        ...

    def log_in(self) -> None:
        """Log in because a person wants to."""
        ...

    def close(self) -> None:
        """Give all sessions back."""
        ...


class Sessions:
    """At most `size` sessions open at a time, fewer if the token allows fewer; one more waits at most `wait`."""

    def __init__(self, module: Module, login: Login, quirks: Quirks, *, size: int, wait: timedelta) -> None:
        """Prepare an empty pool."""
        self._module, self._login, self._quirks = module, login, quirks
        self.ways = KnownWays()
        self._wait_seconds = wait.total_seconds()
        self._size, writable = session_limits(size, _counts(module, login))
        self._permits = Permits(self._size)
        self._writable_permits = Permits(writable)
        self._meter = Meter()
        self._idle: list[Session] = []
        self._changing = Lock()
        self._pid = os.getpid()
        self._closed = False
        self._forgotten = 0
        self._canary: tuple[ObjectClass, str] | None = None

    def run(
        self,
        work: Callable[[Session], _Result],
        *,
        doing: str,
        mechanism: str = MANAGEMENT,
        writable: bool = False,
    ) -> _Result:
        """Do some work in a session, a second time if the token was lost and found again meanwhile.

        `doing` completes "Could not ..." in errors; `mechanism` is what the metrics count it as. Raises `TokenBusy` when
        no session comes free in time, `TokenUnavailable` when the token cannot be brought back, `TokenClosed` after `close`.
        """
        with self._meter.operation(mechanism):
            epoch = self._epoch
            try:
                return self._once(work, doing, writable=writable)
            except errors.SessionLost:
                self._meter.recovering()
                self._reestablish(epoch)
            return self._lend(work, doing, writable=writable)

    def try_once(
        self,
        work: Callable[[Session], _Result],
        *,
        doing: str,
        mechanism: str = MANAGEMENT,
        writable: bool = False,
    ) -> _Result:
        """Do some work as `run` does, but raise `SessionLost` at once if the token was lost: another may do it (`hsm.group`)."""
        with self._meter.operation(mechanism):
            return self._once(work, doing, writable=writable)

    @property
    def may_be_looked_for(self) -> bool:
        """Return whether `come_back` would look for the token now, or it was just looked for in vain."""
        return self._login.may_be_renewed

    def answers(self) -> bool:
        """Return whether the login stands; raises nothing."""
        try:
            return self._login.is_good()
        except errors.HsmError:
            return False

    def come_back(self, attempts: int) -> None:
        """Look for what was lost; each attempt behind the first restarts the module. Raises what `Login.renew` raises."""
        self._meter.recovering()
        self._reestablish(self._epoch, attempts)

    def _once(self, work: Callable[[Session], _Result], doing: str, *, writable: bool) -> _Result:
        try:
            return self._lend(work, doing, writable=writable)
        except errors.TokenFailed as error:
            # Not every token has a word for a lost login: NSS says CKR_HOST_MEMORY.
            if self._login.is_good():
                raise
            raise errors.SessionLost(f"Could not {doing}: the token's login was lost.") from error

    def look(self, session: Session) -> bytes:
        """Find that the token is there, logged in and answering, and holds the first key that was opened; raises otherwise."""
        if not session.login.stands():
            raise errors.SessionLost("The token or its login went away.")
        if self._canary is not None:  # a token that another program initialised anew seems to be there (SoftHSM)
            session.one(*self._canary)
        return session.random(1)

    def probe(self) -> bool:
        """Return whether the token is there, logged in and answering, looking for it again if it was lost."""
        try:
            self.run(self.look, doing="probe the token", mechanism="RANDOM")
        except errors.TokenBusy:
            return self.answers()
        except errors.HsmError:
            return False
        return True

    def metrics(self) -> TokenMetrics:
        """Return what was counted so far."""
        in_use = self._size - self._permits.free
        return self._meter.snapshot(in_use=in_use, idle=len(self._idle), limit=self._size, logins=self._login.count)

    def watch(self, label: str, policy: KeyPolicy) -> None:
        """Have `probe` look for this key too, unless it looks for another: the first that was opened."""
        with self._changing:
            self._canary = self._canary or (policy.kind.object_class, label)

    def forget(self, label: str) -> None:
        """Look every key up again before its next use, because this one was destroyed and a token may reuse its handle."""
        with self._changing:
            self._forgotten += 1
            if self._canary is not None and self._canary[1] == label:
                self._canary = None

    def log_out(self) -> None:
        """Wait for sessions on loan, then close all and log out; the next use logs in again, and asks for the PIN."""
        with self._changing:
            self._check_usable()
            self._end(self._login.log_out)

    def log_in(self) -> None:
        """Log in, unless the login stands, even if the PIN was refused before; raises as at the first login."""
        with self._changing:
            self._check_usable()
            if not self._login.is_good():
                self._login.again()

    def close(self) -> None:
        """Wait for sessions on loan, then log out and close all; a second call does nothing."""
        with self._changing:
            if self._closed or self._pid != os.getpid():
                return
            self._closed = True
        self._end(self._login.end)

    def _end(self, end_login: Callable[[], None]) -> None:
        held = [self._permits.wait(self._wait_seconds) for _ in range(self._size)]
        try:
            with self._module.call():
                while self._idle:
                    self._discard(self._idle.pop())
                end_login()
        finally:
            for _ in range(sum(held)):
                self._permits.release()

    @property
    def _epoch(self) -> tuple[int, int]:
        """Return what changes when handles from before are no longer good."""
        return self._login.count, self._forgotten

    def _lend(self, work: Callable[[Session], _Result], doing: str, *, writable: bool) -> _Result:
        """Wait for a session, do the work in it inside the module's gate, and give it back."""
        self._check_usable()
        if writable:
            self._wait_for(self._writable_permits, doing)
        try:
            self._wait_for(self._permits, doing)
            try:
                with self._module.call():
                    return self._work(work, doing, writable=writable)
            finally:
                self._permits.release()
        finally:
            if writable:
                self._writable_permits.release()

    def _wait_for(self, permits: Permits, doing: str) -> None:
        if permits.take():
            return
        with self._meter.waiting():
            taken = permits.wait(self._wait_seconds)
        if not taken:
            raise errors.TokenBusy(f"Could not {doing}: no session of the token came free in time.")

    def _check_usable(self) -> None:
        if self._pid != os.getpid():
            raise errors.TokenUnavailable("The token was opened before this process was forked: open it again here.")
        if self._closed:
            raise errors.TokenClosed("The token was closed.")

    def _take(self, *, writable: bool) -> Session:
        if not self._login.is_current:
            raise errors.SessionLost("The token's login was lost.")
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                session = self._idle.pop()
                if session.epoch == self._epoch and not writable:
                    return session
                self._discard(session)
                if writable:
                    break  # the writable one takes the place of this one
        epoch, generation = self._epoch, self._login.generation
        raw = open_session(self._login.token, writable=writable or not self._quirks.derives_read_only)
        return Session(raw, self._module.cryptoki, self._login, self._quirks, self.ways, epoch, generation)

    def _work(self, work: Callable[[Session], _Result], doing: str, *, writable: bool) -> _Result:
        """Do the work; put its session back, or close it if it was writable or the work left it in doubt."""
        with translate_errors(doing):
            session = self._take(writable=writable)
        sound = False
        try:
            with translate_errors(doing):
                result = work(session)
            sound = True
        except _HARMLESS:
            sound = True
            raise
        finally:
            if sound and not writable:
                self._idle.append(session)
            else:
                self._discard(session)
        return result

    def _discard(self, session: Session) -> None:
        # Handle numbers start again after a restart: an old one may be someone else's new one, not ours to close.
        if session.generation == self._module.generation:
            close(session.raw)

    def _reestablish(self, epoch: tuple[int, int], attempts: int = LOGIN_ATTEMPTS) -> None:
        """Make sessions and handles good again, unless another thread has since `epoch`."""
        with self._changing:
            self._check_usable()
            if epoch != self._epoch:
                return
            if self._login.is_good():
                self._forgotten += 1  # so a session or a handle was not
            else:
                self._login.renew(attempts)


def _counts(module: Module, login: Login) -> SessionCounts:
    """Ask for the token's bounds; one that fails to say sets none, and refuses a session too many itself."""
    try:
        with module.call():
            return module.cryptoki.session_counts(login.token.slot.slot_id)
    except (PKCS11Error, errors.TokenBusy):
        return SessionCounts()
