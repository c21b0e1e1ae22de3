"""Calling peers: with a deadline and typed errors, in channels that follow the trust bundle.

No restart is needed for a new TLS CA, leaf or address, and no call is dropped for it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import grpc

from federation.errors import FederationError, Unavailable
from federation.protocol.bundle import TrustedBundle
from federation.wire.channel import ANYWHERE, CALL_SECONDS, Dialling, Target, channel_to
from federation.wire.status import from_rpc_error
from keystore.x509 import TlsLeaf

Request = TypeVar("Request")
Response = TypeVar("Response")

RETIRED_SECONDS = 3700.0
"""How long a channel that gave way stays for the calls under way in it: longer than any call may take."""

RESOLVED_SECONDS = 60.0
"""How long an address that was resolved and checked here is dialled as it was; gRPC resolves what is not checked itself."""


def _unchanged(channel: grpc.Channel) -> grpc.Channel:
    return channel


class AddressedChannel(grpc.Channel):
    """A channel whose methods know the address that was dialled: where nobody answers, it is what somebody has to look at."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        """Call by this channel, which was opened to that address."""
        self._channel = channel
        self._address = address

    def unary_unary(self, *path: Any, **how: Any) -> Any:  # noqa: ANN401 - gRPC's own
        """Return a method as the channel does."""
        return self._addressed(self._channel.unary_unary(*path, **how))

    def unary_stream(self, *path: Any, **how: Any) -> Any:  # noqa: ANN401
        """Return a method as the channel does."""
        return self._addressed(self._channel.unary_stream(*path, **how))

    def stream_unary(self, *path: Any, **how: Any) -> Any:  # noqa: ANN401
        """Return a method as the channel does."""
        return self._addressed(self._channel.stream_unary(*path, **how))

    def stream_stream(self, *path: Any, **how: Any) -> Any:  # noqa: ANN401
        """Return a method as the channel does."""
        return self._addressed(self._channel.stream_stream(*path, **how))

    def subscribe(self, *given: Any, **how: Any) -> None:  # noqa: ANN401
        """Be told of its connectivity."""
        self._channel.subscribe(*given, **how)

    def unsubscribe(self, *given: Any) -> None:  # noqa: ANN401
        """Be told no more."""
        self._channel.unsubscribe(*given)

    def close(self) -> None:
        """Close it."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _addressed(self, method: Any) -> Any:  # noqa: ANN401
        setattr(method, _ADDRESS, self._address)
        return method


_ADDRESS = "medunion_address"


@dataclass(frozen=True)
class _Open:
    channel: grpc.Channel
    target: Target
    root_pem: bytes
    leaf: TlsLeaf | None


class ChannelPool:
    """One channel for each address, identity and way of calling, each verifying whose server answers. Close it."""

    def __init__(
        self,
        trust: Callable[[], TrustedBundle],
        opened: Callable[[grpc.Channel], grpc.Channel] = _unchanged,
        seconds: Callable[[], float] = time.monotonic,
        dialling: Dialling = ANYWHERE,
    ) -> None:
        """Trust the TLS CAs of the bundle that holds when a call is made, and nothing else. `opened` may wrap a new channel."""
        self._trust = trust
        self._opened = opened
        self._seconds = seconds
        self._dialling = dialling
        self._targets: dict[str, tuple[float, Target]] = {}
        self._lock = threading.Lock()
        self._roots: tuple[TrustedBundle, bytes] | None = None
        self._open: dict[tuple[str, str, bool], _Open] = {}
        self._retired: list[tuple[float, grpc.Channel]] = []
        self._closed = False

    def get(self, address: str, identity: str, leaf: TlsLeaf | None = None) -> grpc.Channel:
        """Return the channel to an address that verifies that identity; with a leaf by mutual TLS.

        Raises Unavailable if closed, FieldInvalid for no address, NetworkForbidden.
        """
        bundle, target = self._trust(), self._target(address)
        with self._lock:
            if self._closed:
                raise Unavailable("this program is ending: it calls nobody any more")
            root_pem, place = self._root_pem(bundle), (address, identity, leaf is not None)
            kept = self._open.get(place)
            if kept is None or (kept.target, kept.root_pem) != (target, root_pem) or kept.leaf is not leaf:
                self._retire(kept)
                opened = channel_to(target, identity, root_pem, leaf)
                kept = _Open(AddressedChannel(self._opened(opened), address), target, root_pem, leaf)
                self._open[place] = kept
            return kept.channel

    def close(self) -> None:
        """Close all of them, and what calls are under way in them."""
        with self._lock:
            self._closed = True
            for channel in (*(kept.channel for kept in self._open.values()), *(kept for _, kept in self._retired)):
                channel.close()

    def _target(self, address: str) -> Target:
        """Return what is dialled for an address, without the lock: a resolver may take its time."""
        kept = self._targets.get(address)
        if kept is None or self._seconds() - kept[0] >= RESOLVED_SECONDS:
            kept = self._targets[address] = self._seconds(), self._dialling.target(address)
        return kept[1]

    def _root_pem(self, bundle: TrustedBundle) -> bytes:
        if self._roots is None or self._roots[0] is not bundle:
            self._roots = bundle, bundle.tls_roots
        return self._roots[1]

    def _retire(self, kept: _Open | None) -> None:
        now = self._seconds()
        if kept is not None:
            self._retired.append((now, kept.channel))
        for since, channel in self._retired:
            if now - since >= RETIRED_SECONDS:
                channel.close()
        self._retired = [entry for entry in self._retired if now - entry[0] < RETIRED_SECONDS]


@contextmanager
def peer_errors(method: object) -> Iterator[None]:
    """Raise the refusal that a peer sent as the class it has there; Unavailable and its like where there is none.

    Where nobody answers a method of an `AddressedChannel`, the error says at which address. Not chained: the cause of a
    `Rejected` is the peer's secret, and gRPC's own error says nothing more.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise refusal_of(error, getattr(method, _ADDRESS, "")) from None


def refusal_of(error: grpc.RpcError, address: str) -> FederationError:
    """Return the refusal that came of a call to that address, which it names where nobody answered there."""
    refusal = from_rpc_error(error)
    if isinstance(refusal, Unavailable) and not refusal.request_id:
        refusal.address = address
    return refusal


def call(
    method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request, *, seconds: float = CALL_SECONDS
) -> Response:
    """Make a call with a deadline. Raises the peer's refusal, or Unavailable."""
    with peer_errors(method):
        return method(request, timeout=seconds)
