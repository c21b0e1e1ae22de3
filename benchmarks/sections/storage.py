"""What is kept of a visit: rows and their bytes on SQLite, at the cloud and at the hospital, and blobs."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.filling import fill, opened, sample, size_bytes, tables
from benchmarks.meters import Weighed
from benchmarks.rows import Bench, Row, Section
from benchmarks.sections.calls import steps
from benchmarks.visits import visit
from benchmarks.world import HOSPITAL, world

WITH_PEOPLE = ("registrations", "issuances", "issued_points", "issued_nonces")
"""What grows with who registers, and not with visits."""
PASSING = ("replay", "answers", "rooms", "frames", "reservations", "tickets", "outbox")
"""What goes again, in minutes or hours: weighed, and not counted as kept."""
WEIGHED = 5_000
"""Rows that a table is filled with to be weighed."""


def rows(bench: Bench) -> Iterator[Row]:
    """Yield rows a visit by table, bytes a row, and bytes a visit of each server."""
    here = bench.shared(world)
    bench.shared(steps)
    files = {name: here.stage.root / name / "store.sqlite" for name in ("cloud", HOSPITAL)}
    blobs, visits = here.stage.root / HOSPITAL, bench.pick(3, 10)
    with visit(here, bench, Weighed()) as whole:
        whole.run()
        here.stage.await_publication(HOSPITAL)
        before, weight = {name: _counts(file) for name, file in files.items()}, _blob_bytes(blobs)
        for _ in range(visits):
            whole.run()
        here.stage.await_publication(HOSPITAL)
    for name, file in files.items():
        called, total = "cloud" if name == "cloud" else "hospital", 0.0
        weights, counts = _weights(bench, file), _counts(file)
        for table, number in counts.items():
            more = (number - before[name][table]) / visits
            if table in weights and (more > 0 or table in WITH_PEOPLE):
                yield Row(
                    f"{called}: {table}", "bytes a row", [weights[table]], note=f"{more:.1f} rows more after a visit"
                )
                total += 0.0 if table in PASSING else max(more, 0.0) * weights[table]
        yield Row(f"{called}: rows of a visit", "bytes", [total])
    yield Row("hospital: blobs of a visit", "kB", [(_blob_bytes(blobs) - weight) / visits / 1000])


def _counts(file: Path) -> dict[str, int]:
    with opened(file) as database:
        return tables(database)


def _weights(bench: Bench, file: Path) -> dict[str, float]:
    """Return bytes a row of each table that has a row to go by, with its indexes, in a copy of the database."""
    copy, found = bench.new_directory("weights") / "store.sqlite", {}
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    for table, there in _counts(copy).items():
        if not there:
            continue
        filled = copy.with_name(f"{table}.sqlite")
        shutil.copy(copy, filled)
        with opened(filled) as database:
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                database.execute(f'DROP TRIGGER "{name}"')  # a copy: its log takes what is made up
            before = size_bytes(database)
            try:
                fill(database, table, WEIGHED, sample(database, table))
            except sqlite3.Error:
                continue  # a table of one row, or one whose rows hang together: none that grows
            more = tables(database)[table] - there
            if more > WEIGHED // 2:
                found[table] = (size_bytes(database) - before) / more
        filled.unlink()
    return found


def _blob_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file() and "blobs" in path.parts)


SECTION = Section(
    "storage",
    "What is kept",
    "Rows and blobs that a visit leaves; replay keys, rooms and frames go again, and are not in the sum. Bytes a "
    "row are of a table filled with 5,000 rows like its last, indexes and all.",
    rows,
)
