"""Chores: each survives its faults; one process at a time has the lease of those that one alone does.

A lease is kept while its holder asks, and had by another when it is released or over.
"""

import logging
import threading
from datetime import timedelta

import pytest

from federation.errors import Limit, Unavailable
from federation.party import chores
from federation.party.chores import LIFE, Chore, ChoreRunner, Lease, LeaseLost
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


SOON = timedelta(milliseconds=10)
SECONDS = 20.0


class Attempts:
    """Something to do that fails at first, each time by the next fault."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.number = 0
        self.done = threading.Event()

    def __call__(self) -> None:
        self.number += 1
        if self.faults:
            raise self.faults.pop(0)
        self.done.set()


def stopped(runner: ChoreRunner) -> None:
    runner.stop()
    runner.join()


def test_chore_that_failed_is_told_by_its_event_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    act = Attempts(Unavailable("no answer"), ZeroDivisionError())
    runner = ChoreRunner()
    runner.start([Chore("count", SOON, act, event="chore-failed")])
    assert act.done.wait(SECONDS)
    stopped(runner)
    told = [(record.levelno, record.msg, record.fields["chore"]) for record in caplog.records]
    assert told == [(logging.WARNING, "chore-failed", "count"), (logging.ERROR, "chore-failed", "count")]


def test_chore_that_fails_again_and_again_by_one_cause_is_told_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away all night fills no disk with ten lines a second."""
    now = [0.0]
    monkeypatch.setattr(chores, "monotonic", lambda: now[0])
    runner, away = ChoreRunner(), Unavailable("no answer")
    act = Attempts(away, away, away, Limit("full"), away, away)
    for _ in range(4):
        runner.do(Chore("count", SOON, act))
        now[0] += 20
    runner.do(Chore("count", SOON, act))
    now[0] += 60
    runner.do(Chore("count", SOON, act))
    assert runner.do(Chore("count", SOON, act))
    act.faults = [away]
    runner.do(Chore("count", SOON, act))
    told = [(record.fields["reason"], record.fields.get("times")) for record in caplog.records]
    assert told == [
        ("UNAVAILABLE", None),
        ("LIMIT_REACHED", None),
        ("UNAVAILABLE", None),
        ("UNAVAILABLE", None),
        ("UNAVAILABLE", None),
    ]


def test_chore_that_is_told_again_says_how_often_it_failed_meanwhile(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(chores, "monotonic", lambda: now[0])
    runner, act = ChoreRunner(), Attempts(*[Unavailable("no answer")] * 7)
    for _ in range(7):
        runner.do(Chore("count", SOON, act))
        now[0] += 20
    assert [record.fields.get("times") for record in caplog.records] == [None, 3, 3]


def test_chore_waits_as_long_as_it_says_after_a_failure() -> None:
    act = Attempts(Unavailable("no answer"))
    runner = ChoreRunner()
    runner.start([Chore("count", timedelta(days=1), act, at_once=True, after_failure=SOON)])
    assert act.done.wait(SECONDS)
    stopped(runner)
    assert act.number == 2


def test_chore_is_not_done_before_its_first_period_is_over() -> None:
    act, other = Attempts(), Attempts()
    runner = ChoreRunner()
    runner.start([Chore("daily", timedelta(days=1), act), Chore("now", SOON, other, at_once=True)])
    assert other.done.wait(SECONDS)
    stopped(runner)
    assert not act.number


def test_chore_that_hangs_holds_up_its_own_thread_alone() -> None:
    end, act = threading.Event(), Attempts()
    runner = ChoreRunner()
    runner.start([Chore("hang", SOON, end.wait, thread="other"), Chore("count", SOON, act)])
    assert act.done.wait(SECONDS)
    end.set()
    stopped(runner)


def test_leased_chores_are_done_by_the_process_that_leads(two: tuple[Lease, Lease]) -> None:
    first, second = map(ChoreRunner, two)
    leased, everybodys = Attempts(), Attempts()
    for runner in (first, second):
        assert runner.do(Chore("leased", SOON, leased, leased=True))
        assert runner.do(Chore("everybody's", SOON, everybodys))
    assert (leased.number, everybodys.number) == (1, 2)


def test_process_that_resigned_does_no_leased_chore_and_another_does(two: tuple[Lease, Lease]) -> None:
    first, second = map(ChoreRunner, two)
    assert first.leads()
    first.pause(0)
    first.resign()
    assert second.leads()
    assert not first.leads()
    with pytest.raises(LeaseLost):
        first.pause(0)
    assert first.do(Chore("walk", SOON, lambda: first.pause(0)))  # it goes on elsewhere


def test_runner_that_stopped_says_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    runner = ChoreRunner()
    stopped(runner)
    assert not runner.do(Chore("count", SOON, Attempts(Unavailable("no answer"))))
    assert not caplog.records
