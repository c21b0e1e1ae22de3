"""Spans of calls for OpenTelemetry, without a word about whom. Needs the extra `medunion[tracing]`.

A span says method, outcome, the reason that the caller was told, and the request id that leads to the logs.
"""

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from federation.monitor.calls import service_and_method, told_reason
from federation.settings import TracingSettings
from federation.wire.call_reports import CallStart

TRACE_PARENT = "traceparent"
EXPORT_SECONDS = 2
"""How long one batch of spans is tried, also the last one, when the server ends: a collector that is away holds nothing up."""


class Tracing:
    """Makes a span of every call and sends it to a collector, in the background. Close it: what is left goes out then."""

    def __init__(self, provider: TracerProvider, *, continue_peers: bool) -> None:
        """Make spans with this provider; use `start_tracing`."""
        self._provider = provider
        self._tracer = provider.get_tracer("medunion")
        self._continue_peers = continue_peers

    def began(self, start: CallStart) -> "_TracedCall":
        """Begin a span: of the caller's trace if that is a hospital and the settings say so, of a new one otherwise."""
        service, method = service_and_method(start.method)
        span = self._tracer.start_span(
            f"{service}/{method}",
            context=self._parent(start),
            kind=SpanKind.SERVER,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": method,
                "medunion.request_id": start.request_id,
            },
        )
        return _TracedCall(span)

    def close(self) -> None:
        """Send what is left. Blocks for seconds at most."""
        self._provider.shutdown()

    def _parent(self, start: CallStart) -> Context:
        parent = dict(start.metadata).get(TRACE_PARENT)
        if not (self._continue_peers and start.is_peer and isinstance(parent, str)):
            return Context()
        # tracestate and baggage stay behind: they are free text of the caller's.
        return TraceContextTextMapPropagator().extract({TRACE_PARENT: parent}, context=Context())


class _TracedCall:
    def __init__(self, span: Span) -> None:
        self._span = span

    def refused(self, error: BaseException) -> None:
        self._span.set_attribute("medunion.reason", told_reason(error))

    def ended(self, code: str) -> None:
        self._span.set_attribute("rpc.grpc.status", code)
        self._span.end()


def start_tracing(endpoint: str, settings: TracingSettings, service_name: str) -> Tracing:
    """Begin to trace to an OTLP collector, `http://host:port` or `https://host:port`."""
    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(settings.ratio),
        resource=Resource({"service.name": service_name}),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"), timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider, continue_peers=settings.continue_peers)
