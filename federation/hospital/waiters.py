"""Waking the followers of mailboxes, also when it was another process, or another machine, that took the frame.

Every process looks at the rooms that somebody follows here: one small query for all of them, so that how many follow hardly
matters, and any database will do.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from federation.errors import Limit
from federation.store.errors import StoreError

POLL_SECONDS = 0.05
PAUSE_SECONDS = 1.0
"""Before the next look where one could not be made."""

_Mailbox = tuple[bytes, int]


class Waiters:
    """Wakes the followers of a mailbox within one event loop."""

    def __init__(self) -> None:
        """Start with nobody waiting."""
        self._waiting: dict[_Mailbox, set[asyncio.Event]] = {}

    def wake(self, mailbox: _Mailbox) -> None:
        """Wake whoever waits."""
        for event in self._waiting.get(mailbox, ()):
            event.set()

    @property
    def rooms(self) -> set[bytes]:
        """Return the rooms of which somebody waits at a mailbox."""
        return {room_id for room_id, _ in self._waiting}

    def wake_room(self, room_id: bytes) -> None:
        """Wake whoever waits at a mailbox of a room."""
        for mailbox in list(self._waiting):
            if mailbox[0] == room_id:
                self.wake(mailbox)

    def wake_all(self) -> None:
        """Wake everybody."""
        for mailbox in list(self._waiting):
            self.wake(mailbox)

    @contextmanager
    def waiting(self, mailbox: _Mailbox) -> Iterator[asyncio.Event]:
        """Yield an event that is set at each waking, until the block ends."""
        event = asyncio.Event()
        events = self._waiting.setdefault(mailbox, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events:
                self._waiting.pop(mailbox, None)


class MailboxPoller:
    """Wakes for the rooms that hold more than at the last look. Use from one event loop."""

    def __init__(self, waiters: Waiters, look: Callable[[Sequence[bytes]], Awaitable[Mapping[bytes, int]]]) -> None:
        """Look with a function that gives what rooms hold. It raises Limit, StoreError."""
        self._waiters = waiters
        self._look = look
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look from now on, until nobody waits any more. What came before the first look wakes then."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())

    async def end(self) -> None:
        """Look no more, before the event loop ends."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _poll(self) -> None:
        before: Mapping[bytes, int] = {}
        while rooms := self._waiters.rooms:
            try:
                held = await self._look(list(rooms))
            except (Limit, StoreError):
                # Followers look by themselves now and then, and are told what is wrong.
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            for room_id in held:
                if held[room_id] != before.get(room_id):
                    self._waiters.wake_room(room_id)
            before = held
            await asyncio.sleep(POLL_SECONDS)
