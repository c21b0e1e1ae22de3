"""The log in groups: entries of many threads, while the tree grows beside them, on SQLite of this machine."""

import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from benchmarks.rows import Bench, Row, Section
from federation.party.log_upkeep import SEQUENCE_EVERY
from federation.store.database import open_database
from federation.store.log import Log, new_entry_id
from federation.store.rows import About, SealedEntry

THREADS = 64
SEALED_BYTES = 480
"""Of an access, with its blind."""

ENTRIES_A_SECOND = 10_000
LONGEST_WAIT_MS = 20.0
_ABOUT = About(bytes(32), 1)


@dataclass(frozen=True)
class Load:
    """What came of a load: entries a second, microseconds of CPU an entry, and how long each waited (ms)."""

    rate: float
    cpu_us: float
    waits: list[float]

    def wait(self, share: float) -> float:
        """Return how long at most this share of entries waited."""
        return sorted(self.waits)[min(int(len(self.waits) * share), len(self.waits) - 1)]


def rows(bench: Bench) -> Iterator[Row]:
    """Yield how many entries a second there can be, what one costs, and how long one waits at half of what is asked for."""
    seconds = bench.pick(2.0, 5.0, 20.0)
    most = [load(bench, seconds) for _ in range(bench.pick(1, 3))]
    half = [load(bench, seconds, ENTRIES_A_SECOND / 2) for _ in range(bench.pick(1, 3))]
    yield Row("entries in groups", "a second", [it.rate for it in most], target=ENTRIES_A_SECOND, more_is_better=True)
    yield Row("an entry, appended and taken into the tree", "us CPU", [it.cpu_us for it in most])
    yield Row(
        "wait of 99 in 100 at 5,000 a second",
        "ms",
        [it.wait(0.99) for it in half],
        target=LONGEST_WAIT_MS,
        note=f"{half[-1].rate:,.0f} a second came; half of them waited {half[-1].wait(0.5):.1f} ms at most",
    )


def load(bench: Bench, seconds: float, rate: float | None = None) -> Load:
    """Append from many threads for so long, at a rate or as fast as it goes, while the tree grows as at a server."""
    with open_database(f"sqlite:///{bench.new_directory('log') / 'store.sqlite'}") as database:
        log, waits, numbers = Log(database), list[float](), count()
        cpu, began = time.process_time(), time.monotonic()
        end = began + seconds

        def append() -> None:
            while (due := _due(began, next(numbers), rate)) < end:
                log.append(_entry())
                waits.append((time.monotonic() - due) * 1000)

        with _growing(log), ThreadPoolExecutor(THREADS) as threads:
            for done in [threads.submit(append) for _ in range(THREADS)]:
                done.result()
            took = time.monotonic() - began
        log.sequence()
        return Load(len(waits) / took, (time.process_time() - cpu) / len(waits) * 1e6, waits)


def _due(began: float, number: int, rate: float | None) -> float:
    """Wait until an entry comes, and return when it should have come: one that is late has waited."""
    if rate is None:
        return time.monotonic()
    due = began + number / rate
    time.sleep(max(0.0, due - time.monotonic()))
    return due


@contextmanager
def _growing(log: Log) -> Iterator[None]:
    stop = threading.Event()

    def grow() -> None:
        while not stop.wait(SEQUENCE_EVERY.total_seconds()):
            log.sequence()

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _entry() -> SealedEntry:
    sealed, leaf = secrets.token_bytes(SEALED_BYTES), secrets.token_bytes(32)
    return SealedEntry(time.time_ns() // 1_000_000, sealed, new_entry_id(), leaf, _ABOUT)


SECTION = Section(
    "log",
    "The log",
    "Entries that come from 64 threads at once are written together, each caller told when its own is on the disk; the "
    "tree grows every tenth of a second beside it.",
    rows,
)
