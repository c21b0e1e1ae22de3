"""Spans, from a real port to a real collector: what they say, whose trace they continue, and that they name nobody."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from federation.errors import GrantExpired
from federation.monitor.monitor import open_tracing
from federation.protocol.sealing import after_opening
from federation.settings import ConfigError, TracingSettings
from federation.v1.directory_pb2 import GetDirectoryRequest
from federation.v1.directory_pb2_grpc import DirectoryServiceStub
from federation.v1.membership_pb2 import IssueTicketRequest
from federation.v1.membership_pb2_grpc import MembershipServiceStub
from tests.otlp_collector import Collector, attributes, collecting
from tests.unit.wire.conftest import Authority, Bench, authority, served

__all__ = ["authority"]

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = (
    ("traceparent", f"00-{TRACE}-{PARENT}-01"),
    ("tracestate", "patient=P:wang"),
    ("baggage", "patient=P:wang"),
)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture
def traced(authority: Authority, collector: Collector) -> Callable[..., list[Span]]:
    """Give a function that makes calls at a traced port and gives the spans that the collector got of them."""

    def act(calls: Callable[[Bench], None], *, by_peers: bool = False, **settings: Any) -> list[Span]:
        tracing = open_tracing(TracingSettings(collector.endpoint, **settings), "medunion-test")
        bench = Bench(authority)
        bench.watch = tracing
        with served(bench, require_client_certificate=by_peers):
            calls(bench)
        tracing.close()
        return collector.spans("medunion-test")

    return act


def as_hospital(bench: Bench) -> None:
    with bench.channel(bench.authority.hospital_leaf("H:alpha")) as channel:
        MembershipServiceStub(channel).IssueTicket(IssueTicketRequest(), timeout=10, metadata=SENT)


def as_anyone(bench: Bench) -> None:
    with bench.channel() as channel:
        try:
            DirectoryServiceStub(channel).GetDirectory(GetDirectoryRequest(), timeout=10, metadata=SENT)
        except grpc.RpcError:
            return


def test_span_says_method_outcome_and_request_and_nothing_else(traced: Callable[..., list[Span]]) -> None:
    (span,) = traced(as_anyone)
    assert span.name == "federation.v1.DirectoryService/GetDirectory"
    assert span.kind == Span.SPAN_KIND_SERVER
    assert attributes(span) == {
        "rpc.system": "grpc",
        "rpc.service": "federation.v1.DirectoryService",
        "rpc.method": "GetDirectory",
        "rpc.grpc.status": "OK",
        "medunion.request_id": attributes(span)["medunion.request_id"],
    }
    assert not span.events
    assert not span.links


def test_hospitals_trace_is_continued_where_the_settings_say_so(traced: Callable[..., list[Span]]) -> None:
    (span,) = traced(as_hospital, by_peers=True, continue_peers=True)
    assert span.trace_id.hex() == TRACE
    assert span.parent_span_id.hex() == PARENT


def test_hospitals_trace_is_not_continued_by_default(traced: Callable[..., list[Span]]) -> None:
    (span,) = traced(as_hospital, by_peers=True)
    assert span.trace_id.hex() != TRACE
    assert not span.parent_span_id


def test_trace_of_a_caller_without_a_certificate_is_never_continued(traced: Callable[..., list[Span]]) -> None:
    (span,) = traced(as_anyone, continue_peers=True)
    assert span.trace_id.hex() != TRACE
    assert not span.parent_span_id


@pytest.mark.parametrize("continue_peers", [True, False])
def test_nothing_that_names_somebody_comes_along(
    traced: Callable[..., list[Span]], collector: Collector, continue_peers: bool
) -> None:
    assert traced(as_hospital, by_peers=True, continue_peers=continue_peers)
    for request in collector.requests:
        sent = request.SerializeToString()
        for word in (b"H:alpha", b"P:wang", b"patient", b"alpha"):
            assert word not in sent


def test_refusal_carries_the_reason_that_was_told_and_no_more(traced: Callable[..., list[Span]]) -> None:
    def refused() -> None:
        with after_opening():
            raise GrantExpired("the grant of P:wang ended")

    def calls(bench: Bench) -> None:
        bench.behave = refused
        as_anyone(bench)

    (span,) = traced(calls)
    assert attributes(span)["medunion.reason"] == "REJECTED"
    assert attributes(span)["rpc.grpc.status"] == "PERMISSION_DENIED"
    assert b"P:wang" not in span.SerializeToString()
    assert b"GRANT" not in span.SerializeToString()


def test_no_call_is_traced_where_the_ratio_is_0(traced: Callable[..., list[Span]]) -> None:
    assert traced(as_anyone, ratio=0) == []


def test_hospital_can_not_have_its_calls_traced_against_the_ratio(traced: Callable[..., list[Span]]) -> None:
    assert traced(as_hospital, by_peers=True, ratio=0) == []


def test_collector_that_is_away_holds_no_call_up(authority: Authority) -> None:
    tracing = open_tracing(TracingSettings("http://127.0.0.1:9"), "medunion-test")
    bench = Bench(authority)
    bench.watch = tracing
    with served(bench):
        as_anyone(bench)
    tracing.close()


def test_without_a_collector_nothing_is_traced() -> None:
    assert open_tracing(TracingSettings(), "medunion-test") is None


def test_without_the_extra_the_key_and_the_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "federation.monitor.tracing", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # what Python does where it is not installed
    with pytest.raises(ConfigError, match=r"^tracing\.endpoint: .*medunion\[tracing\]"):
        open_tracing(TracingSettings("http://127.0.0.1:9"), "medunion-test")
