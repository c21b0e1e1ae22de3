"""One process at a time has a lease: kept while it asks, had by another when it is released or over."""

from datetime import timedelta

import pytest

from federation.party.chores import LIFE, Lease
from federation.store.database import Database
from federation.store.party import Settings

LIFE_MS = LIFE // timedelta(milliseconds=1)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def two(database: Database, clock: Clock) -> tuple[Lease, Lease]:
    """Give the leases of two processes."""
    first, second = (Lease(Settings(database), "chores", clock) for _ in range(2))
    return first, second


def test_lease_is_the_first_ones_as_long_as_it_asks(two: tuple[Lease, Lease], clock: Clock) -> None:
    first, second = two
    for _ in range(20):
        assert first.is_held()
        assert not second.is_held()
        clock.now += LIFE_MS // 2


def test_lease_that_is_over_is_the_next_ones_and_the_first_knows(two: tuple[Lease, Lease], clock: Clock) -> None:
    first, second = two
    assert first.is_held()
    clock.now += LIFE_MS
    assert second.is_held()
    assert not first.is_held()


def test_lease_that_is_released_is_the_next_ones_at_once(two: tuple[Lease, Lease]) -> None:
    first, second = two
    assert first.is_held()
    second.release()  # not its own
    assert not second.is_held()
    first.release()
    assert second.is_held()
    assert not first.is_held()


def test_lease_taken_by_a_clock_far_ahead_holds_nobody_up(database: Database, clock: Clock) -> None:
    ahead = Clock()
    ahead.now += 1000 * LIFE_MS
    assert Lease(Settings(database), "chores", ahead).is_held()
    assert Lease(Settings(database), "chores", clock).is_held()


def test_leases_of_other_names_are_others(database: Database, clock: Clock) -> None:
    assert Lease(Settings(database), "chores", clock).is_held()
    assert Lease(Settings(database), "others", clock).is_held()
