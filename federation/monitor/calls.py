"""What is counted of calls, as `federation.wire.call_reports` tells it, and the words that labels may hold.

A label of anything else, and a caller could make series without end.
"""

import time
from collections.abc import Collection, Iterator

from google.rpc import code_pb2
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from federation.clinical.errors import ClinicalError
from federation.errors import FederationError, Rejected
from federation.protocol.parties import reason_of
from federation.store.errors import StoreError
from federation.wire import status
from federation.wire.call_reports import CallStart
from federation.wire.roles import METHODS
from hsm.errors import HsmError
from keystore.errors import KeystoreError

OTHER = "OTHER"
CODES = frozenset(code_pb2.Code.keys())
_ROOTS = (FederationError, StoreError, HsmError, KeystoreError, ClinicalError)

_METHOD = ("service", "method")
_FROM_THE_BEGINNING = ("OK", "INTERNAL")
LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 300.0, 3600.0)


class CallMetrics:
    """Counts calls, refusals and latencies of one process.

    A refusal is counted under what the caller was told. The precise causes behind `REJECTED` are counted apart, and only where
    nobody but this machine's operators reads them: who can send messages and watch causes would have the oracle that the
    one answer denies (B9, docs/adr/0019).
    """

    def __init__(self, registry: CollectorRegistry, services: Collection[str] = (), *, with_causes: bool) -> None:
        """Register the metrics of these services; `with_causes` if only operators of this machine can fetch them."""
        self._calls = Counter("medunion_calls", "Calls that ended.", (*_METHOD, "code"), registry=registry)
        self._seconds = Histogram(
            "medunion_call_seconds",
            "How long calls took, streams to their end.",
            _METHOD,
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._under_way = Gauge("medunion_calls_under_way", "Calls and streams now open.", _METHOD, registry=registry)
        self._refusals = Counter(
            "medunion_refusals", "Refused calls by the reason that was told.", (*_METHOD, "reason"), registry=registry
        )
        self._causes = (
            Counter("medunion_rejection_causes", "What was behind REJECTED.", ("reason",), registry=registry)
            if with_causes
            else None
        )
        self._begin_at_0(services)

    def _begin_at_0(self, services: Collection[str]) -> None:
        """Make what alerts look for the first of: Prometheus sees no increase in a series that appears with its first call."""
        for service, method in map(service_and_method, METHODS):
            if service in services:
                for code in _FROM_THE_BEGINNING:
                    self._calls.labels(service, method, code)

    def began(self, start: CallStart) -> "_CountedCall":
        """Count a call that begins."""
        return _CountedCall(self, service_and_method(start.method))

    def refused(self, labels: tuple[str, str], error: BaseException) -> None:
        """Count a refusal."""
        self._refusals.labels(*labels, told_reason(error)).inc()
        if self._causes is not None and isinstance(error, Rejected):
            self._causes.labels(cause(error)).inc()

    def under_way(self, labels: tuple[str, str], change: int) -> None:
        """Count a call in or out."""
        self._under_way.labels(*labels).inc(change)

    def ended(self, labels: tuple[str, str], code: str, seconds: float) -> None:
        """Count a call that ended."""
        self._calls.labels(*labels, code if code in CODES else OTHER).inc()
        self._seconds.labels(*labels).observe(seconds)


class _CountedCall:
    def __init__(self, metrics: CallMetrics, labels: tuple[str, str]) -> None:
        self._metrics = metrics
        self._labels = labels
        self._started_at = time.monotonic()
        metrics.under_way(labels, 1)

    def refused(self, error: BaseException) -> None:
        self._metrics.refused(self._labels, error)

    def ended(self, code: str) -> None:
        self._metrics.under_way(self._labels, -1)
        self._metrics.ended(self._labels, code, time.monotonic() - self._started_at)


def service_and_method(path: str) -> tuple[str, str]:
    """Return the labels of `/package.Service/Method`; a method that is not in the table of methods is OTHER."""
    if path not in METHODS:
        return OTHER, OTHER
    _, service, method = path.split("/")
    return service, method


def told_reason(error: BaseException) -> str:
    """Return the reason that the caller was told."""
    return _known(status.told_reason(error))


def cause(error: BaseException) -> str:
    """Return the precise reason, which the wire may not have said."""
    return _known(reason_of(error))


def reasons() -> frozenset[str]:
    """Return the reasons of every error that is defined by now."""
    return frozenset(reason for root in _ROOTS for reason in _reasons(root))


def _reasons(root: type[Exception]) -> Iterator[str]:
    yield str(getattr(root, "reason", OTHER))
    for child in root.__subclasses__():
        yield from _reasons(child)


_seen: set[str] = set()


def _known(reason: str) -> str:
    """Return a reason that a class of ours has; other exceptions may have any text in a `reason`."""
    if reason not in _seen:
        _seen.update(reasons())
    return reason if reason in _seen else OTHER
