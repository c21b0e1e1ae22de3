"""What a peer's refusal becomes on this side, whatever the peer wrote beside its code."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import status_pb2

from federation.clients.calls import call
from federation.errors import Limit

METHOD = "/federation.v1.RecordService/GetHospital"
DETAILS = "grpc-status-details-bin"
WORDS = "not now"


class Refusing(grpc.GenericRpcHandler):
    """Refuses every call with RESOURCE_EXHAUSTED and these details."""

    def __init__(self, details: bytes) -> None:
        self._details = details

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(self._refuse)

    def _refuse(self, request: bytes, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata(((DETAILS, self._details),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, WORDS)


@contextmanager
def refusing(details: bytes) -> Iterator[grpc.Channel]:
    server = grpc.server(ThreadPoolExecutor(1), handlers=[Refusing(details)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        server.stop(0).wait()


def packed(value: bytes, *, code: grpc.StatusCode = grpc.StatusCode.RESOURCE_EXHAUSTED) -> bytes:
    detail = any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=value)
    return status_pb2.Status(code=code.value[0], message=WORDS, details=[detail]).SerializeToString()


@pytest.mark.parametrize(
    "details",
    [b"\xff\xff\xff", packed(b"\xff\xff"), packed(b"", code=grpc.StatusCode.OK)],
    ids=["no status", "no error info", "another code"],
)
def test_refusal_whose_details_cannot_be_read_or_contradict_it_is_told_by_its_code(details: bytes) -> None:
    with refusing(details) as channel, pytest.raises(Limit, match=WORDS):
        call(channel.unary_unary(METHOD), b"", seconds=5)
