"""What is remembered is bounded in number and time, and what is forgotten while it is learnt stays forgotten."""

import threading

import pytest

import remembered
from remembered import Memory, Remembered


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Memory[str, int]:
    monkeypatch.setitem(remembered.TABLE, "numbers", Remembered("numbers", 2, 10, "nothing else"))
    return Memory("numbers", clock)


def test_what_was_learnt_is_not_learnt_again(memory: Memory[str, int]) -> None:
    learnt: list[int] = []
    for _ in range(3):
        assert memory.of("one", lambda: learnt.append(1) or 1) == 1
    assert learnt == [1]


def test_it_is_learnt_again_when_its_time_is_over(memory: Memory[str, int], clock: Clock) -> None:
    memory.of("one", lambda: 1)
    clock.now = 9.9
    assert memory.of("one", lambda: 2) == 1
    clock.now = 10.0
    assert memory.of("one", lambda: 2) == 2


def test_its_time_begins_when_it_is_asked_for_and_not_when_the_answer_comes(
    memory: Memory[str, int], clock: Clock
) -> None:
    def learn() -> int:
        clock.now = 6.0
        return 1

    memory.of("one", learn)
    clock.now = 10.0
    assert memory.of("one", lambda: 2) == 2


def test_being_asked_for_does_not_make_it_last_longer(memory: Memory[str, int], clock: Clock) -> None:
    memory.of("one", lambda: 1)
    for clock.now in (3.0, 6.0, 9.0):
        memory.of("one", lambda: 2)
    clock.now = 10.0
    assert memory.of("one", lambda: 3) == 3


def test_the_one_that_nobody_asked_for_longest_gives_way(memory: Memory[str, int]) -> None:
    for name, value in (("one", 1), ("two", 2), ("one", 9), ("three", 3)):
        memory.of(name, lambda value=value: value)
    assert len(memory) == 2
    assert memory.of("one", lambda: 7) == 1
    assert memory.of("two", lambda: 8) == 8


def test_what_is_forgotten_is_learnt_again(memory: Memory[str, int]) -> None:
    memory.of("one", lambda: 1)
    memory.forget()
    assert memory.of("one", lambda: 2) == 2


def test_what_was_begun_before_it_was_forgotten_is_not_remembered(memory: Memory[str, int]) -> None:
    begun, forgotten = threading.Event(), threading.Event()

    def learn() -> int:
        begun.set()
        assert forgotten.wait(30)
        return 1

    learner = threading.Thread(target=memory.of, args=("one", learn))
    learner.start()
    assert begun.wait(30)
    memory.forget()
    forgotten.set()
    learner.join(30)
    assert memory.of("one", lambda: 2) == 2


def test_nothing_is_remembered_of_what_failed(memory: Memory[str, int]) -> None:
    def fail() -> int:
        raise ValueError("not now")

    with pytest.raises(ValueError, match="not now"):
        memory.of("one", fail)
    assert memory.of("one", lambda: 2) == 2


def test_it_does_not_show_what_it_remembers(memory: Memory[str, int]) -> None:
    memory.of("a name", lambda: 77)
    assert repr(memory) == "<Memory of 1>"
