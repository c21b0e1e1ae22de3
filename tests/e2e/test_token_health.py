"""A server whose token is taken away says so within seconds, and says when it is back: real processes, real directories."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from demo.stage import Federation
from federation.party.node_directory import NodeDirectory
from federation.wire.channel import open_channel
from tests.waiting import until

WITHIN_SECONDS = 5.0
NOT_SERVING, SERVING = HealthCheckResponse.NOT_SERVING, HealthCheckResponse.SERVING

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    made = Federation(tmp_path_factory.mktemp("federation"))
    try:
        made.found()
        made.add_hospital("a")
        yield made
    finally:
        made.stop()


class Watched:
    """One server's health, asked for over TLS."""

    def __init__(self, directory: Path, address: str | None, identity: str) -> None:
        self.tokens = directory / "tokens" / "tokens"
        trust = NodeDirectory(directory).trust()
        bundle, root = trust.content, trust.tls_roots
        self.channel = open_channel(address or bundle.cloud_address, identity, root)

    def status(self, service: str) -> int:
        return HealthStub(self.channel).Check(HealthCheckRequest(service=service), timeout=60).status

    def seconds_until(self, status: int) -> float:
        return until(lambda: self.status("token") == status, "the token's health changes")


@pytest.mark.parametrize(("node", "identity"), [("cloud", "C:union"), ("a", "H:a")])
def test_lost_token_is_told_within_five_seconds_and_its_return_too(stage: Federation, node: str, identity: str) -> None:
    watched = Watched(stage.root / node, stage.addresses.get(node), identity)
    with watched.channel:
        watched.seconds_until(SERVING)
        elsewhere = watched.tokens.with_name("taken")
        watched.tokens.rename(elsewhere)
        watched.tokens.mkdir()
        lost = watched.seconds_until(NOT_SERVING)
        assert watched.status("") == SERVING
        watched.tokens.rmdir()
        elsewhere.rename(watched.tokens)
        back = watched.seconds_until(SERVING)
    print(f"{identity}: lost told after {lost:.1f} s, back after {back:.1f} s")
    assert lost < WITHIN_SECONDS
    assert back < WITHIN_SECONDS
