"""RelayService over gRPC. A follower waits without a thread, woken when a frame is taken here or in another process."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

from federation.errors import Limit
from federation.hospital.hospital import Hospital
from federation.hospital.relay import (
    RelaySpace,
    close_room,
    get_room,
    next_frames,
    open_room,
    put_frame,
    require_open_room,
)
from federation.hospital.standing import Standing
from federation.hospital.waiters import Bells, RoomWatch
from federation.protocol.parsing import check
from federation.v1.consultation_pb2 import (
    DIRECTION_TO_DOCTOR,
    DIRECTION_TO_PATIENT,
    CloseRoomRequest,
    CloseRoomResponse,
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
from federation.wire.cutting import cut_of_this_call
from federation.wire.limits import RateBound, caller_of_peer
from federation.wire.roles import ServicerContext, calling_hospital
from federation.wire.workers import Workers

BACKSTOP_SECONDS = 10.0
"""After so long a follower looks although nobody rang: its room may have expired."""

BUSY_SECONDS = 0.2

FRAMES_PER_SECOND, FRAMES_AT_ONCE = 100, 400
"""That one caller may put into one room: far more than a visit has, and 50 MB a second."""


class RelayServicer(RelayServiceServicer):
    """The mailboxes of consultations."""

    def __init__(self, hospital: Hospital, workers: Workers, standing: Standing) -> None:
        """Keep the rooms of this hospital's doctors; `standing` looks whether those still are."""
        self._hospital = hospital
        self._workers = workers
        self._standing = standing
        self._frames = RateBound(FRAMES_PER_SECOND, FRAMES_AT_ONCE)
        self._space = RelaySpace(hospital)
        self._bells = Bells()
        self._watch = RoomWatch(self._bells, self._held_bytes)
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
        caller = calling_hospital(context) or caller_of_peer(context.peer())
        self._frames.require(f"{request.room_id.hex()} {caller}")  # PutFrame.1
        await self._workers.run(self._put, request)
        self._bells.ring((request.room_id, request.direction))
        return PutFrameResponse()

    async def CloseRoom(self, request: CloseRoomRequest, context: ServicerContext) -> CloseRoomResponse:  # noqa: N802 - gRPC's name
        """Close a room for its doctor; who follows it hears of it."""
        del context
        await self._workers.run(close_room, self._hospital, request)
        for direction in (DIRECTION_TO_DOCTOR, DIRECTION_TO_PATIENT):
            self._bells.ring((request.room_id, direction))
        return CloseRoomResponse()

    async def FollowFrames(  # noqa: N802 - gRPC's name
        self, request: FollowFramesRequest, context: ServicerContext
    ) -> AsyncIterator[FollowFramesResponse]:
        """Give the frames from a number on as they come, until the room expires or the follower leaves."""
        del context
        check(request)  # FollowFrames.1
        number = request.from_number
        frames = await self._workers.run(next_frames, self._hospital, request, number)
        require = partial(require_open_room, self._hospital, request.room_id)  # FollowFrames.2
        with (
            self._standing.of(require, cut_of_this_call().because_of),
            self._bells.listen((request.room_id, request.direction)) as rung,
        ):
            self._watch.begin()
            while not self._stopping:
                for frame in frames:
                    yield frame
                    number = frame.number + 1
                if not frames:
                    await _rung(rung)
                # Cleared before looking: what is put after the look rings again.
                rung.clear()
                frames = await self._look(request, number, rung)

    def _put(self, request: PutFrameRequest) -> None:
        self._space.require()  # PutFrame.2
        put_frame(self._hospital, request)

    async def _look(self, request: FollowFramesRequest, number: int, rung: asyncio.Event) -> list[FollowFramesResponse]:
        try:
            return await self._workers.run(next_frames, self._hospital, request, number)
        except Limit:
            # Nothing is lost by looking again later.
            await asyncio.sleep(BUSY_SECONDS)
            rung.set()
            return []

    async def _held_bytes(self, room_ids: Sequence[bytes]) -> Mapping[bytes, int]:
        return await self._workers.run(self._hospital.stores.rooms.held_bytes, room_ids)


async def _rung(event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(BACKSTOP_SECONDS):
            await event.wait()
    except TimeoutError:
        return
