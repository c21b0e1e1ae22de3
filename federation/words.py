"""What people are told, at a terminal and on a page: faults in plain words, moments, sizes, durations."""

import inspect
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from federation.clinical.errors import ClinicalError
from federation.clinical.text import counted, printable
from federation.errors import FederationError, Unavailable
from federation.settings import ConfigError
from federation.store.errors import StoreError, StoreUnavailable
from hsm.errors import HsmError
from keystore.errors import KeystoreError

EXPECTED = (FederationError, ConfigError, StoreError, HsmError, KeystoreError, ClinicalError, OSError)
"""What a person can do something about; anything else is a fault of ours."""

MOST_SAID = 2000
"""Characters of a fault's sentence."""


class Told(NamedTuple):
    """What a person is told of errors of one class."""

    happened: str
    """Nothing where the error says so itself."""
    to_do: str
    to_do_elsewhere: str = ""
    """The same for a person whose program lacks what `to_do` names; nothing where it lacks nothing."""


_OF_OTHER_FAMILIES = {
    "STORE_FULL": Told(
        "The disk of this computer is full: nothing more can be kept on it.",
        "Make room on it, and try again.",
    ),
    "BIOMETRIC_MISMATCH": Told(
        "The reading does not match: this device belongs to somebody else.",
        "Try again, or ask the desk.",
    ),
    "DEVICE_SECRET_UNUSABLE": Told(
        "This device's secret is missing or damaged.",
        "The patient has to enrol again, at a desk.",
    ),
    "PIN_INCORRECT": Told("The PIN is wrong.", "Type it again, slowly: the token counts wrong ones."),
    "PIN_LOCKED": Told(
        "The token is locked after too many wrong PINs.",
        "Unlock it with its maker's tools, or ask who gave it out.",
    ),
    "PIN_FINAL_TRY": Told(
        "One try is left before the token locks itself.",
        "Unlock it with its maker's tools first, or ask who gave it out.",
    ),
    "PIN_UNAVAILABLE": Told(
        "The PIN could not be had.",
        "Give it in a file (`--pin-file`), as a credential, or at a terminal.",
        "Give it in a file (`--pin-file`) that nobody but you may read.",
    ),
    "TOKEN_NOT_FOUND": Told("The token is not there.", "Plug it in, and try again."),
    "TOKEN_EXISTS": Told("There is a token of this name already.", "Use that, or take another name."),
    "TOKEN_BUSY": Told("The token has more to do than it can.", "Try again in a little while."),
    "TLS_UNTRUSTED": Told(
        "Somebody answers, and is not the one that the trust bundle says.",
        "Bring the trust bundle up to date; see that nothing ends TLS in between.",
    ),
    "SETTINGS_INVALID": Told(
        "The settings cannot be used.",
        "Correct the line that is named; `medunion check` tries them all.",
    ),
}
"""Reason -> what happened, and what a person does now, where the error is the token's, the keys' or the store's."""

_OF_FAMILIES = {
    StoreUnavailable: Told(
        "What is kept on this computer cannot be read or written now.",
        "Try again in a little while; if it stays so, tell whoever runs this computer.",
    ),
    StoreError: Told(
        "What is kept on this computer cannot be used.",
        "Tell whoever runs this computer, with the word in brackets.",
    ),
    HsmError: Told(
        "The token did not do what it was asked.",
        "Take it out and plug it in; if it stays so, `medunion token check` says what it can't do.",
        "Take it out and plug it in; if it stays so, ask who gave it out.",
    ),
    KeystoreError: Told(
        "The keys of this computer, or of the token, cannot be used for this.",
        "Tell whoever runs this computer, with the word in brackets.",
    ),
    ClinicalError: Told("", "Choose another file, or have it written again by what made it."),
    ConfigError: Told("", "Correct the settings; `medunion check` tries them all."),
    OSError: Told("", "See that it is there, and that you may read and write it."),
}
"""The same of an error without words of its own. Where there are none, the error says itself what happened."""

_TELLS_MORE = {
    *("PROFILE_UNUSABLE", "NO_ANSWER", "FILE_UNUSABLE", "SETTINGS_INVALID", "PIN_UNAVAILABLE", "FIELD_INVALID"),
    *("GRANT_MISSING", "CODE_INVALID", "NOT_REGISTERED", "DEVICE_SECRET_UNUSABLE", "CREDENTIAL_EXPIRED"),
    *("REVOCATION_LIST_STALE", "NETWORK_FORBIDDEN", "RECORD_TOO_LARGE", "HAND_OVER_AWAITED", "LIMIT_REACHED"),
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


def plain(error: BaseException, *, in_visit: bool = False) -> str:
    """Return an error for a person: what happened, why where that may be told, what to do, and its reason for who helps.

    In the middle of a visit, with a patient there and records on the screen, something else may be to do than on arrival.
    """
    happened, to_do = _happened(error), advice(error, in_visit=in_visit)
    reason = getattr(error, "reason", None)
    if reason is None or not to_do:
        return sentence(error)
    return f"{happened} {to_do} [{reason}]{_request(error)}"


def happened(error: BaseException) -> str:
    """Return an error for a person whom somebody tells what to do: what happened, why, and its reason."""
    reason = getattr(error, "reason", None)
    return sentence(error) if reason is None else f"{_happened(error)} [{reason}]{_request(error)}"


def advice(error: BaseException, *, in_visit: bool = False) -> str:
    """Return what a person can do now; nothing where it is a fault of ours."""
    if _is_answered(error) and not in_visit:
        return Unavailable.to_do_answered
    if isinstance(error, FederationError):
        return error.advice(in_visit=in_visit)
    return _words_of(type(error)).to_do


def words_of(kind: type[BaseException]) -> tuple[str, str]:
    """Return what an error of this class means for a person, in general, and what to do."""
    told = told_of(kind)
    return told.happened or inspect.getdoc(kind) or "", told.to_do


def told_of(kind: type[BaseException]) -> Told:
    """Return what a person is told of any error of this class."""
    if issubclass(kind, FederationError):
        return Told(kind.in_words, kind.advice(), kind.advice_elsewhere())
    return _words_of(kind)


def tells_more(kind: type[BaseException]) -> bool:
    """Return whether what such an error says itself is told beside the words of its class."""
    reason = str(getattr(kind, "reason", ""))
    has_own_words = issubclass(kind, FederationError) or reason in _OF_OTHER_FAMILIES
    return not has_own_words or reason in _TELLS_MORE


def _words_of(kind: type[BaseException]) -> Told:
    of_family = next((_OF_FAMILIES[cls] for cls in kind.__mro__ if cls in _OF_FAMILIES), Told("", ""))
    return _OF_OTHER_FAMILIES.get(str(getattr(kind, "reason", "")), of_family)


def _happened(error: BaseException) -> str:
    in_words = error.in_words if isinstance(error, FederationError) else _words_of(type(error)).happened
    if _is_answered(error):
        in_words = Unavailable.answered
    if not in_words:
        said = printable(str(error), MOST_SAID)
        return said if said.endswith((".", "?", "!")) else f"{said}."
    # What a peer refused says no more than its class (`federation.wire.status`).
    is_more = str(error) not in {"", inspect.getdoc(type(error))}
    said = f" ({printable(str(error))})" if is_more and tells_more(type(error)) else ""
    unknown = getattr(error, "unknown_reason", "")
    if unknown:
        said = f" {not_known(unknown)}"
    return f"{in_words}{said}{_where(error)}"


def sentence(error: BaseException) -> str:
    """Return a fault as a person reads it, with the reason that the documentation explains."""
    if isinstance(error, OSError) and not isinstance(error, HsmError):
        return printable(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", MOST_SAID)
    reason, unknown = getattr(error, "reason", None), getattr(error, "unknown_reason", "")
    said = f"{error} {not_known(unknown)}" if unknown else printable(str(error), MOST_SAID)
    return f"{said}{_where(error)} [{reason}]{_request(error)}" if reason else said


def _is_answered(error: BaseException) -> bool:
    """Return whether a peer said itself that something is away: it is there, and no computer is to be connected."""
    return type(error) is Unavailable and bool(error.request_id)


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
