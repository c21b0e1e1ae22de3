"""What every call to a peer has in common: a deadline, and typed errors in place of gRPC's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc

from federation.wire.channel import CALL_SECONDS
from federation.wire.status import from_rpc_error

Request = TypeVar("Request")
Response = TypeVar("Response")


@contextmanager
def peer_errors() -> Iterator[None]:
    """Raise the refusal that a peer sent as the class it has there; Unavailable and its like where there is none.

    Not chained: the cause of a `Rejected` is the peer's secret, and gRPC's own error says nothing more.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error) from None


def call(
    method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request, *, seconds: float = CALL_SECONDS
) -> Response:
    """Make a call with a deadline. Raises the peer's refusal, or Unavailable."""
    with peer_errors():
        return method(request, timeout=seconds)
