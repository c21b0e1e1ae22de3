"""The services of a hospital over gRPC.

A record session is a stream, pinned to this process; its steps run in worker threads, one at a time. A follower of a mailbox
waits without a thread, woken when a frame is taken here or in another process.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from functools import partial

from federation.errors import Authorization, Limit, NoSuchRecord, OutOfOrder, RecordCutShort, Rejected
from federation.hospital.relay import (
    RelaySpace,
    close_room,
    get_room,
    next_frames,
    open_room,
    put_frame,
    require_open_room,
)
from federation.hospital.roster import get_duty
from federation.hospital.services import Hospital
from federation.hospital.sessions import (
    Received,
    RecordStream,
    answer,
    open_session,
    require_asker,
    take_frame,
)
from federation.hospital.standing import Standing
from federation.hospital.stating import get_shards, stated
from federation.hospital.waiters import MailboxPoller, Waiters
from federation.party.audit import OK
from federation.protocol.parsing import check
from federation.protocol.parties import reason_of
from federation.protocol.record_hospital import AwaitingRequest
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
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.record_pb2 import (
    GetDutyRequest,
    GetDutyResponse,
    GetHospitalRequest,
    GetHospitalResponse,
    GetHospitalShardsRequest,
    GetHospitalShardsResponse,
    OpenSessionRequest,
    OpenSessionResponse,
)
from federation.v1.record_pb2_grpc import RecordServiceServicer
from federation.wire.cut import cut_of_this_call
from federation.wire.limits import RateBound, caller_of_peer
from federation.wire.roles import ServicerContext, calling_hospital
from federation.wire.workers import Workers

MOST_DEPOSITS_AT_ONCE = 8
"""A deposit is held in memory until it is whole: at most 17 MiB each."""

TO_END_BY_ITSELF_SECONDS = 1.0
"""That a record has, once its access or who asked no longer holds, to end with the outcome in its last frame."""

BACKSTOP_SECONDS = 10.0
"""After so long a follower looks although nobody woke it: its room may have expired."""

BUSY_SECONDS = 0.2

FRAMES_PER_SECOND, FRAMES_AT_ONCE = 100, 400
"""That one caller may put into one room: far more than a visit has, and 50 MB a second."""


class RecordServicer(RecordServiceServicer):
    """The hospital's private cloud. Raises errors of `federation.errors`; the call guard makes them what a caller may know."""

    def __init__(self, hospital: Hospital, workers: Workers, standing: Standing) -> None:
        """Serve this hospital's records; `standing` looks at whom they go to."""
        self._hospital = hospital
        self._workers = workers
        self._standing = standing
        self._deposits = 0

    async def OpenSession(  # noqa: N802 - gRPC's name
        self, request_iterator: AsyncIterator[OpenSessionRequest], context: ServicerContext
    ) -> AsyncIterator[OpenSessionResponse]:
        """Take D3, answer H1; take one D4, one STO or one OWN, answer H2 or STOACK."""
        del context
        opening = (await _next(request_iterator, "opening")).opening
        session, reply = await self._workers.run(open_session, self._hospital, opening)
        yield OpenSessionResponse(reply=reply)
        answered = await self._answer(session, request_iterator)
        if isinstance(answered, RecordStream):
            async with aclosing(self._sent(answered)) as frames:
                async for frame in frames:
                    yield frame  # type: ignore[misc] # serialised already: the call guard passes it on
        else:
            yield OpenSessionResponse(frame=answered)

    async def GetHospital(  # noqa: N802 - gRPC's name
        self, request: GetHospitalRequest, context: ServicerContext
    ) -> GetHospitalResponse:
        """Return KS_HPC and EK_HPC."""
        del request, context
        return await self._workers.run(stated, self._hospital)

    async def GetDuty(self, request: GetDutyRequest, context: ServicerContext) -> GetDutyResponse:  # noqa: N802 - gRPC's name
        """Return the duty of a doctor who is on duty here."""
        del context
        return await self._workers.run(get_duty, self._hospital, request)

    async def GetHospitalShards(  # noqa: N802 - gRPC's name
        self, request: GetHospitalShardsRequest, context: ServicerContext
    ) -> GetHospitalShardsResponse:
        """Return shards of the revocation list."""
        del context
        return await self._workers.run(get_shards, self._hospital, request)

    async def _answer(
        self, session: AwaitingRequest, requests: AsyncIterator[OpenSessionRequest]
    ) -> SessionFrame | RecordStream:
        """Take D4, or STO or OWN with its slices, and decide; who is revoked before it is whole is told at once."""
        with ExitStack() as held:
            require = partial(require_asker, self._hospital, session)
            with self._standing.of(require, cut_of_this_call().because_of):
                received = await self._taken(session, requests)
                if isinstance(received, AwaitingRequest):
                    held.enter_context(self._one_deposit())
                while isinstance(received, AwaitingRequest):
                    received = await self._taken(received, requests)
            return await self._workers.run(answer, self._hospital, received)

    async def _sent(self, record: RecordStream) -> AsyncGenerator[bytes, None]:
        """Yield the frames of a record as long as it may go on, and log how it ended.

        Between frames it ends by itself. A reader that takes nothing keeps it from getting there: then the call is cut.
        """
        cut, cutting = cut_of_this_call(), list[asyncio.TimerHandle]()
        loop = asyncio.get_running_loop()

        def ended(error: Exception) -> None:
            cutting.append(loop.call_later(TO_END_BY_ITSELF_SECONDS, cut.because_of, _as_rejected(error)))

        outcome = RecordCutShort.reason
        try:
            with self._standing.of(record.require_still_allowed, ended):
                while (frame := await self._workers.run_regardless(record.next)) is not None:
                    if frame.last:
                        # All of it is out: who leaves on the last frame has it whole.
                        outcome = OK
                    began = loop.time()
                    yield frame.message
                    record.pace.took(loop.time() - began)
        except Exception as error:
            outcome = reason_of(error)
            raise
        finally:
            for timer in cutting:
                timer.cancel()
            await self._workers.run_regardless(record.log, outcome)

    async def _taken(
        self, session: AwaitingRequest, requests: AsyncIterator[OpenSessionRequest]
    ) -> AwaitingRequest | Received:
        frame = (await _next(requests, "frame")).frame
        return await self._workers.run(take_frame, self._hospital, session, frame)

    @contextmanager
    def _one_deposit(self) -> Iterator[None]:
        if self._deposits >= MOST_DEPOSITS_AT_ONCE:
            raise Limit("too many deposits are under way here; try again in a moment")  # OpenSession.3
        self._deposits += 1
        try:
            yield
        finally:
            self._deposits -= 1


def _as_rejected(error: Exception) -> Exception:
    """Return what is told to one who takes nothing: there is no last frame to say more in."""
    if not isinstance(error, Authorization | NoSuchRecord):
        return error
    rejected = Rejected("the message was not accepted")
    rejected.__cause__ = error
    return rejected


async def _next(requests: AsyncIterator[OpenSessionRequest], content: str) -> OpenSessionRequest:
    try:
        request = await anext(requests)
    except StopAsyncIteration:
        raise RecordCutShort(f"the stream ended where its {content} is next") from None  # OpenSession.1
    if request.WhichOneof("content") != content:
        raise OutOfOrder(f"something else came where the session's {content} is next")  # OpenSession.2
    return request


class RelayServicer(RelayServiceServicer):
    """The mailboxes of consultations."""

    def __init__(self, hospital: Hospital, workers: Workers, standing: Standing) -> None:
        """Keep the rooms of this hospital's doctors; `standing` looks whether those still are."""
        self._hospital = hospital
        self._workers = workers
        self._standing = standing
        self._frames = RateBound(FRAMES_PER_SECOND, FRAMES_AT_ONCE)
        self._space = RelaySpace(hospital)
        self._waiters = Waiters()
        self._poller = MailboxPoller(self._waiters, self._held_bytes)
        self._stopping = False

    def stop(self) -> None:
        """End the followers' streams, so that a server can stop; they follow again elsewhere, or later."""
        self._stopping = True
        self._waiters.wake_all()

    async def settle(self) -> None:
        """End what a server that has stopped leaves under way."""
        await self._poller.end()

    async def OpenRoom(self, request: OpenRoomRequest, context: ServicerContext) -> OpenRoomResponse:  # noqa: N802 - gRPC's name
        """Open a room for a registered doctor who is on duty."""
        del context
        return await self._workers.run(open_room, self._hospital, request)

    async def GetRoom(self, request: GetRoomRequest, context: ServicerContext) -> GetRoomResponse:  # noqa: N802 - gRPC's name
        """Return a room's doctor."""
        del context
        return await self._workers.run(get_room, self._hospital, request)

    async def PutFrame(self, request: PutFrameRequest, context: ServicerContext) -> PutFrameResponse:  # noqa: N802 - gRPC's name
        """Keep a frame and wake its followers."""
        caller = calling_hospital(context) or caller_of_peer(context.peer())
        self._frames.require(f"{request.room_id.hex()} {caller}")  # PutFrame.1
        await self._workers.run(self._put, request)
        self._waiters.wake((request.room_id, request.direction))
        return PutFrameResponse()

    async def CloseRoom(self, request: CloseRoomRequest, context: ServicerContext) -> CloseRoomResponse:  # noqa: N802 - gRPC's name
        """Close a room for its doctor; who follows it hears of it."""
        del context
        await self._workers.run(close_room, self._hospital, request)
        for direction in (DIRECTION_TO_DOCTOR, DIRECTION_TO_PATIENT):
            self._waiters.wake((request.room_id, direction))
        return CloseRoomResponse()

    async def FollowFrames(  # noqa: N802 - gRPC's name
        self, request: FollowFramesRequest, context: ServicerContext
    ) -> AsyncIterator[FollowFramesResponse]:
        """Yield the frames from a number on as they come, until the room expires or the follower leaves."""
        del context
        check(request)  # FollowFrames.1
        number = request.from_number
        frames = await self._workers.run(next_frames, self._hospital, request, number)
        require = partial(require_open_room, self._hospital, request.room_id)  # FollowFrames.2
        with (
            self._standing.of(require, cut_of_this_call().because_of),
            self._waiters.waiting((request.room_id, request.direction)) as woken,
        ):
            self._poller.begin()
            while not self._stopping:
                for frame in frames:
                    yield frame
                    number = frame.number + 1
                if not frames:
                    await _wait_for(woken)
                # Cleared before looking: what is put after the look wakes again.
                woken.clear()
                frames = await self._look(request, number, woken)

    def _put(self, request: PutFrameRequest) -> None:
        self._space.require()  # PutFrame.2
        put_frame(self._hospital, request)

    async def _look(
        self, request: FollowFramesRequest, number: int, woken: asyncio.Event
    ) -> list[FollowFramesResponse]:
        try:
            return await self._workers.run(next_frames, self._hospital, request, number)
        except Limit:
            # Nothing is lost by looking again later.
            await asyncio.sleep(BUSY_SECONDS)
            woken.set()
            return []

    async def _held_bytes(self, room_ids: Sequence[bytes]) -> Mapping[bytes, int]:
        rooms = self._hospital.stores.rooms
        return await self._workers.run(rooms.held_bytes, room_ids)


async def _wait_for(event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(BACKSTOP_SECONDS):
            await event.wait()
    except TimeoutError:
        return
