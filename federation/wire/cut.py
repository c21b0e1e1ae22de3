"""The end of one call from beside it, whatever it waits for: by a deadline, or by whoever learns that it may not go on."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Self

_CUT: ContextVar["Cut"] = ContextVar("cut")


class Cut:
    """The cut of the call that this task serves: within its block the call can be ended. Use from its event loop."""

    def __init__(self, task: "asyncio.Task[object]") -> None:
        """Be able to end what this task serves."""
        self._task = task
        self._cancelled_before = task.cancelling()
        self._error: Exception | None = None

    def because_of(self, error: Exception) -> None:
        """End the call with an error, unless it was ended so before."""
        if self._error is None:
            self._error = error
            self._task.cancel()

    def after(self, seconds: float, error: Callable[[], Exception]) -> asyncio.TimerHandle:
        """End the call with that error when so long is over, unless the timer is cancelled before."""
        return asyncio.get_running_loop().call_later(seconds, lambda: self.because_of(error()))

    def __enter__(self) -> Self:
        """Be the cut of this call until the block ends."""
        self._outer = _CUT.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise what the call was cut with. A call whose caller has gone as well stays cancelled."""
        _CUT.reset(self._outer)
        if self._error is None:
            return
        others_cancel = self._task.uncancel() > self._cancelled_before
        if isinstance(error, asyncio.CancelledError) and not others_cancel:
            raise self._error  # without `from`, which would replace the cause that a rejection has


def cut_of_this_call() -> Cut:
    """Return the cut of the call that is served here."""
    return _CUT.get()


def serving_task() -> "asyncio.Task[object]":
    """Return the task that serves this call. Raises RuntimeError outside of one."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call is served in a task of its own")
    return task
