"""What people are told, at a terminal and on a page: faults in plain words, moments, sizes, durations."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from federation.clinical.errors import ClinicalError
from federation.clinical.text import counted, printable
from federation.errors import FederationError
from federation.settings import ConfigError
from federation.store.errors import StoreError, StoreUnavailable
from hsm.errors import HsmError
from keystore.errors import KeystoreError

EXPECTED = (FederationError, ConfigError, StoreError, HsmError, KeystoreError, ClinicalError, OSError)
"""What a person can do something about; anything else is a fault of ours."""

MOST_SAID = 2000
"""Characters of a fault's sentence."""

_OF_OTHER_FAMILIES = {
    "STORE_FULL": "The disk of this computer is full: nothing more can be kept on it.",
    "BIOMETRIC_MISMATCH": "The reading does not match: this device belongs to somebody else. Try again, or ask the desk.",
    "DEVICE_SECRET_UNUSABLE": "This device's secret is missing or damaged; the patient has to enrol again.",
    "PIN_INCORRECT": "The PIN is wrong.",
    "PIN_LOCKED": "The token is locked after too many wrong PINs.",
    "PIN_FINAL_TRY": "One try is left before the token locks itself; unlock it with its maker's tools first.",
    "PIN_UNAVAILABLE": "The PIN could not be had.",
    "TOKEN_NOT_FOUND": "The token is not there: is it plugged in?",
    "TOKEN_EXISTS": "There is a token of this name already.",
    "SETTINGS_INVALID": "The settings cannot be used.",
}
"""Reason -> what it means for the person at the keyboard, where the error is the token's, the keys' or the store's."""

_OF_FAMILIES: dict[type[Exception], str] = {
    StoreUnavailable: "What is kept on this computer cannot be read or written now; try again in a little while.",
    StoreError: "What is kept on this computer cannot be used.",
    HsmError: "The token did not do what it was asked.",
    KeystoreError: "The keys of this computer, or of the token, cannot be used for this.",
}
"""What an error without words of its own means for the person, before what it says itself. Clinical errors say all themselves."""

_TELLS_MORE = {
    *("PROFILE_UNUSABLE", "NO_ANSWER", "FILE_UNUSABLE", "SETTINGS_INVALID", "PIN_UNAVAILABLE", "FIELD_INVALID"),
    *("GRANT_MISSING", "CODE_INVALID", "NOT_REGISTERED", "DEVICE_SECRET_UNUSABLE", "CREDENTIAL_EXPIRED"),
    *("REVOCATION_LIST_STALE", "NETWORK_FORBIDDEN", "RECORD_TOO_LARGE", "HAND_OVER_AWAITED"),
    *(
        "GRANT_INVALID",
        "DUTY_INVALID",
        "DEPUTY_INVALID",
        "DEPUTY_POWERS",
        "NO_DEPUTY",
        "ROOM_CHANGED",
        "NO_SUCH_GRANT",
        "EMERGENCY_INVALID",
    ),
}
"""Reasons whose errors say themselves what a person needs to know."""


def plain(error: BaseException) -> str:
    """Return an error as a sentence for a person, and its reason for whoever helps them."""
    reason = getattr(error, "reason", None)
    in_words = getattr(error, "in_words", None) or _OF_OTHER_FAMILIES.get(str(reason))
    of_family = next((_OF_FAMILIES[cls] for cls in type(error).__mro__ if cls in _OF_FAMILIES), None)
    if in_words is None and of_family is None:
        return sentence(error)
    tells_more = in_words is None or reason in _TELLS_MORE
    in_words = in_words or of_family
    said = f" ({printable(str(error))})" if tells_more and str(error) else ""
    unknown = getattr(error, "unknown_reason", "")
    if unknown:
        said = f" {not_known(unknown)}"
    return f"{in_words}{said}{_where(error)} [{reason}]{_request(error)}"


def sentence(error: BaseException) -> str:
    """Return a fault as a person reads it, with the reason that the documentation explains."""
    if isinstance(error, OSError) and not isinstance(error, HsmError):
        return printable(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", MOST_SAID)
    reason, unknown = getattr(error, "reason", None), getattr(error, "unknown_reason", "")
    said = f"{error} {not_known(unknown)}" if unknown else printable(str(error), MOST_SAID)
    return f"{said}{_where(error)} [{reason}]{_request(error)}" if reason else said


def _where(error: BaseException) -> str:
    """Return where nobody answered; nothing where nobody was dialled, or somebody answered."""
    address = getattr(error, "address", "")
    return f" It was dialled at {printable(address)}." if address else ""


def _request(error: BaseException) -> str:
    """Return by what the other side's operator finds the cause of a refusal; nothing where nobody else refused."""
    request_id = getattr(error, "request_id", "")
    return f" (request {request_id})" if request_id else ""


def not_known(reason: str) -> str:
    """Return the words for a peer's reason that this version does not know."""
    return f"It refused for a reason that this version does not know ({reason})."


def local_time(milliseconds: int) -> str:
    """Return a moment as the person's own clock shows it, or that no calendar has it: a peer chose the number."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return f"a time that no calendar has ({milliseconds} ms)"


def near_time(at: int, *, now: int) -> str:
    """Return a moment as a person says it who stands at `now`: today, tomorrow, yesterday, or by its date."""
    try:
        day, today = (datetime.fromtimestamp(moment / 1000, UTC).astimezone().date() for moment in (at, now))
    except (OverflowError, ValueError, OSError):
        return local_time(at)
    named = {0: "today", 1: "tomorrow", -1: "yesterday"}.get((day - today).days)
    return local_time(at) if named is None else f"{named} {local_time(at)[-5:]}"


def size(number: int) -> str:
    """Return a number of bytes in words."""
    if number < 1000:
        return counted(number, "byte")
    return f"{number / 1000:.1f} kB" if number < 1_000_000 else f"{number / 1_000_000:.1f} MB"


def transferred(done: int, total: int | None, bytes_a_second: float) -> str:
    """Return how far a transfer is: bytes of how many, how fast, and how long it takes yet at that rate."""
    words = size(done) if total is None else f"{size(done)} of {size(total)}"
    if bytes_a_second <= 0:
        return words
    words += f", {size(round(bytes_a_second))}/s"
    if total is None or done >= total:
        return words
    seconds = round((total - done) / bytes_a_second)
    return f"{words}, {_left(seconds)} left"


def _left(seconds: int) -> str:
    if seconds < 60:
        return counted(seconds, "second")
    return counted(round(seconds / 60), "minute") if seconds < 5_400 else counted(round(seconds / 3600), "hour")


class Pace:
    """How fast something comes, from when it is first told: what was there before doesn't count."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        """Begin at the first telling."""
        self._seconds = seconds
        self._first: tuple[float, int] | None = None

    def words(self, done: int, total: int | None) -> str:
        """Return how far it is, in words."""
        now = self._seconds()
        began, before = self._first = self._first or (now, done)
        return transferred(done, total, (done - before) / (now - began) if now > began else 0.0)


def duration(life: timedelta) -> str:
    """Return a duration in hours, or in days from two of them on."""
    days = life / timedelta(days=1)
    number, unit = (days, "day") if days >= 2 else (life / timedelta(hours=1), "hour")
    return f"{number:g} {unit}{'s' * (number != 1)}"
