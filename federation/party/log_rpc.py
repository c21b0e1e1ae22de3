"""LogService over gRPC, the same at the public cloud and at hospitals: each call has its work done in a worker thread."""

from collections.abc import Callable
from dataclasses import dataclass

from federation.errors import FieldInvalid
from federation.party.log_heads import OwnLog
from federation.party.witness import Witness
from federation.protocol.parsing import check
from federation.store.log import TILE_WIDTH
from federation.v1.log_pb2 import (
    CosignRequest,
    CosignResponse,
    GetConsistencyRequest,
    GetConsistencyResponse,
    GetLogHeadRequest,
    GetLogHeadResponse,
    GetLogTileRequest,
    GetLogTileResponse,
    GetTimeStampRequest,
    GetTimeStampResponse,
)
from federation.v1.log_pb2_grpc import LogServiceServicer
from federation.v1.statement_pb2 import SignedStatement
from federation.wire.roles import ServicerContext
from federation.wire.workers import Workers

HIGHEST_LEVEL = 7
"""Of a tile: eight levels of 256 are more leaves than there are."""


@dataclass(frozen=True)
class KnownNode:
    """Where a node is dialled, and KS of a hospital."""

    address: str
    key_statement: SignedStatement | None


@dataclass(frozen=True)
class LogDesk:
    """What LogService answers from: the own log, what is kept of others', and whom this node knows."""

    own: OwnLog
    witness: Witness
    known: Callable[[str], KnownNode | None] = lambda _: None

    def head(self, request: GetLogHeadRequest) -> GetLogHeadResponse:
        """Return the newest head of the own log, or of another as it is kept here. Raises MalformedMessage."""
        check(request)  # GetLogHead.1
        node_id = request.node_id if request.HasField("node_id") else self.own.identity
        return self.own.shown() if node_id == self.own.identity else self._other(node_id)

    def _other(self, node_id: str) -> GetLogHeadResponse:
        held, known = self.witness.witnessed.of(node_id), self.known(node_id)
        response = GetLogHeadResponse(address=None if known is None else known.address)
        if held is not None:
            response.note = held.note
        stated = known.key_statement if known is not None else None
        if held is not None and held.key_statement:
            stated = SignedStatement.FromString(held.key_statement)
        if stated is not None:
            response.key_statement.CopyFrom(stated)
        return response

    def tile(self, request: GetLogTileRequest) -> GetLogTileResponse:
        """Return hashes of the own tree. Raises MalformedMessage, NotStored for what the tree does not have."""
        check(request)
        if request.level > HIGHEST_LEVEL or not 0 < request.width <= TILE_WIDTH:
            raise FieldInvalid("a tile is of level 0 to 7 and has 1 to 256 hashes")  # GetLogTile.1
        # GetLogTile.2
        return GetLogTileResponse(hashes=self.own.log.tile(request.level, request.index, request.width))

    def consistency(self, request: GetConsistencyRequest) -> GetConsistencyResponse:
        """Return the proof that the own tree of one size begins with that of another. Raises MalformedMessage."""
        check(request)
        if not request.old_size <= request.new_size <= self.own.log.size():
            raise FieldInvalid("the tree has no such sizes")  # GetConsistency.1
        return GetConsistencyResponse(proof=self.own.consistency(request.old_size, request.new_size))

    def time_stamp(self, request: GetTimeStampRequest) -> GetTimeStampResponse:
        """Return the first time stamp that covers so many leaves. Raises MalformedMessage."""
        check(request)
        if not 0 < request.size <= self.own.log.size():
            raise FieldInvalid("the tree has no such size")  # GetTimeStamp.1
        return self.own.time_stamp(request.number, request.size)


class LogServicer(LogServiceServicer):
    """The own log to anyone, and cosignatures for others'."""

    def __init__(self, desk: LogDesk, workers: Workers) -> None:
        """Answer from this desk, in these threads."""
        self._desk = desk
        self._workers = workers

    async def GetLogHead(self, request: GetLogHeadRequest, context: ServicerContext) -> GetLogHeadResponse:  # noqa: N802, ARG002 - the name in the proto
        """Return a head."""
        return await self._workers.run(self._desk.head, request)

    async def GetLogTile(self, request: GetLogTileRequest, context: ServicerContext) -> GetLogTileResponse:  # noqa: N802, ARG002
        """Return a tile."""
        return await self._workers.run(self._desk.tile, request)

    async def GetConsistency(  # noqa: N802
        self,
        request: GetConsistencyRequest,
        context: ServicerContext,  # noqa: ARG002 - anyone may call
    ) -> GetConsistencyResponse:
        """Return a proof."""
        return await self._workers.run(self._desk.consistency, request)

    async def GetTimeStamp(self, request: GetTimeStampRequest, context: ServicerContext) -> GetTimeStampResponse:  # noqa: N802, ARG002
        """Return a time stamp."""
        return await self._workers.run(self._desk.time_stamp, request)

    async def Cosign(self, request: CosignRequest, context: ServicerContext) -> CosignResponse:  # noqa: N802, ARG002
        """Cosign a head, or show the one that is kept."""
        return await self._workers.run(self._desk.witness.cosign, request)
