"""The thread that owns a client: what a command may do, when it is refused, what pages are told."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event, Thread, get_ident

import pytest

from federation.pages.errors import MovedOn
from federation.pages.stage import Moved, Progress, Stage
from tests.waiting import until, until_async

PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Count:
    number: int = 0
    fault: str = ""


def up(count: Count) -> Count:
    return replace(count, number=count.number + 1)


@contextmanager
def working(stage: Stage) -> Iterator[None]:
    worker = Thread(target=stage.run)
    worker.start()
    try:
        yield
    finally:
        stage.stop()
        worker.join(PATIENCE_SECONDS)
        assert not worker.is_alive()


def told(count: Count, error: Exception) -> Count:
    return replace(count, fault=str(error))


@pytest.fixture
def stage() -> Iterator[Stage[Count]]:
    stage = Stage(Count(), told)
    with working(stage):
        yield stage


def do(stage: Stage, command: Callable, **options: object) -> None:
    options.setdefault("seen", stage.snapshot.number)
    asyncio.run(asyncio.wait_for(stage.do(command, **options), PATIENCE_SECONDS))


class Busy:
    """A command that is under way until it is let go."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.begun, self.go_on, self.thread = stage, Event(), Event(), 0

    def __call__(self, count: Count) -> Count:
        self.thread = get_ident()
        self.begun.set()
        while not self.go_on.wait(0.01):
            self.stage.tell(Progress("working", 1, 2))
        return up(count)


def test_command_runs_in_the_worker_and_its_state_is_shown(stage: Stage[Count]) -> None:
    threads = []

    def command(count: Count) -> Count:
        threads.append(get_ident())
        return up(count)

    do(stage, command)
    assert (stage.snapshot.number, stage.snapshot.state) == (2, Count(1))
    assert threads != [get_ident()]


def test_command_that_shows_nothing_leaves_the_number(stage: Stage[Count]) -> None:
    do(stage, lambda _count: None)
    do(stage, lambda _count: None, seen=1)
    assert stage.snapshot.number == 1


@pytest.mark.parametrize("seen", [0, 1, 3])
def test_command_from_another_page_than_the_shown_one_is_refused(stage: Stage[Count], seen: int) -> None:
    do(stage, up)
    with pytest.raises(MovedOn):
        do(stage, up, seen=seen)
    assert stage.snapshot.state == Count(1)


def test_command_that_its_state_does_not_know_is_refused_and_nothing_is_shown(stage: Stage[Count]) -> None:
    def command(_count: Count) -> Count:
        raise MovedOn

    with pytest.raises(MovedOn):
        do(stage, command)
    assert (stage.snapshot.number, stage.snapshot.state) == (1, Count())


def test_fault_of_a_command_is_told_in_the_state(stage: Stage[Count]) -> None:
    def command(_count: Count) -> Count:
        raise ValueError("no")

    do(stage, command)
    assert stage.snapshot.state == Count(fault="no")
    do(stage, up)


def test_page_of_a_state_may_send_the_next_command_at_once(stage: Stage[Count]) -> None:
    async def all_in_a_row() -> None:
        for _ in range(300):
            await stage.do(up, seen=stage.snapshot.number)

    asyncio.run(asyncio.wait_for(all_in_a_row(), PATIENCE_SECONDS))
    assert stage.snapshot.state == Count(300)


def test_second_click_is_refused_while_the_first_is_under_way(stage: Stage[Count]) -> None:
    busy = Busy(stage)
    do(stage, busy)  # back as soon as there is progress to see
    assert stage.snapshot.progress == Progress("working", 1, 2)
    with pytest.raises(MovedOn):
        do(stage, up)
    busy.go_on.set()
    until(lambda: stage.snapshot.number == 2)
    assert (stage.snapshot.state, stage.snapshot.progress) == (Count(1), None)


def test_command_that_cancels_ends_the_one_under_way(stage: Stage[Count]) -> None:
    do(stage, Busy(stage))
    do(stage, lambda _count: Count(7), cancels=True)
    assert (stage.snapshot.number, stage.snapshot.state, stage.snapshot.progress) == (2, Count(7), None)


def test_only_one_command_cancels_what_is_under_way() -> None:
    stage = Stage(Count(), told)
    asyncio.run(_two_cancels(stage))


async def _two_cancels(stage: Stage) -> None:
    first = asyncio.ensure_future(stage.do(up, seen=1, cancels=True))
    await asyncio.sleep(0)
    with pytest.raises(MovedOn):
        await stage.do(up, seen=1, cancels=True)
    with working(stage):
        await asyncio.wait_for(first, PATIENCE_SECONDS)
    assert stage.snapshot.state == Count(1)


@dataclass(frozen=True)
class Waiting:
    """A state that waits for its guest."""

    guest: Event
    slices: list

    def between(self, seconds: float) -> Count | None:
        self.slices.append(seconds)
        return Count(100) if self.guest.wait(0.01) else None


def test_state_that_waits_is_asked_in_slices_until_what_it_waits_for_is_there(stage: Stage) -> None:
    waiting = Waiting(Event(), [])
    do(stage, lambda _count: waiting)
    until(lambda: len(waiting.slices) > 3)
    assert stage.snapshot.number == 2
    assert max(waiting.slices) <= 2
    waiting.guest.set()
    until(lambda: stage.snapshot.state == Count(100))


def test_command_comes_between_two_slices(stage: Stage) -> None:
    do(stage, lambda _count: Waiting(Event(), []))
    do(stage, lambda _waiting: Count(5))
    assert stage.snapshot.state == Count(5)


@dataclass(frozen=True)
class Held:
    """A state that waits until there is something else to do: a server holds its wait."""

    stage: Stage
    began: Event

    def between(self, _seconds: float) -> None:
        self.began.set()
        assert self.stage.interruption.wait(PATIENCE_SECONDS)


def test_command_ends_a_wait_that_is_held_and_the_next_wait_is_held_again(stage: Stage) -> None:
    held = Held(stage, Event())
    do(stage, lambda _count: held)
    for number in range(3):
        assert held.began.wait(PATIENCE_SECONDS)
        held.began.clear()
        do(stage, lambda _held, number=number: Held(stage, held.began) if number < 2 else Count(5))
    assert stage.snapshot.state == Count(5)


@pytest.mark.parametrize("end", ["lock", "stop"])
def test_lock_and_end_end_a_wait_that_is_held(end: str) -> None:
    stage = Stage(Count(), lambda _state, error: Count(fault=str(error)))
    held = Held(stage, Event())
    with working(stage):
        do(stage, lambda _count: held)
        assert held.began.wait(PATIENCE_SECONDS)
        if end == "lock":
            stage.lock(lambda _held: Count(7))
            until(lambda: stage.snapshot.state == Count(7))


def test_fault_while_waiting_is_told(stage: Stage) -> None:
    @dataclass(frozen=True)
    class Failing:
        def between(self, _seconds: float) -> None:
            raise OSError("gone")

    stage._on_fault = lambda _state, error: Count(fault=str(error))
    do(stage, lambda _count: Failing())
    until(lambda: stage.snapshot.state == Count(fault="gone"))


async def heard(stage: Stage, seen: int, most: int) -> list:
    events = []
    async for event in stage.events(seen):
        events.append(event)
        if len(events) == most:
            break
    return events


def listen(stage: Stage, seen: int, most: int = 100) -> list:
    return asyncio.run(asyncio.wait_for(heard(stage, seen, most), PATIENCE_SECONDS))


def test_page_that_listens_late_hears_at_once_that_its_state_was_overtaken(stage: Stage[Count]) -> None:
    do(stage, up)
    assert listen(stage, 1) == [Moved(2)]


def test_page_hears_progress_then_that_there_is_none_then_the_next_state(stage: Stage[Count]) -> None:
    def command(_count: Count) -> None:
        stage.tell(Progress("half", 1, 2))
        listening.wait(PATIENCE_SECONDS)

    async def story() -> list:
        await stage.do(command, seen=1)
        events = []
        async for event in stage.events(1):
            events.append(event)
            if isinstance(event, Progress):
                listening.set()
            if event is None:
                await stage.do(up, seen=1)
        return events

    listening = Event()
    assert asyncio.run(asyncio.wait_for(story(), PATIENCE_SECONDS)) == [Progress("half", 1, 2), None, Moved(2)]


@pytest.mark.parametrize(
    ("end", "heard_of_it"), [(Stage.stop, []), (lambda stage: stage.lock(up), [Moved])], ids=["end", "lock"]
)
def test_page_that_listens_is_let_go_at_the_end_and_hears_of_a_lock(
    stage: Stage[Count], end: Callable, heard_of_it: list
) -> None:
    async def story() -> list:
        listening = asyncio.ensure_future(heard(stage, 1, 100))
        await until_async(lambda: stage._listeners)
        end(stage)
        return await listening

    assert [type(it) for it in asyncio.run(asyncio.wait_for(story(), PATIENCE_SECONDS))] == heard_of_it
    assert not stage._listeners


def test_locked_stage_does_nothing_until_it_is_unlocked_in_the_thread_that_asks(stage: Stage[Count]) -> None:
    threads = []
    slices: list = []
    do(stage, lambda _count: Waiting(Event(), slices))
    stage.lock(lambda _state: threads.append(get_ident()) or Count(1))
    with pytest.raises(MovedOn):
        do(stage, up)
    until(lambda: stage.snapshot.state == Count(1))
    asked = len(slices)

    def wrong(_count: Count) -> Count:
        raise ValueError("wrong PIN")

    with pytest.raises(ValueError, match="wrong PIN"):
        stage.unlock(wrong)
    with pytest.raises(MovedOn):
        do(stage, up)
    stage.unlock(lambda count: threads.append(get_ident()) or up(count))
    assert stage.snapshot.state == Count(2)
    do(stage, up)
    assert (len(slices), threads[0] != get_ident(), threads[1] == get_ident()) == (asked, True, True)


def test_lock_waits_for_what_is_under_way_and_refuses_what_waits(stage: Stage[Count]) -> None:
    busy = Busy(stage)
    do(stage, busy)
    stage.lock(lambda count: replace(count, fault="locked"))
    busy.go_on.set()
    stage.unlock(lambda count: count)
    assert stage.snapshot.state == Count(1, "locked")


def test_end_gives_up_what_is_under_way(stage: Stage[Count]) -> None:
    do(stage, Busy(stage))
    stage.stop()
    with pytest.raises(MovedOn):
        do(stage, up)
    assert stage.snapshot.state == Count()
