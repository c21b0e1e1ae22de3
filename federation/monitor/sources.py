"""Where gauges are read: each source by one thread at a time, so that one that hangs holds up neither the others nor the page.

What can't be read now is shown as it was last read, and marked.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from federation.wire import operations

OVERDUE = "OVERDUE"


@dataclass(frozen=True)
class Reading:
    """One value now; `labels` are in the order of `federation.monitor.readings.GAUGES`."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


Source = Callable[[], Iterable[Reading]]
"""Reads something; it may block or raise."""


class Reader:
    """One source, and what was last read of it. Safe for several threads."""

    def __init__(self, name: str, source: Source) -> None:
        """Read this source; `name` is the label that tells of it."""
        self._name = name
        self._source = source
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._values: tuple[Reading, ...] = ()
        self._read_at: float | None = None
        self._failed = False

    def begin(self) -> None:
        """Begin to read, unless that is under way still."""
        with self._lock:
            if not self._idle.is_set():
                return
            self._idle.clear()
        threading.Thread(target=self._read, name=f"medunion-reading-{self._name}", daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Wait for the reading under way."""
        if not self._idle.wait(seconds):
            operations.warning("reading-failed", source=self._name, reason=OVERDUE)

    def shown(self) -> Iterator[Reading]:
        """Give the newest values, and how they are to be taken."""
        with self._lock:
            failed = self._failed or not self._idle.is_set()
            values, read_at = self._values, self._read_at
        yield from values
        yield Reading("medunion_reading_failed", failed, (self._name,))
        if read_at is not None:
            age = time.monotonic() - read_at if failed else 0.0
            yield Reading("medunion_reading_age_seconds", age, (self._name,))

    def _read(self) -> None:
        try:
            values = tuple(self._source())
        except Exception as error:  # noqa: BLE001 - the other sources are read all the same
            operations.warning("reading-failed", source=self._name, reason=type(error).__name__)
            self._end(failed=True)
        else:
            self._end(values)

    def _end(self, values: tuple[Reading, ...] = (), *, failed: bool = False) -> None:
        with self._lock:
            self._failed = failed
            if not failed:
                self._values, self._read_at = values, time.monotonic()
            self._idle.set()
