"""What is counted of calls: through a real port, as the call guard tells it."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from federation.errors import GrantExpired, NotFound
from federation.monitor.calls import CallMetrics
from federation.monitor.targets import CLOUD_SERVICES, HOSPITAL_SERVICES
from federation.protocol.sealing import after_opening
from federation.v1.directory_pb2 import GetDirectoryRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.wire.roles import METHODS
from tests.unit.wire.conftest import authority, bench_with
from tests.waiting import until

__all__ = ["authority", "bench_with"]

SERVICE = "federation.v1.DirectoryService"
LABELS = {"service": SERVICE, "method": "GetDirectory"}


def rejected() -> None:
    with after_opening():
        raise GrantExpired("yesterday")


def not_found() -> None:
    raise NotFound("nothing")


def fault() -> None:
    raise ValueError("a fault")


def call(bench: Any) -> None:
    with bench.channel() as channel:
        try:
            DirectoryServiceStub(channel).GetDirectory(GetDirectoryRequest(), timeout=10)
        except grpc.RpcError:
            return


def counted(registry: CollectorRegistry, name: str, labels: dict[str, str]) -> float | None:
    """Give a value when it is there: a call is counted after its answer went out."""
    until(lambda: registry.get_sample_value(name, labels), name)
    return registry.get_sample_value(name, labels)


@pytest.mark.parametrize(
    ("behave", "code", "reason"),
    [
        (lambda: None, "OK", None),
        (rejected, "PERMISSION_DENIED", "REJECTED"),
        (not_found, "NOT_FOUND", "NOT_FOUND"),
        (fault, "INTERNAL", "INTERNAL"),
    ],
)
def test_call_is_counted_with_its_code_and_the_reason_that_was_told(
    bench_with: Callable[..., Any], behave: Callable[[], None], code: str, reason: str | None
) -> None:
    registry = CollectorRegistry()
    call(bench_with(watch=CallMetrics(registry, with_causes=False), behave=behave))
    assert counted(registry, "medunion_calls_total", LABELS | {"code": code}) == 1
    assert counted(registry, "medunion_call_seconds_count", LABELS) == 1
    assert registry.get_sample_value("medunion_calls_under_way", LABELS) == 0
    if reason is not None:
        assert registry.get_sample_value("medunion_refusals_total", LABELS | {"reason": reason}) == 1
    assert registry.get_sample_value("medunion_rejection_causes_total", {"reason": "GRANT_EXPIRED"}) is None


def test_causes_are_counted_where_only_operators_read_them(bench_with: Callable[..., Any]) -> None:
    registry = CollectorRegistry()
    call(bench_with(watch=CallMetrics(registry, with_causes=True), behave=rejected))
    assert registry.get_sample_value("medunion_rejection_causes_total", {"reason": "GRANT_EXPIRED"}) == 1


def test_faults_of_every_served_method_begin_at_0() -> None:
    registry = CollectorRegistry()
    CallMetrics(registry, {SERVICE}, with_causes=False)
    methods = ("GetDirectory", "GetTrustBundles", "WatchDirectory", "GetRevocationShards", "GetAllRevocationShards")
    for method in methods:
        labels = {"service": SERVICE, "method": method, "code": "INTERNAL"}
        assert registry.get_sample_value("medunion_calls_total", labels) == 0
    assert len(
        [s for family in registry.collect() for s in family.samples if s.name == "medunion_calls_total"]
    ) == 2 * len(methods)


def test_services_of_both_nodes_are_all_there_are() -> None:
    in_table = {path.split("/")[1] for path in METHODS}
    assert in_table == CLOUD_SERVICES | HOSPITAL_SERVICES | {"grpc.health.v1.Health"}
