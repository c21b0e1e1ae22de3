"""The port for hospitals shows no more of the server than the public one: no reflection, no channelz."""

from collections.abc import Callable

import grpc
import pytest
from grpc_channelz.v1.channelz_pb2 import GetServersRequest
from grpc_channelz.v1.channelz_pb2_grpc import ChannelzStub
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from hsm import Pin, TokenUri, pin_from_value
from tests.e2e.cloud_lab import cloud_lab


def test_peer_port_has_health_and_neither_reflection_nor_channelz(
    tmp_path_factory: pytest.TempPathFactory, make_token_uri: Callable[..., TokenUri], user_pin: Pin
) -> None:
    directory = tmp_path_factory.mktemp("lab")
    with cloud_lab(directory, make_token_uri, pin_from_value(user_pin.reveal())) as lab:
        channel = lab.hospital("H:good")[1]._peer_channel()
        assert HealthStub(channel).Check(HealthCheckRequest(), timeout=60).status == HealthCheckResponse.SERVING
        request = ServerReflectionRequest(list_services="*")
        for ask in (
            lambda: next(ServerReflectionStub(channel).ServerReflectionInfo(iter([request]), timeout=60)),
            lambda: ChannelzStub(channel).GetServers(GetServersRequest(), timeout=60),
        ):
            with pytest.raises(grpc.RpcError) as raised:
                ask()
            assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
