"""Days and months of budgets, in UTC."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.party.budgets import Period, day_of, month_of

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2199, 12, 31)).map(lambda it: it.replace(tzinfo=UTC))  # noqa: DTZ001


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("moment", "begins", "ends"),
    [
        ("2027-03-01T00:00:00", "2027-03-01", "2027-04-01"),
        ("2027-02-28T23:59:59.999", "2027-02-01", "2027-03-01"),
        ("2028-02-29T12:00:00", "2028-02-01", "2028-03-01"),
        ("2027-12-31T23:59:59.999", "2027-12-01", "2028-01-01"),
    ],
)
def test_month_begins_on_its_first_and_ends_before_the_next(moment: str, begins: str, ends: str) -> None:
    assert month_of(at(moment)) == Period(at(begins), at(ends))


def test_day_ends_a_millisecond_before_midnight() -> None:
    assert day_of(at("2027-12-31T23:59:59.999")) == Period(at("2027-12-31"), at("2028-01-01"))
    assert day_of(at("2028-01-01")) == Period(at("2028-01-01"), at("2028-01-02"))


@given(MOMENTS)
def test_every_moment_is_in_its_day_and_its_month_and_the_day_in_the_month(moment: datetime) -> None:
    now = int(moment.timestamp() * 1000)
    day, month = day_of(now), month_of(now)
    assert month.begins_at <= day.begins_at <= now < day.ends_at <= month.ends_at
    assert day.ends_at - day.begins_at == timedelta(days=1) // timedelta(milliseconds=1)
    assert month_of(month.ends_at).begins_at == month.ends_at
