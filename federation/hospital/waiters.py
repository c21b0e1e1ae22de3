"""Waking the followers of mailboxes, also when it was another process, or another machine, that took the frame.

Every process looks at the rooms that somebody follows here: one small query for all of them, so that how many follow hardly
matters, and any database will do.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from federation.errors import Limit
from federation.store.errors import StoreError

LOOK_SECONDS = 0.05
PAUSE_SECONDS = 1.0
"""Before the next look where one could not be made."""

_Mailbox = tuple[bytes, int]


class Bells:
    """Wakes the followers of a mailbox within one event loop."""

    def __init__(self) -> None:
        """Start with nobody listening."""
        self._listening: dict[_Mailbox, set[asyncio.Event]] = {}

    def ring(self, mailbox: _Mailbox) -> None:
        """Wake whoever listens."""
        for event in self._listening.get(mailbox, ()):
            event.set()

    @property
    def rooms(self) -> set[bytes]:
        """Give the rooms of which somebody listens to a mailbox."""
        return {room_id for room_id, _ in self._listening}

    def ring_room(self, room_id: bytes) -> None:
        """Wake whoever listens to a mailbox of a room."""
        for mailbox in list(self._listening):
            if mailbox[0] == room_id:
                self.ring(mailbox)

    def ring_all(self) -> None:
        """Wake everybody."""
        for mailbox in list(self._listening):
            self.ring(mailbox)

    @contextmanager
    def listen(self, mailbox: _Mailbox) -> Iterator[asyncio.Event]:
        """Give an event that is set at each ring, until the block ends."""
        event = asyncio.Event()
        events = self._listening.setdefault(mailbox, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events:
                self._listening.pop(mailbox, None)


class RoomWatch:
    """Rings for the rooms that hold more than at the last look. Use from one event loop."""

    def __init__(self, bells: Bells, look: Callable[[Sequence[bytes]], Awaitable[Mapping[bytes, int]]]) -> None:
        """Look with a function that gives what rooms hold. It raises Limit, StoreError."""
        self._bells = bells
        self._look = look
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look from now on, until nobody listens any more. What came before the first look rings then."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        before: Mapping[bytes, int] = {}
        while rooms := self._bells.rooms:
            try:
                held = await self._look(list(rooms))
            except (Limit, StoreError):
                # Followers look by themselves now and then, and are told what is wrong.
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            for room_id in held:
                if held[room_id] != before.get(room_id):
                    self._bells.ring_room(room_id)
            before = held
            await asyncio.sleep(LOOK_SECONDS)
