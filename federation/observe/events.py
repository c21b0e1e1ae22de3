"""The operational log as counters: every warning and fault of a process, by the event's name."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter

from federation.wire import operations


class _Counting(logging.Handler):
    """Events are literals of this code, so their names are few; a sentence or a value never comes into a label."""

    def __init__(self, counter: Counter) -> None:
        super().__init__(logging.WARNING)
        self._counter = counter

    def emit(self, record: logging.LogRecord) -> None:
        self._counter.labels(record.msg, record.levelname).inc()


@contextmanager
def counted_events(registry: CollectorRegistry) -> Iterator[None]:
    """Count warnings and faults for the block."""
    counter = Counter(
        "medunion_events", "Warnings and faults of the operational log.", ("event", "level"), registry=registry
    )
    with operations.also(_Counting(counter)):
        yield
