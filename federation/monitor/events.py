"""The operational log as counters: every warning and fault of a process, by the event's name.

Here is every event that there is: a test compares it with the code, and the alert on chores with it. Each begins at 0, because
Prometheus sees no increase in a series that appears with its first event.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter

from federation.wire import operations
from federation.wire.parts import DATABASE, LOG, PEERS, RECORDS, TOKEN, TOKEN_MEMBER

CHORES = frozenset(
    {
        "chore-failed",
        "directory-not-at-hand",
        "directory-stream-ended",
        "epochs-not-turned",
        "list-not-refreshed",
        "log-head-not-signed",
        "outbox-failed",
        "publication-refused",
        "reading-failed",
        "restriction-not-handed-out",
        "restriction-not-taken",
        "restrictions-not-at-hand",
        "rotation-chore-failed",
        "standing-not-looked-at",
        "tls-leaf-not-renewed",
    }
)
"""Work in the background that failed, and is tried again within minutes: once may be a passing fault."""

RARE_CHORES = frozenset(
    {
        "access-not-named-anew",
        "epoch-not-sealed-anew",
        "index-row-not-sealed-anew",
        "index-rows-not-moved",
        "key-statement-not-signed-anew",
        "restriction-not-named-anew",
        "restriction-not-sealed-anew",
        "shared-key-not-sealed-anew",
        "trust-file-not-written",
    }
)
"""Work that failed and has no next time soon, or came upon something that is broken: once is enough to look."""

OTHERS = frozenset(
    {
        "admin-not-served",
        "audit-failed",
        "budget-exhausted",
        "crl-not-fetched",
        "fewer-connections",
        "head-not-cosigned",
        "head-not-cosigned-in-public",
        "hospital-left-out",
        "internal-error",
        "issuer-nonce-repeated",
        "lease-not-released",
        "library-warned",
        "list-filling",
        "log-finding",
        "log-head-not-stamped",
        "metrics-not-served",
        "no-successor",
        "own-log-contradicted",
        "patient-rows-full",
        "predecessor-does-not-leave",
        "process-ended",
        "process-hangs",
        "process-killed",
        "publication-postponed",
        "service-manager-not-told",
        "successor-failed",
        *(
            f"{name}-{what}"
            for name in (TOKEN, TOKEN_MEMBER, DATABASE, LOG, RECORDS, PEERS)
            for what in ("lost", "probe-failed")
        ),
    }
)
"""What has an alert or a metric of its own, or is told for whoever reads the log."""

EVENTS = CHORES | RARE_CHORES | OTHERS
_LEVELS = "WARNING", "ERROR"
_OTHER = "OTHER"


class _Counting(logging.Handler):
    def __init__(self, counter: Counter) -> None:
        super().__init__(logging.WARNING)
        self._counter = counter

    def emit(self, record: logging.LogRecord) -> None:
        event = record.msg if record.msg in EVENTS else _OTHER
        self._counter.labels(event, record.levelname).inc()


@contextmanager
def counted_events(registry: CollectorRegistry) -> Iterator[None]:
    """Count warnings and faults for the block."""
    counter = Counter(
        "medunion_events", "Warnings and faults of the operational log.", ("event", "level"), registry=registry
    )
    for event in EVENTS:
        for level in _LEVELS:
            counter.labels(event, level)
    with operations.also(_Counting(counter)):
        yield
