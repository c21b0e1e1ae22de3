"""Ending a wait from another thread: a server holds it for as long as the person has nothing else in mind."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock


class Interruption(Event):
    """Ends the waits that are under way once it is set, and all later ones until it is cleared."""

    def __init__(self) -> None:
        """Begin without one."""
        super().__init__()
        self._changing = Lock()
        self._ends: list[Callable[[], object]] = []

    def set(self) -> None:
        """End what waits."""
        super().set()
        with self._changing:
            ends = tuple(self._ends)
        for end in ends:
            end()

    @contextmanager
    def ending(self, end: Callable[[], object]) -> Iterator[None]:
        """Have `end` called, in whichever thread, as soon as this is set while the block runs."""
        with self._changing:
            self._ends.append(end)
        try:
            if self.is_set():
                end()
            yield
        finally:
            with self._changing:
                self._ends.remove(end)
