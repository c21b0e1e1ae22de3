"""Times as operators write them: of this machine's zone where none is written, and never of two moments."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import click
import pytest

from federation.cli.doctor import _seconds_until
from federation.cli.times import has_zone, local, moment_of, zone
from federation.errors import FieldInvalid


@pytest.fixture(autouse=True)
def zurich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be in a zone with summer time."""
    monkeypatch.setenv("TZ", "Europe/Zurich")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(*fields: int) -> int:
    return round(datetime(*fields, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T07:00", utc(2026, 3, 1, 6)),
        ("2026-07-01T07:00", utc(2026, 7, 1, 5)),
        ("2026-03-01 07:00", utc(2026, 3, 1, 6)),
        ("2026-03-01", utc(2026, 2, 28, 23)),
        ("2026-03-01T07:00Z", utc(2026, 3, 1, 7)),
        ("2026-03-01T07:00:30+05:30", utc(2026, 3, 1, 1, 30, 30)),
        ("2026-10-25T02:30+02:00", utc(2026, 10, 25, 0, 30)),
        ("2026-10-25T02:30+01:00", utc(2026, 10, 25, 1, 30)),
    ],
)
def test_time_is_one_moment_and_is_shown_as_it_can_be_read_again(text: str, expected: int) -> None:
    assert moment_of(text) == expected
    assert moment_of(local(expected)) == expected
    assert has_zone(local(expected))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no time as"),
        ("tomorrow", "is no time as"),
        ("2026-03-01T24:00", "is no time as"),
        ("2026-03-29T02:30", "is no one moment in this machine's zone"),
        ("2026-10-25T02:30", "is no one moment in this machine's zone"),
        ("1969-12-31T23:00", "is in no year from 1971"),
        ("0001-01-01T00:00", "is in no year from 1971"),
        ("9999-12-31T23:59", "is in no year from 1971"),
    ],
)
def test_time_that_is_none_or_comes_twice_or_never_is_refused_field_invalid(text: str, says: str) -> None:
    with pytest.raises(FieldInvalid, match=says):
        moment_of(text)


def test_zone_is_named() -> None:
    assert zone().startswith("CE")
    assert "(UTC+0" in zone()


@pytest.mark.parametrize(
    ("now", "until", "minutes"),
    [("12:00", "17:00", 300), ("08:00", "23:59", 959), ("23:59", "00:30", 31), ("22:00", "02:00", 240)],
)
def test_time_of_day_is_of_this_day_or_of_the_night_that_follows(now: str, until: str, minutes: int) -> None:
    here = datetime.fromisoformat(f"2027-03-01T{now}+01:00")
    assert _seconds_until(datetime.strptime(until, "%H:%M"), here) == minutes * 60  # noqa: DTZ007 - as click gives it


@pytest.mark.parametrize(("now", "until"), [("17:00", "17:00"), ("17:00", "16:00"), ("00:30", "00:00")])
def test_time_of_day_that_is_past_is_refused(now: str, until: str) -> None:
    with pytest.raises(click.BadParameter, match=f"it is past {until} already"):
        _seconds_until(datetime.strptime(until, "%H:%M"), datetime.fromisoformat(f"2027-03-01T{now}+01:00"))  # noqa: DTZ007
