"""How one browser of one person comes in: a ticket in a private file, then a cookie, until nobody has been there for a while.

The browser is given the path of a file, never the ticket: every local user can read a command's arguments. The ticket is good
once and for a minute, so that the browser's history is worth nothing. The cookie belongs to this run's own host name, and
ends with the lock.
"""

import hmac
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import Final

import safefiles
from federation.pages.errors import FormForged, Locked, NotEntered, TicketInvalid

TICKET_LIFE: Final = timedelta(seconds=60)
LOCK_AFTER: Final = timedelta(minutes=10)
OPEN_FILE: Final = "open.html"

_SECRET_BYTES: Final = 32
_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Opening</title><meta http-equiv="refresh" content="0;url={address}">
<p><a href="{address}">Go on to the page</a></p></html>
"""


def clock() -> float:
    """Return seconds that go on while the computer sleeps, where it can tell them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Entrance:
    """Ticket, cookie and lock of one run. Safe to share between threads."""

    def __init__(self, *, lock_after: timedelta = LOCK_AFTER, now: Callable[[], float] = clock) -> None:
        """Begin locked to everybody: the first ticket opens it."""
        self._lock_after, self._now = lock_after.total_seconds(), now
        self._changing = Lock()
        self._ticket: tuple[str, float] | None = None
        self._cookie: str | None = None
        self._form_key = secrets.token_bytes(_SECRET_BYTES)
        self._last_seen = now()
        self._is_locked = False

    def new_ticket(self) -> str:
        """Return a ticket, in place of the one before, and unlock."""
        with self._changing:
            ticket = secrets.token_urlsafe(_SECRET_BYTES)
            self._ticket = ticket, self._now() + TICKET_LIFE.total_seconds()
            self._is_locked, self._last_seen = False, self._now()
            return ticket

    def enter(self, ticket: str) -> str:
        """Take the ticket and return a cookie's value; the cookie before is void. Raises TicketInvalid."""
        with self._changing:
            if self._ticket is None or self._is_locked:
                raise TicketInvalid
            expected, until = self._ticket
            if not hmac.compare_digest(ticket.encode(), expected.encode()):
                raise TicketInvalid
            self._ticket = None
            if self._now() > until:
                raise TicketInvalid
            self._cookie, self._last_seen = secrets.token_urlsafe(_SECRET_BYTES), self._now()
            return self._cookie

    def require(self, cookie: str) -> None:
        """Require the cookie of whoever was let in last. Raises Locked, NotEntered."""
        with self._changing:
            if self._is_locked or self._idle_seconds > self._lock_after:
                raise Locked
            if self._cookie is None or not hmac.compare_digest(cookie.encode(), self._cookie.encode()):
                raise NotEntered

    def awake(self) -> None:
        """Note that a person did something."""
        self._last_seen = self._now()

    @property
    def is_due(self) -> bool:
        """Return whether nobody has been there for so long that it has to be locked."""
        return not self._is_locked and self._idle_seconds > self._lock_after

    @property
    def is_locked(self) -> bool:
        """Return whether it was locked, by whomever."""
        return self._is_locked

    def lock(self) -> None:
        """Make the cookie void, the ticket, and what forms prove."""
        with self._changing:
            self._is_locked, self._cookie, self._ticket = True, None, None
            self._form_key = secrets.token_bytes(_SECRET_BYTES)

    def form_proof(self, seen: int) -> str:
        """Return what a form carries that the page of the state `seen` holds."""
        return hmac.digest(self._form_key, seen.to_bytes(8), "sha256").hex()

    def require_form_proof(self, seen: int, proof: str) -> None:
        """Require that a form is from the page that showed the state `seen`. Raises FormForged."""
        if not hmac.compare_digest(proof.encode(), self.form_proof(seen).encode()):
            raise FormForged

    @property
    def _idle_seconds(self) -> float:
        return self._now() - self._last_seen


def write_open_file(directory: Path, origin: str, ticket: str) -> Path:
    """Write the page that leads a browser in, mode 0600; return its path."""
    path = directory / OPEN_FILE
    safefiles.replace(path, _PAGE.format(address=f"{origin}/enter?t={ticket}").encode())
    return path


def remove_open_file(directory: Path) -> None:
    """Remove that page, if it is there."""
    (directory / OPEN_FILE).unlink(missing_ok=True)
