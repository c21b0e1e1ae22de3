"""One side of a room at the relay: frames put under the next number, frames followed through lost connections."""

import time
from collections.abc import Iterator
from datetime import timedelta

import grpc

from federation.errors import Conflict, FederationError, Limit, OutOfOrder, Unavailable
from federation.party.channels import call
from federation.person.dealing import Connect
from federation.person.interruption import Interruption
from federation.protocol.identities import require_identity
from federation.v1 import consultation_pb2 as pb
from federation.v1.consultation_pb2 import (
    FollowFramesRequest,
    GetRoomRequest,
    GetRoomResponse,
    PutFrameRequest,
    RelayFrame,
)
from federation.v1.consultation_pb2_grpc import RelayServiceStub
from federation.wire.status import from_rpc_error
from keystore.identities import HospitalId

LONGEST_STREAM_SECONDS = 300.0
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
MOST_PUT_ATTEMPTS = 6
MOST_NUMBERS_PASSED = 4096
"""How many of its direction's numbers a sender finds taken by others before it gives up."""


class Mailbox:
    """A room as one of its two sides uses it. `next_put` and `next_read` may be kept, to go on in another process."""

    def __init__(
        self,
        channel: grpc.Channel,
        room_id: bytes,
        puts: "pb.Direction.ValueType",
        *,
        next_put: int = 0,
        next_read: int = 0,
        stream_seconds: float = LONGEST_STREAM_SECONDS,
        interruption: Interruption | None = None,
    ) -> None:
        """Use a room over this channel; `puts` is the direction that this side sends in. An interruption ends a wait."""
        self._stub = RelayServiceStub(channel)
        self.room_id = room_id
        self._puts = puts
        self._reads = pb.DIRECTION_TO_PATIENT if puts == pb.DIRECTION_TO_DOCTOR else pb.DIRECTION_TO_DOCTOR
        self._stream_seconds = stream_seconds
        self._interruption = interruption or Interruption()
        self.next_put = next_put
        self.next_read = next_read
        self._retry_after = 0.0

    def room(self) -> GetRoomResponse:
        """Fetch whose room it is. Raises NoSuchRoom; nothing of it is verified yet."""
        return call(self._stub.GetRoom, GetRoomRequest(room_id=self.room_id))

    def put(self, frame: RelayFrame) -> None:
        """Put a frame once, however often the connection fails. Raises NoSuchRoom, Limit, Unavailable.

        The relay takes the same frame again under its number; a number that somebody else's frame has is passed over.
        """
        attempts, pause = 0, FIRST_PAUSE_SECONDS
        for _ in range(MOST_NUMBERS_PASSED):
            try:
                self._put_as(self.next_put, frame)
            except Conflict:
                self.next_put += 1
                continue
            except (Unavailable, Limit) as error:
                attempts += 1
                if attempts == MOST_PUT_ATTEMPTS:
                    raise
                time.sleep(max(pause, error.retry_after.total_seconds()))
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                continue
            self.next_put += 1
            return
        raise Limit("the room is full of other messages")

    def follow(self, *, seconds: float) -> Iterator[RelayFrame]:
        """Yield the other side's frames as they come, for so long or until it is interrupted; then end. Raises NoSuchRoom.

        A lost connection is opened again from the next number on.
        """
        deadline = time.monotonic() + seconds
        pause = FIRST_PAUSE_SECONDS
        while (left := deadline - time.monotonic()) > 0 and not self._interruption.is_set():
            before = self.next_read
            yield from self._stream(min(left, self._stream_seconds))
            pause = FIRST_PAUSE_SECONDS if self.next_read > before else min(2 * pause, LONGEST_PAUSE_SECONDS)
            self._interruption.wait(max(0.0, min(max(pause, self._retry_after), deadline - time.monotonic())))

    def _put_as(self, number: int, frame: RelayFrame) -> None:
        request = PutFrameRequest(room_id=self.room_id, direction=self._puts, number=number, frame=frame)
        call(self._stub.PutFrame, request)

    def _stream(self, seconds: float) -> Iterator[RelayFrame]:
        request = FollowFramesRequest(room_id=self.room_id, direction=self._reads, from_number=self.next_read)
        stream = self._stub.FollowFrames(request, timeout=seconds)
        self._retry_after = 0.0
        try:
            with self._interruption.ending(stream.cancel):
                for response in stream:
                    if response.number != self.next_read:
                        raise OutOfOrder("the relay left a message out")  # FollowFrames.3
                    self.next_read += 1
                    yield response.frame
        except grpc.RpcError as error:
            if not self._interruption.is_set():
                self._retry_after = _require_passing(error).total_seconds()
        finally:
            stream.cancel()


def open_mailbox(
    connect: Connect,
    address: str,
    hospital_id: HospitalId,
    room_id: bytes,
    puts: "pb.Direction.ValueType",
    *,
    next_put: int = 0,
    next_read: int = 0,
    interruption: Interruption | None = None,
) -> Mailbox:
    """Open a room at the relay of a hospital. Raises FieldInvalid for what is no hospital's id."""
    channel = connect(address, require_identity("hospital", hospital_id))
    return Mailbox(channel, room_id, puts, next_put=next_put, next_read=next_read, interruption=interruption)


def _require_passing(error: grpc.RpcError) -> timedelta:
    """Raise the relay's refusal, unless it is one that passes: the connection is then opened again, after so long at least."""
    if isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.CANCELLED:
        return timedelta()
    refusal: FederationError = from_rpc_error(error)
    if not isinstance(refusal, Unavailable | Limit):
        raise refusal from None
    return refusal.retry_after
