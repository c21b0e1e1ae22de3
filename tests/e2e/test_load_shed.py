"""More clients than a server takes: who is too many is told when to come again, and who comes again as told is served."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status

from demo.stage import Federation, run
from federation.party.node_directory import NodeDirectory
from federation.settings import CloudSettings, ServerSettings
from federation.v1.registration_pb2 import OpenRegistrationRequest
from federation.v1.registration_pb2_grpc import RegistrationServiceStub
from federation.wire.channel import open_channel

CLIENTS = 48
CALLS = 4
"""Of each client, all at once; each keeps a challenge and so needs a thread and the database."""
GIVEN_UP_AFTER_SECONDS = 90
FEW = ServerSettings(threads=1, most_waiting_calls=2, openers_per_second=40, openers_burst=20)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[NodeDirectory]:
    """A public cloud in a process of its own, with bounds that a few dozen clients reach."""
    made = Federation(tmp_path)
    try:
        made.found()
        made.running.pop().stop()
        node = NodeDirectory(tmp_path / "cloud")
        node.write_settings(replace(node.settings(CloudSettings), server=FEW))
        (node.path / "ready").unlink(missing_ok=True)
        made.serve("public-cloud", node.path)
        yield node
    finally:
        made.stop()


class Crowd:
    """Clients with a connection each that begin at one moment, and how they fare."""

    def __init__(self, node: NodeDirectory) -> None:
        bundle = node.trust()
        self._dial = lambda: open_channel(bundle.content.cloud_address, "C:union", bundle.tls_roots)
        self._begin = threading.Barrier(CLIENTS)
        self._give_up_at = time.monotonic() + GIVEN_UP_AFTER_SECONDS
        self.refused: list[grpc.StatusCode] = []

    def client(self, _: int) -> int:
        """Make every call until it is taken, coming again when the server says so; return how many were."""
        with self._dial() as channel:
            grpc.channel_ready_future(channel).result(30)
            stub = RegistrationServiceStub(channel)
            self._begin.wait(60)
            with ThreadPoolExecutor(CALLS) as calls:
                return sum(calls.map(lambda _: self._call(stub), range(CALLS)))

    def _call(self, stub: RegistrationServiceStub) -> int:
        while time.monotonic() < self._give_up_at:
            try:
                return len(stub.OpenRegistration(OpenRegistrationRequest(), timeout=20).challenge) > 0
            except grpc.RpcError as error:
                self.refused.append(error.code())
                time.sleep(_told(error) * random.uniform(1, 2))
        return 0


def _told(error: grpc.RpcError) -> float:
    """When the refusal says to come again, in seconds; without such a word the test fails."""
    info, status = RetryInfo(), rpc_status.from_call(error)
    assert status is not None, error
    assert any(detail.Unpack(info) for detail in status.details), error
    return info.retry_delay.ToTimedelta().total_seconds()


def test_clients_above_the_bound_are_told_when_to_come_again_and_all_are_served(cloud: NodeDirectory) -> None:
    crowd = Crowd(cloud)
    with ThreadPoolExecutor(CLIENTS) as threads:
        served = list(threads.map(crowd.client, range(CLIENTS)))
    assert served == [CALLS] * CLIENTS
    assert len(crowd.refused) > CLIENTS
    assert set(crowd.refused) <= {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}
    # Overload would otherwise feed on its own log.
    assert "REFUSAL" not in run("public-cloud", "log", "--directory", cloud.path)
