"""An OpenTelemetry collector for tests: the real protocol, OTLP over gRPC, and everything that came kept in memory."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector(TraceServiceServicer):
    """Keeps what servers export."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.requests: list[ExportTraceServiceRequest] = []

    def Export(self, request: ExportTraceServiceRequest, context: object) -> ExportTraceServiceResponse:
        self.requests.append(request)
        return ExportTraceServiceResponse()

    def spans(self, service: str | None = None) -> list[Span]:
        """Give every span that came, or those of a service: `medunion-hospital`."""
        resources = [spans for request in self.requests for spans in request.resource_spans]
        return [
            span
            for spans in resources
            if service is None or service in attributes(spans.resource).values()
            for scope in spans.scope_spans
            for span in scope.spans
        ]

    def awaited(self, name: str, service: str | None = None, seconds: float = 20) -> Span:
        """Wait for a span of that name."""
        give_up_at = time.monotonic() + seconds
        while True:
            for span in self.spans(service):
                if span.name == name:
                    return span
            assert time.monotonic() < give_up_at, f"no span {name} among {[span.name for span in self.spans()]}"
            time.sleep(0.05)


def attributes(holder: object) -> dict[str, str]:
    """Give the attributes of a span or a resource as text."""
    return {pair.key: pair.value.string_value for pair in holder.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Serve a collector on loopback for the block."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(collector, server)
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(0).wait()
