"""TLS leaves rotate in memory, a server is healthy while it serves, and one port has one server."""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from federation.errors import Unavailable
from federation.settings import ServerSettings
from federation.store.errors import StoreUnavailable
from federation.wire.channel import open_channel
from federation.wire.server import LeafRotation, build_server
from keystore.x509_lint import LEAF_LIFE


def test_leaf_is_made_anew_when_half_its_life_is_over(authority) -> None:
    now = [int(datetime.now(UTC).timestamp() * 1000)]
    rotation = LeafRotation(authority.cloud_leaf, clock=lambda: now[0])
    first = rotation.current()
    assert rotation.current() is first
    now[0] += (LEAF_LIFE / 2 + timedelta(minutes=1)) // timedelta(milliseconds=1)
    second = rotation.current()
    assert second.private_key != first.private_key
    assert second.not_after > first.not_after


def test_old_leaf_serves_on_when_a_new_one_cannot_be_made(authority) -> None:
    now, broken = [int(datetime.now(UTC).timestamp() * 1000)], []

    def issue(at: datetime):
        if broken:
            raise RuntimeError("the token is gone")
        return authority.cloud_leaf(at)

    rotation = LeafRotation(issue, clock=lambda: now[0])
    first = rotation.current()
    broken.append(True)
    now[0] += LEAF_LIFE // timedelta(milliseconds=1)
    assert rotation.current() is first


def test_old_leaf_serves_on_when_its_ca_cannot_be_looked_up(authority) -> None:
    broken = []

    def issuer() -> bytes:
        if broken:
            raise StoreUnavailable("the database is gone")
        return b"the first CA"

    rotation = LeafRotation(authority.cloud_leaf, issuer=issuer)
    first = rotation.current()
    broken.append(True)
    assert rotation.current() is first


def test_serving_server_says_that_it_is_healthy(bench) -> None:
    with bench.channel() as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_client_that_wants_another_server_does_not_talk_to_this_one(bench, authority) -> None:
    with open_channel(f"127.0.0.1:{bench.port}", "C:other", authority.root_pem) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


def test_port_that_is_taken_is_said_plainly(bench, authority) -> None:
    async def second() -> None:
        with pytest.raises(Unavailable, match="nothing can listen"):
            build_server(
                f"127.0.0.1:{bench.port}",
                LeafRotation(authority.cloud_leaf),
                authority.root_pem,
                require_client_certificate=False,
                interceptors=[],
                settings=ServerSettings(),
            )

    asyncio.run(second())
