"""RecordService over gRPC: a stream is a session, pinned to this process; its steps run in worker threads, one at a time."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from federation.errors import Limit, OutOfOrder, RecordCutShort
from federation.protocol.hospital_record import AwaitingRequest, ReceivedDeposit, ReceivedQuery
from federation.services.hospital.hospital import Hospital
from federation.services.hospital.sessions import answer, open_session, take_frame
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.record_pb2 import (
    GetHospitalRequest,
    GetHospitalResponse,
    OpenSessionRequest,
    OpenSessionResponse,
)
from federation.v1.record_pb2_grpc import RecordServiceServicer
from federation.wire.roles import ServicerContext
from federation.wire.workers import Workers

MOST_DEPOSITS_AT_ONCE = 8
"""A deposit is held in memory until it is whole: at most 17 MiB each."""


class RecordServicer(RecordServiceServicer):
    """The hospital's private cloud. Raises the errors of `federation.errors`; the border makes them what a caller may know."""

    def __init__(self, hospital: Hospital, workers: Workers) -> None:
        """Serve this hospital's records."""
        self._hospital = hospital
        self._workers = workers
        self._deposits = 0

    async def OpenSession(  # noqa: N802 - gRPC's name
        self, request_iterator: AsyncIterator[OpenSessionRequest], context: ServicerContext
    ) -> AsyncIterator[OpenSessionResponse]:
        """Take D3, answer H1; take one D4 or one STO, answer H2 or STOACK."""
        del context
        opening = (await _next(request_iterator, "opening")).opening
        session, reply = await self._workers.run(open_session, self._hospital, opening)
        yield OpenSessionResponse(reply=reply)
        frames = await self._answer(session, request_iterator)
        while (frame := await self._workers.run_regardless(next, frames, None)) is not None:
            yield OpenSessionResponse(frame=frame)

    async def GetHospital(  # noqa: N802 - gRPC's name
        self, request: GetHospitalRequest, context: ServicerContext
    ) -> GetHospitalResponse:
        """Give KS_HPC and EK_HPC."""
        del request, context
        return await self._workers.run(_statements, self._hospital)

    async def _answer(
        self, session: AwaitingRequest, requests: AsyncIterator[OpenSessionRequest]
    ) -> Iterator[SessionFrame]:
        received = await self._taken(session, requests)
        if not isinstance(received, AwaitingRequest):
            return await self._workers.run(answer, self._hospital, received)
        with self._one_deposit():
            while isinstance(received, AwaitingRequest):
                received = await self._taken(received, requests)
            return await self._workers.run(answer, self._hospital, received)

    async def _taken(
        self, session: AwaitingRequest, requests: AsyncIterator[OpenSessionRequest]
    ) -> AwaitingRequest | ReceivedQuery | ReceivedDeposit:
        frame = (await _next(requests, "frame")).frame
        return await self._workers.run(take_frame, self._hospital, session, frame)

    @contextmanager
    def _one_deposit(self) -> Iterator[None]:
        if self._deposits >= MOST_DEPOSITS_AT_ONCE:
            raise Limit("too many deposits are under way here; try again in a moment")
        self._deposits += 1
        try:
            yield
        finally:
            self._deposits -= 1


async def _next(requests: AsyncIterator[OpenSessionRequest], content: str) -> OpenSessionRequest:
    try:
        request = await anext(requests)
    except StopAsyncIteration:
        raise RecordCutShort(f"the stream ended where its {content} is next") from None
    if request.WhichOneof("content") != content:
        raise OutOfOrder(f"something else came where the session's {content} is next")
    return request


def _statements(hospital: Hospital) -> GetHospitalResponse:
    party = hospital.member.party(hospital.clock())
    return GetHospitalResponse(
        key_statement=party.self_.key_statement, encryption_key_statement=party.encryption_key_statement
    )
