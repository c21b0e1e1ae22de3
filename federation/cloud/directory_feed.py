"""Reporter those who follow the directory of a new issue, at once and without a thread each."""

import asyncio

from federation.cloud.directory_publisher import Bulletin, Issue


class News:
    """The newest issue, awaited. Use from one event loop."""

    def __init__(self, bulletin: Bulletin) -> None:
        """Follow this bulletin."""
        self._bulletin = bulletin
        self._changed = asyncio.Condition()
        self._closed = False

    async def announce(self) -> None:
        """Wake the followers: the bulletin may have a new issue."""
        async with self._changed:
            self._changed.notify_all()

    async def after(self, sequence: int) -> Issue | None:
        """Give an issue whose sequence is above this one, when there is one; None when the server stops."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or self._bulletin.current.sequence > sequence)
        return None if self._closed else self._bulletin.current

    async def close(self) -> None:
        """Let all followers go."""
        self._closed = True
        await self.announce()
