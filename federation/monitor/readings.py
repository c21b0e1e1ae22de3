"""What is read when Prometheus asks: gauges and counters that something else keeps, each known here by name.

Each source is read by one thread at a time, so that one that hangs holds up neither the others nor the page. What can't be read
now is shown as it was last read, and marked.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from federation.wire import operations
from federation.wire.workers import WorkersLoad
from hsm.metrics import BUCKETS_SECONDS, TokenMetrics

GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "medunion_build_info": ("Always 1; which release serves as what.", ("version", "role")),
    "medunion_dependency_up": ("1 while the dependency answers.", ("dependency",)),
    "medunion_process_restarts": ("How often the process of this number ended by itself and was started again.", ()),
    "medunion_connections": ("Connections at a port of this process.", ("port",)),
    "medunion_connections_limit": ("Connections that there may be; one more is closed at once.", ("port",)),
    "medunion_worker_threads": ("Threads for blocking work.", ()),
    "medunion_worker_running": ("Threads that are busy.", ()),
    "medunion_worker_waiting": ("Calls that wait for a thread.", ()),
    "medunion_worker_most_waiting": ("Calls that may wait for a thread.", ()),
    "medunion_token_sessions_in_use": ("PKCS#11 sessions on loan.", ("token",)),
    "medunion_token_sessions_waiting": ("Callers that wait for a session.", ("token",)),
    "medunion_token_sessions_limit": ("Sessions that may be on loan.", ("token",)),
    "medunion_token_last_success_timestamp_seconds": ("When the token last did what it was asked.", ("token",)),
    "medunion_database_connections_in_use": ("Connections of the pool on loan.", ()),
    "medunion_database_connections_limit": ("Connections that the pool gives.", ()),
    "medunion_log_entries": ("Entries of the access log.", ()),
    "medunion_log_cosigned_timestamp_seconds": (
        "When the newest head of the log was last seen to be cosigned by enough witnesses.",
        (),
    ),
    "medunion_log_never_cosigned_seconds": (
        "For how long witnesses have been asked, where too few have ever cosigned a head of the log; else 0.",
        (),
    ),
    "medunion_followed_log_silent_seconds": (
        "For how long the log that is silent for longest, of those that are followed here, has shown no newer head.",
        (),
    ),
    "medunion_log_findings": (
        "Heads of logs that contradict each other and that nobody has settled, by kind.",
        ("kind",),
    ),
    "medunion_log_waiting": ("Entries that wait for their number in it.", ()),
    "medunion_log_waiting_seconds": ("For how long the oldest of them has waited.", ()),
    "medunion_log_head_entries": ("Entries that the newest signed head of the log covers.", ()),
    "medunion_log_head_timestamp_seconds": ("When it was signed.", ()),
    "medunion_outbox_entries": ("Publications that the public cloud has not acknowledged.", ()),
    "medunion_outbox_oldest_seconds": ("For how long at least the oldest of them has waited.", ()),
    "medunion_emergencies_unreviewed": (
        "Emergencies in which records were read here and that no officer reviewed.",
        (),
    ),
    "medunion_emergencies_oldest_seconds": ("How long ago the oldest of them was declared.", ()),
    "medunion_rooms_open": ("Rooms of the relay.", ()),
    "medunion_registrations": ("Live registrations, as counted within five minutes.", ("role",)),
    "medunion_revocation_list_sequence": ("Number of the revocation list in hand.", ()),
    "medunion_revocation_list_issued_timestamp_seconds": ("When it was signed.", ()),
    "medunion_revocation_list_end_timestamp_seconds": ("When it ends.", ()),
    "medunion_revocation_grace_end_timestamp_seconds": ("When everything is refused, unless a newer one has come.", ()),
    "medunion_revocation_list_entries": ("How many entries the list in hand has.", ()),
    "medunion_revocation_list_entries_limit": ("Entries that the public cloud lets there be.", ()),
    "medunion_revocation_list_room": ("Entries for which there is room; at 0 no more is revoked.", ()),
    "medunion_crl_end_timestamp_seconds": (
        "When an authority's CRL ends, and its doctors are refused.",
        ("authority",),
    ),
    "medunion_certificate_end_timestamp_seconds": (
        "When a certificate or credential of this node ends.",
        ("certificate",),
    ),
    "medunion_trust_bundle_issued_timestamp_seconds": ("When the trust bundle in hand was signed.", ()),
    "medunion_reading_failed": ("1 where the numbers can't be read now: those shown are older.", ("source",)),
    "medunion_reading_age_seconds": ("How old the numbers shown are; 0 if they were read for this page.", ("source",)),
}
"""Every gauge: its help and its labels. Times are Unix time in seconds."""

PATIENCE_SECONDS = 3.0
"""How long a page waits for its sources. Prometheus gives up after ten seconds by default."""

OVERDUE = "OVERDUE"


@dataclass(frozen=True)
class Reading:
    """One value now; `labels` are in the order of `GAUGES`."""

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
        """Return the newest values, and how they are to be taken."""
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


class Readings(Collector):
    """Asks every source at each fetch, side by side, and waits for all of them no longer than a patience."""

    def __init__(self, sources: Mapping[str, Source], patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Ask these."""
        self._readers = [Reader(name, source) for name, source in sources.items()]
        self._patience_seconds = patience_seconds

    def collect(self) -> Iterator[Metric]:
        """Return every gauge for which there is a value."""
        families: dict[str, GaugeMetricFamily] = {}
        for reading in self._all():
            text, labels = GAUGES[reading.name]
            family = families.setdefault(reading.name, GaugeMetricFamily(reading.name, text, labels=labels))
            family.add_metric(reading.labels, reading.value)
        yield from families.values()

    def _all(self) -> Iterator[Reading]:
        give_up_at = time.monotonic() + self._patience_seconds
        for reader in self._readers:
            reader.begin()
        for reader in self._readers:
            reader.wait(max(0.0, give_up_at - time.monotonic()))
            yield from reader.shown()


class TokenReadings(Collector):
    """What `hsm.metrics` counts of tokens, in Prometheus's form; a token is told by its number in the settings, from 1."""

    def __init__(self, snapshots: Callable[[], Mapping[int, TokenMetrics]]) -> None:
        """Ask these tokens."""
        self._snapshots = snapshots

    def collect(self) -> Iterator[Metric]:
        """Return each token's counters and its latencies by mechanism."""
        errors = CounterMetricFamily("medunion_token_errors", "Operations that failed.", labels=("token", "reason"))
        seconds = HistogramMetricFamily(
            "medunion_token_operation_seconds", "Operations, waiting included.", labels=("token", "mechanism")
        )
        waited = CounterMetricFamily(
            "medunion_token_waited_seconds", "Time spent waiting for a session.", labels=("token",)
        )
        recoveries = CounterMetricFamily(
            "medunion_token_recoveries", "Operations that found session, handle or login gone.", labels=("token",)
        )
        logins = CounterMetricFamily("medunion_token_logins", "Logins.", labels=("token",))
        for number, seen in self._snapshots().items():
            token = str(number)
            for reason, count in seen.errors.items():
                errors.add_metric((token, reason), count)
            for mechanism, tally in seen.operations.items():
                seconds.add_metric((token, mechanism), _cumulative(tally.buckets), tally.total_seconds)
            waited.add_metric((token,), seen.waited_seconds)
            recoveries.add_metric((token,), seen.recoveries)
            logins.add_metric((token,), seen.logins)
        yield from (errors, seconds, waited, recoveries, logins)


class WorkersReadings(Collector):
    """What the worker threads turned away."""

    def __init__(self, load: Callable[[], WorkersLoad]) -> None:
        """Ask these workers."""
        self._load = load

    def collect(self) -> Iterator[Metric]:
        """Return the counter."""
        text = "Calls that were turned away because too many waited for a thread."
        yield _counter("medunion_worker_turned_away", text, self._load().turned_away)


def token_readings(snapshots: Mapping[int, TokenMetrics]) -> Iterator[Reading]:
    """Return the gauges of tokens by number."""
    for number, seen in snapshots.items():
        token = (str(number),)
        yield Reading("medunion_token_sessions_in_use", seen.sessions.in_use, token)
        yield Reading("medunion_token_sessions_waiting", seen.sessions.waiting, token)
        yield Reading("medunion_token_sessions_limit", seen.sessions.limit, token)
        if seen.last_success is not None:
            yield Reading("medunion_token_last_success_timestamp_seconds", seen.last_success, token)


def worker_readings(load: WorkersLoad) -> Iterator[Reading]:
    """Return the gauges of the workers."""
    yield Reading("medunion_worker_threads", load.threads)
    yield Reading("medunion_worker_running", load.running)
    yield Reading("medunion_worker_waiting", load.waiting)
    yield Reading("medunion_worker_most_waiting", load.most_waiting)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value=value)


def _cumulative(buckets: tuple[int, ...]) -> list[tuple[str, float]]:
    bounds = [*map(str, BUCKETS_SECONDS), "+Inf"]
    return [(bound, float(sum(buckets[: i + 1]))) for i, bound in enumerate(bounds)]
