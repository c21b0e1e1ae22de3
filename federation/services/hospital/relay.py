"""RelayService over gRPC. A follower waits without a thread, woken when this process takes a frame; other processes' frames
are found by looking once a second."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from federation.errors import Limit
from federation.protocol.parsing import check
from federation.services.hospital.hospital import Hospital
from federation.services.hospital.rooms import get_room, next_frames, open_room, put_frame
from federation.v1.consultation_pb2 import (
    FollowFramesRequest,
    FollowFramesResponse,
    GetRoomRequest,
    GetRoomResponse,
    OpenRoomRequest,
    OpenRoomResponse,
    PutFrameRequest,
    PutFrameResponse,
)
from federation.v1.consultation_pb2_grpc import RelayServiceServicer
from federation.wire.roles import ServicerContext
from federation.wire.workers import Workers

POLL_SECONDS = 1.0

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


class RelayServicer(RelayServiceServicer):
    """The mailboxes of consultations."""

    def __init__(self, hospital: Hospital, workers: Workers) -> None:
        """Keep the rooms of this hospital's doctors."""
        self._hospital = hospital
        self._workers = workers
        self._bells = Bells()
        self._stopping = False

    def stop(self) -> None:
        """End the followers' streams, so that a server can stop; they follow again elsewhere, or later."""
        self._stopping = True
        self._bells.ring_all()

    async def OpenRoom(self, request: OpenRoomRequest, context: ServicerContext) -> OpenRoomResponse:  # noqa: N802 - gRPC's name
        """Open a room for a registered doctor."""
        del context
        return await self._workers.run(open_room, self._hospital, request)

    async def GetRoom(self, request: GetRoomRequest, context: ServicerContext) -> GetRoomResponse:  # noqa: N802 - gRPC's name
        """Give a room's doctor."""
        del context
        return await self._workers.run(get_room, self._hospital, request)

    async def PutFrame(self, request: PutFrameRequest, context: ServicerContext) -> PutFrameResponse:  # noqa: N802 - gRPC's name
        """Keep a frame and wake its followers."""
        del context
        await self._workers.run(put_frame, self._hospital, request)
        self._bells.ring((request.room_id, request.direction))
        return PutFrameResponse()

    async def FollowFrames(  # noqa: N802 - gRPC's name
        self, request: FollowFramesRequest, context: ServicerContext
    ) -> AsyncIterator[FollowFramesResponse]:
        """Give the frames from a number on as they come, until the room expires or the follower leaves."""
        del context
        check(request)
        number = request.from_number
        frames = await self._workers.run(next_frames, self._hospital, request, number)
        with self._bells.listen((request.room_id, request.direction)) as rung:
            while not self._stopping:
                for frame in frames:
                    yield frame
                    number = frame.number + 1
                if not frames:
                    await _rung(rung)
                # Cleared before looking: what is put after the look rings again.
                rung.clear()
                frames = await self._look(request, number)

    async def _look(self, request: FollowFramesRequest, number: int) -> list[FollowFramesResponse]:
        try:
            return await self._workers.run(next_frames, self._hospital, request, number)
        except Limit:
            # Nothing is lost by looking again later.
            return []


async def _rung(event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(POLL_SECONDS):
            await event.wait()
    except TimeoutError:
        return
