"""Writing together what comes at once: while one commits, others queue up behind it, and one of these commits for all of them."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

MOST_TOGETHER = 1024
"""Items that one write takes."""

T = TypeVar("T")


class _Place(Generic[T]):
    """An item in the queue, and what became of it."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.is_done = False
        self.error: BaseException | None = None
        self._woken = threading.Lock()
        self._woken.acquire()

    def wait(self) -> None:
        """Wait until the item is written, or it is this one's turn to write."""
        self._woken.acquire()

    def wake(self) -> None:
        """Let who waits go on."""
        self._woken.release()


class GroupWriter(Generic[T]):
    """Hands items of any number of threads to one function, some at a time; nobody waits but for who writes now.

    A lone item is written at once. What the function raises is raised for every item that it was given.
    """

    def __init__(self, write: Callable[[Sequence[T]], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._queue: list[_Place[T]] = []
        self._is_led = False

    def put(self, item: T) -> None:
        """Return when the item is written. Raises what writing it raised."""
        place = _Place(item)
        with self._lock:
            self._queue.append(place)
            waits, self._is_led = self._is_led, True
        if waits:
            place.wait()
        if not place.is_done:
            self._lead(place)
        if place.error is not None:
            raise place.error

    def _lead(self, own: _Place[T]) -> None:
        """Write the first of the queue, of which the own one is the first, and hand on to the next."""
        with self._lock:
            together = self._queue[:MOST_TOGETHER]
            del self._queue[: len(together)]
        error: BaseException | None = None
        try:
            self._write([place.item for place in together])
        except BaseException as raised:  # noqa: BLE001 - each caller raises it
            error = raised
        with self._lock:
            successor = self._queue[0] if self._queue else None
            self._is_led = successor is not None
        if successor is not None:
            successor.wake()
        for place in together:
            place.error, place.is_done = error, True
            if place is not own:
                place.wake()
