"""Times as operators write and read them: ISO 8601, of this machine's zone where none is written."""

from datetime import datetime
from typing import Any

import click

from federation.errors import FieldInvalid
from federation.protocol.time import Instant

_FIRST_YEAR, _LAST_YEAR = 1971, 9000
"""Between these every zone's time is a moment that a message can hold."""


class Time(click.ParamType[Instant]):
    """A moment on the command line, given as an Instant."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Instant:  # noqa: ANN401 - click's
        """Return the moment. Raises BadParameter."""
        if isinstance(value, int):
            return value
        try:
            return moment_of(str(value))
        except FieldInvalid as error:
            self.fail(str(error), param, ctx)


def has_zone(text: str) -> bool:
    """Return whether a time says its zone. Raises FieldInvalid for what is no time."""
    return _read(text).tzinfo is not None


def moment_of(text: str) -> Instant:
    """Return the moment that a time names. Raises FieldInvalid for none, and for a local time that comes twice or never."""
    read = _read(text)
    # Where the clocks are put forward or back it can't be told which of two moments is meant, or of none.
    if read.tzinfo is None and read.replace(fold=0).timestamp() != read.replace(fold=1).timestamp():
        raise FieldInvalid(f"{text!r} is no one moment in this machine's zone: write its zone, as +01:00")
    return round(read.timestamp() * 1000)


def _read(text: str) -> datetime:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise FieldInvalid(f"{text!r} is no time as 2026-03-01T07:00 or 2026-03-01T07:00+01:00") from None
    if not _FIRST_YEAR <= read.year <= _LAST_YEAR:
        raise FieldInvalid(f"{text!r} is in no year from {_FIRST_YEAR} to {_LAST_YEAR}")
    return read


def local(at: Instant) -> str:
    """Return a moment in this machine's zone, with the zone."""
    moment = datetime.fromtimestamp(at / 1000).astimezone()
    return moment.isoformat(timespec="minutes" if at % 60_000 == 0 else "milliseconds" if at % 1000 else "seconds")


def zone() -> str:
    """Return the name of this machine's zone and its offset now."""
    now = datetime.now().astimezone()
    return f"{now.tzname()} (UTC{now:%z})"
