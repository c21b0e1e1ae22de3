"""Calls to the LogService of others: the public cloud and hospitals, dialled where they are known to be."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import grpc

from federation.errors import Unavailable
from federation.party.channels import ChannelPool, call
from federation.protocol.bundle import TrustedBundle
from federation.protocol.parsing import check
from federation.v1.log_pb2 import (
    CosignRequest,
    CosignResponse,
    GetConsistencyRequest,
    GetLogHeadRequest,
    GetLogHeadResponse,
    GetTimeStampRequest,
    GetTimeStampResponse,
)
from federation.v1.log_pb2_grpc import LogServiceStub
from federation.wire.channel import Dialling
from remembered import Memory

PATIENCE_SECONDS = 5.0


class LogPeers(Protocol):
    """The LogServices of others, by whose they are. Each call raises Unavailable, or the peer's refusal."""

    def head(self, peer_id: str, of: str | None = None) -> GetLogHeadResponse:
        """Ask a peer for its own head, or for the head that it keeps of another; nothing of it is verified yet."""
        ...

    def consistency(self, peer_id: str, old_size: int, new_size: int) -> Sequence[bytes]:
        """Ask a log for a proof."""
        ...

    def cosign(self, peer_id: str, request: CosignRequest) -> CosignResponse:
        """Ask a witness for its cosignature."""
        ...


class DialledPeers:
    """The LogServices of others over TLS. Safe for several threads; close it."""

    def __init__(
        self,
        trust: Callable[[], TrustedBundle],
        address_of: "Callable[[str, LogPeers], str | None]",
        dialling: Dialling,
    ) -> None:
        """Dial the cloud where the bundle says, and others where `address_of` does, which may ask a peer."""
        self._trust = trust
        self._address_of = address_of
        self._channels = ChannelPool(trust, dialling=dialling)
        self._addresses: Memory[str, str] = Memory("addresses of nodes")

    def head(self, peer_id: str, of: str | None = None) -> GetLogHeadResponse:
        """Ask a peer for a head."""
        request = GetLogHeadRequest(node_id=of)
        response = call(LogServiceStub(self._channel(peer_id)).GetLogHead, request, seconds=PATIENCE_SECONDS)
        check(response)
        return response

    def consistency(self, peer_id: str, old_size: int, new_size: int) -> Sequence[bytes]:
        """Ask a log for a proof."""
        request = GetConsistencyRequest(old_size=old_size, new_size=new_size)
        response = call(LogServiceStub(self._channel(peer_id)).GetConsistency, request, seconds=PATIENCE_SECONDS)
        check(response)
        return response.proof

    def cosign(self, peer_id: str, request: CosignRequest) -> CosignResponse:
        """Ask a witness for its cosignature."""
        response = call(LogServiceStub(self._channel(peer_id)).Cosign, request, seconds=PATIENCE_SECONDS)
        check(response)
        return response

    def close(self) -> None:
        """Close the channels."""
        self._channels.close()

    def _channel(self, peer_id: str) -> grpc.Channel:
        content = self._trust().content
        if peer_id == content.cloud_id:
            return self._channels.get(content.cloud_address, peer_id)
        return self._channels.get(self._addresses.of(peer_id, partial(self._address, peer_id)), peer_id)

    def _address(self, peer_id: str) -> str:
        address = self._address_of(peer_id, self)
        if address is None:
            raise Unavailable(f"nobody here knows where {peer_id} is dialled")
        return address


def ask_for_stamp(channel: grpc.Channel, number: int, size: int) -> GetTimeStampResponse:
    """Ask a node for the first time stamp over so many leaves of this one of its logs. Raises Unavailable, or its refusal."""
    request = GetTimeStampRequest(number=number, size=size)
    response = call(LogServiceStub(channel).GetTimeStamp, request, seconds=PATIENCE_SECONDS)
    check(response)
    return response


def asked_at_the_cloud(cloud_id: Callable[[], str]) -> Callable[[str, LogPeers], str | None]:
    """Return how a hospital learns where another is dialled: the public cloud says it with the head that it keeps."""

    def address_of(peer_id: str, peers: LogPeers) -> str | None:
        response = peers.head(cloud_id(), of=peer_id)
        return response.address if response.HasField("address") else None

    return address_of
