"""Followers are woken by what this process takes, and by what the store shows of others."""

import asyncio

from federation.errors import Limit
from federation.hospital.waiters import POLL_SECONDS, MailboxPoller, Waiters

MAILBOX = b"room", 1


class Store:
    """What rooms hold, as another process changes it."""

    def __init__(self) -> None:
        self.held = {b"room": 0}
        self.looks = 0
        self.refusals = 0

    async def look(self, rooms):
        self.looks += 1
        if self.refusals:
            self.refusals -= 1
            raise Limit("busy")
        return {room: self.held[room] for room in rooms if room in self.held}


async def woken(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True


def test_follower_is_woken_by_a_frame_of_another_process_and_by_nothing_else() -> None:
    async def follow() -> None:
        waiters, store = Waiters(), Store()
        poller = MailboxPoller(waiters, store.look)
        with waiters.waiting(MAILBOX) as event, waiters.waiting((b"other", 1)) as others:
            poller.begin()
            poller.begin()
            assert await woken(event, 1)
            assert not await woken(event, 4 * POLL_SECONDS)
            store.held[b"room"] += 64
            assert await woken(event, 1)
            assert not others.is_set()

    asyncio.run(follow())


def test_nothing_is_left_of_a_poller_that_is_ended_while_somebody_waits() -> None:
    async def follow() -> None:
        waiters, store = Waiters(), Store()
        poller = MailboxPoller(waiters, store.look)
        await poller.end()
        with waiters.waiting(MAILBOX) as event:
            poller.begin()
            assert await woken(event, 1)
            await poller.end()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(follow())


def test_looks_end_with_the_last_follower_and_begin_again_with_the_next() -> None:
    async def follow() -> None:
        waiters, store = Waiters(), Store()
        poller = MailboxPoller(waiters, store.look)
        with waiters.waiting(MAILBOX) as event:
            poller.begin()
            assert await woken(event, 1)
        await asyncio.sleep(3 * POLL_SECONDS)
        looks = store.looks
        await asyncio.sleep(3 * POLL_SECONDS)
        assert store.looks == looks
        with waiters.waiting(MAILBOX) as event:
            poller.begin()
            assert await woken(event, 1)

    asyncio.run(follow())


def test_look_that_is_turned_away_is_made_again() -> None:
    async def follow() -> None:
        waiters, store = Waiters(), Store()
        store.refusals = 1
        with waiters.waiting(MAILBOX) as event:
            MailboxPoller(waiters, store.look).begin()
            assert await woken(event, 5)

    asyncio.run(follow())
