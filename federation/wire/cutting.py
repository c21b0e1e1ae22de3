"""Ending a call from beside it, whatever it waits for: its caller's next message, a thread, or a reader that takes nothing."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Cut:
    """The end of one call. Use from its event loop."""

    def __init__(self, task: "asyncio.Task[object]") -> None:
        self._task = task
        self.error: Exception | None = None

    def because_of(self, error: Exception) -> None:
        """End the call with an error, unless it was ended so before."""
        if self.error is None:
            self.error = error
            self._task.cancel()


_CUT: ContextVar[Cut] = ContextVar("cut")


def cut_of_this_call() -> Cut:
    """Give the cut of the call that is served here."""
    return _CUT.get()


def serving_task() -> "asyncio.Task[object]":
    """Return the task that serves this call. Raises RuntimeError outside of one."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call is served in a task of its own")
    return task


@contextmanager
def cuttable() -> Iterator[None]:
    """Serve a call within the block, and raise the error that it is cut with."""
    task = serving_task()
    cut = Cut(task)
    before = _CUT.set(cut)
    try:
        yield
    except asyncio.CancelledError:
        if cut.error is None:
            raise
        task.uncancel()
        raise cut.error  # noqa: B904 - `from` would replace the cause that a rejection has
    finally:
        _CUT.reset(before)
