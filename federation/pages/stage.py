"""One thread that owns a client: commands in, immutable snapshots out.

A client's token sessions and connections are used by one thread, the worker. Pages read the last snapshot and put commands
that carry the number of the snapshot which their page showed: a command from an overtaken page is refused (`MovedOn`), so a
double click, a second tab and the back button do nothing twice and nothing that nobody saw.

A state is a frozen dataclass. One with a method `between(seconds) -> state | None` has something to wait for (a patient, a
receipt): the worker calls it in slices while no command waits. A command runs whole; a long one says how far it is (`tell`)
and ends there if a command that cancels it waits.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Condition
from typing import Any, Final, Generic, TypeVar

from federation.pages.errors import MovedOn
from federation.person.interruption import Interruption

S = TypeVar("S")

SLICE_SECONDS: Final = 2.0
"""The longest that a state waits for something before the worker looks for commands again."""


class Cancelled(Exception):
    """The command that runs is given up, because a command that cancels it waits or the program ends."""


@dataclass(frozen=True)
class Progress:
    """How far a command is: what it does, in words, how many bytes or items of how many, None if nobody knows, and how fast."""

    words: str
    done: int
    total: int | None
    figures: str = ""


@dataclass(frozen=True)
class Snapshot(Generic[S]):
    """What pages show. `number` grows with every state that was shown; progress has none of its own."""

    number: int
    state: S
    progress: Progress | None = None


@dataclass(frozen=True)
class Moved:
    """The state that a page shows was overtaken."""

    number: int


@dataclass(frozen=True)
class _Command(Generic[S]):
    run: Callable[[S], S | None]
    seen: int
    cancels: bool
    seen_through: Future[None] = field(default_factory=Future)
    """Done when the command has something to show, failed if it was refused."""

    def settle(self, refusal: MovedOn | None = None) -> None:
        """Let go whoever put the command; a second call does nothing."""
        if self.seen_through.done():
            return
        if refusal is None:
            self.seen_through.set_result(None)
        else:
            self.seen_through.set_exception(refusal)


class Stage(Generic[S]):
    """Where a client's thread and its pages meet. Every method may be called from any thread unless it says otherwise."""

    def __init__(self, first: S, on_fault: Callable[[S, Exception], S]) -> None:
        """Begin with a state. `on_fault` says what an error that a command or a wait raised makes of the state."""
        self._snapshot = Snapshot(1, first)
        self._on_fault = on_fault
        self._changed = Condition()
        self._waiting: deque[_Command[S]] = deque()
        self._running: _Command[S] | None = None
        self._locking: Callable[[S], S] | None = None
        self._is_locked = False
        self._is_stopped = False
        self._listeners: set[Callable[[], None]] = set()
        self.interruption = Interruption()
        """Set as soon as there is something else to do than what a state waits for: a longer wait than a slice ends with it."""

    @property
    def snapshot(self) -> Snapshot[S]:
        """Return what is shown now."""
        return self._snapshot

    @property
    def is_stopped(self) -> bool:
        """Return whether the stage has ended or is about to."""
        return self._is_stopped

    async def do(self, command: Callable[[S], S | None], *, seen: int, cancels: bool = False) -> None:
        """Have the worker run `command(state)` and show what it returns, unless that is None.

        Returns when there is something to see: the command has shown a state, told its progress, or ended. One that `cancels`
        ends what runs first. Raises MovedOn if another state than `seen` is shown, another command is under way, or the
        command itself raises it.
        """
        await asyncio.wrap_future(self._put(_Command(command, seen, cancels)))

    def _put(self, command: _Command[S]) -> Future[None]:
        command.seen_through.set_running_or_notify_cancel()  # whoever goes away does not take the command back
        with self._changed:
            if self._is_stopped or self._is_locked:
                raise MovedOn
            self._require_current(command)
            if any(it.cancels for it in self._waiting) or (self._is_busy and not command.cancels):
                raise MovedOn
            self._waiting.append(command)
            self.interruption.set()
            self._changed.notify_all()
        return command.seen_through

    def _require_current(self, command: _Command[S]) -> None:
        if command.seen != self._snapshot.number:
            raise MovedOn

    @property
    def _is_busy(self) -> bool:
        return bool(self._waiting) or self._running is not None

    async def events(self, seen: int) -> AsyncIterator[Moved | Progress | None]:
        """Yield each progress while the state of number `seen` is shown, and None when there is none any more; then `Moved`.

        A lock moves on, too; the end says nothing, for there is nowhere to go.
        """
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(changed.set)

        last: Progress | None = None
        with self._changed:
            self._listeners.add(wake)
        try:
            while not (self._is_stopped or self._is_locked):
                changed.clear()
                snapshot = self._snapshot
                if snapshot.number != seen:
                    yield Moved(snapshot.number)
                    return
                if snapshot.progress != last:
                    last = snapshot.progress
                    yield last
                await changed.wait()
            if self._is_locked:
                yield Moved(self._snapshot.number)
        finally:
            with self._changed:
                self._listeners.discard(wake)

    def run(self) -> None:
        """Work until `stop`: what locks first, then commands, then one slice of what the state waits for."""
        while self._wait_for_work():
            with self._changed:
                locking, command = self._locking, None
                if locking is None and self._waiting:
                    command = self._running = self._waiting.popleft()
                elif locking is None and not self._is_stopped:
                    self.interruption.clear()
            if locking is not None:
                self._lock(locking)
            elif command is not None:
                self._obey(command)
            else:
                self._show_outcome(self._slice)

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or self._locking or self._may_work)
            return not self._is_stopped

    @property
    def _may_work(self) -> bool:
        return not self._is_locked and (bool(self._waiting) or hasattr(self._snapshot.state, "between"))

    def _slice(self, state: Any) -> S | None:  # noqa: ANN401 - any state that has something to wait for
        waited: S | None = state.between(SLICE_SECONDS)
        return waited

    def _obey(self, command: _Command[S]) -> None:
        after: S | None = None
        refusal: MovedOn | None = None
        try:
            self._require_current(command)
            after = self._outcome(command.run)
        except MovedOn as error:
            refusal = error
        finally:
            with self._changed:
                self._running = None  # before a page hears of the end: it may send the next command at once
            self._show_end(after)
            command.settle(refusal)

    def _show_outcome(self, work: Callable[[S], S | None]) -> None:
        self._show_end(self._outcome(work))

    def _show_end(self, after: S | None) -> None:
        self._clear_progress()
        if after is not None:
            self.show(after)

    def _outcome(self, work: Callable[[S], S | None]) -> S | None:
        """Return what some work makes of the state, or what its fault does; None for nothing to show."""
        try:
            return work(self._snapshot.state)
        except MovedOn:
            raise
        except Cancelled:
            return None
        except Exception as error:  # noqa: BLE001 - whatever it is, a person is told, and the client goes on
            return self._on_fault(self._snapshot.state, error)

    def show(self, state: S) -> None:
        """Show a state; every page that shows the one before goes there."""
        with self._changed:
            self._snapshot = Snapshot(self._snapshot.number + 1, state)
            self._announce()

    def tell(self, progress: Progress) -> None:
        """Say how far the command is that runs; in the worker. Raises Cancelled if it is to end."""
        with self._changed:
            self._snapshot = replace(self._snapshot, progress=progress)
            self._announce()
            if self._is_stopped or any(it.cancels for it in self._waiting):
                raise Cancelled

    def _clear_progress(self) -> None:
        with self._changed:
            if self._snapshot.progress is not None:
                self._snapshot = replace(self._snapshot, progress=None)
                self._announce()

    def _announce(self) -> None:
        if self._running is not None:
            self._running.settle()
        for wake in self._listeners:
            wake()

    def lock(self, locking: Callable[[S], S]) -> None:
        """Have the worker run `locking(state)` after what it does now, and then do nothing until `unlock`. Returns at once."""
        with self._changed:
            if not self._is_locked:
                self._is_locked, self._locking = True, locking
                self.interruption.set()
                self._refuse_waiting()
                self._changed.notify_all()
                self._announce()

    def _lock(self, locking: Callable[[S], S]) -> None:
        try:
            self._show_outcome(locking)
        finally:
            with self._changed:
                self._locking = None
                self._changed.notify_all()

    def unlock(self, unlocking: Callable[[S], S]) -> None:
        """Run `unlocking(state)` in this thread while the worker rests, show what it returns, and let the worker go on.

        What `unlocking` raises is raised, and the stage stays locked.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or self._locking is None)
        if self._is_stopped or not self._is_locked:
            return
        self.show(unlocking(self._snapshot.state))
        with self._changed:
            self._is_locked = False
            self._changed.notify_all()

    def stop(self) -> None:
        """End the worker after what it does now, which ends at its next `tell`, and every stream of events."""
        with self._changed:
            self._is_stopped = True
            self.interruption.set()
            self._refuse_waiting()
            self._changed.notify_all()
            self._announce()

    def _refuse_waiting(self) -> None:
        while self._waiting:
            self._waiting.popleft().settle(MovedOn())
