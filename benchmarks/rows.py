"""What a row weighs and how fast it comes and goes: `ci/demo --keep D`, then `python -m benchmarks.rows D 100000 1000000`.

Every table is filled with rows of the sizes that the demonstration left in it, their keys spread as in the world, on SQLite and
on a PostgreSQL of its own (fsync on). Bytes a row are those of the table with its indexes.
"""

import hashlib
import itertools
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from federation.store.database import Database, open_database
from federation.store.index import Index
from federation.store.party import Log, ReplayMemory
from federation.store.records import Records
from federation.store.registrations import Registrations
from federation.store.rows import SealedEntry, SealedRow, Wanted
from federation.store.schema import metadata
from tests.contract.postgresql_server import Server

GROWING = (
    "issuances",
    "issued_points",
    "registrations",
    "index_rows",
    "replay",
    "log",
    "accesses",
    "records",
    "deposit_answers",
    "evidence",
)
ROWS = 20_000
"""Of each table; the index grows to what the command line says."""
CALLS = 1_000
BATCH = 2_000
LEVEL = bytes(8)
"""Of rows that are of one sensitivity, as most are."""

Sample = dict[str, Any]


def samples(demonstration: Path) -> dict[str, list[Sample]]:
    """Return the servers' rows by table."""
    found: dict[str, list[Sample]] = {table: [] for table in GROWING}
    for party in ("cloud", "a", "b"):
        with closing(sqlite3.connect(demonstration / party / "store.sqlite")) as connection:
            connection.row_factory = sqlite3.Row
            for table in found:
                found[table] += map(dict, connection.execute(f"SELECT * FROM {table}"))
    return found


def spread(number: int, size: int) -> bytes:
    """Return a key that lies anywhere, the same for the same number in every table."""
    return hashlib.blake2b(number.to_bytes(8, "big"), digest_size=size).digest()


def variant(table: sa.Table, sample: Sample, number: int) -> Sample:
    """Return a row of the sample's sizes under another key."""
    row = {}
    for name, value in sample.items():
        if name == "bucket":
            row[name] = bucket_of(number)
        elif name in table.primary_key.columns:
            row[name] = _key(value, number)
        elif name == "patient_key":
            row[name] = spread(number // 3, 32)
        elif name == "level":
            row[name] = LEVEL
        else:
            row[name] = os.urandom(len(value)) if isinstance(value, bytes) else value
    return row


def bucket_of(number: int) -> int:
    """Return the bucket of an index row: 65,536 of them, as in the world."""
    return int.from_bytes(spread(number, 2))


def row_of(number: int, sealed: bytes) -> SealedRow:
    """Return a row of the index that is like no other."""
    return SealedRow(bucket_of(number), spread(number, 32), spread(number, 31), spread(number, 30), LEVEL, sealed)


def wanted(number: int) -> list[Wanted]:
    """Return what a search of one class asks for."""
    return [Wanted(bucket_of(number), [spread(number, 32)], [LEVEL])]


def _key(value: object, number: int) -> object:
    if isinstance(value, bytes):
        return spread(number, len(value))
    return f"P:{spread(number, 6).hex()}" if isinstance(value, str) else number


def rows_of(table: sa.Table, found: list[Sample], numbers: range) -> Iterator[list[Sample]]:
    """Yield rows in batches."""
    made = (variant(table, found[number % len(found)], number) for number in numbers)
    while batch := list(itertools.islice(made, BATCH)):
        yield batch


def fill(database: Database, table: sa.Table, found: list[Sample], numbers: range) -> None:
    """Put rows in, some thousand a transaction."""
    for batch in rows_of(table, found, numbers):
        database.write(lambda connection, batch=batch: connection.execute(sa.insert(table), batch))  # type: ignore[misc]


def size(database: Database, table: sa.Table) -> int:
    """Return the bytes of a table with its indexes; of the whole file on SQLite, where one table at a time grows."""
    if database.engine.dialect.name == "postgresql":
        query = sa.text(f"SELECT pg_total_relation_size('{table.name}')")
        return int(database.read(lambda connection: connection.scalars(query).one()))
    pages, page = (
        database.read(lambda connection, name=name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)  # type: ignore[misc]
        for name in ("page_count", "page_size")
    )
    return pages * page


def rate(step: Callable[[int], object], calls: int = CALLS) -> str:
    """Return how often a second a step runs, one after the other."""
    began = time.perf_counter()
    for number in range(calls):
        step(number)
    return f"{calls / (time.perf_counter() - began):,.0f}"


def weigh(database: Database, found: dict[str, list[Sample]]) -> dict[str, float]:
    """Fill every table and give its bytes a row."""
    weights = {}
    for name, rows in found.items():
        table, before = metadata.tables[name], size(database, metadata.tables[name])
        fill(database, table, rows, range(1, ROWS + 1))
        weights[name] = (size(database, table) - before) / ROWS
    return weights


def index_rates(database: Database, found: list[Sample], upto: list[int]) -> Iterator[tuple[int, float, str, str]]:
    """Grow the index and give, at each size: rows, bytes a row, rows published and patients looked up a second."""
    table, there, index = metadata.tables["index_rows"], ROWS, Index(database)
    before = size(database, table)
    for goal in upto:
        fill(database, table, found, range(there + 1, goal + 1))
        there = max(there, goal)
        new = itertools.count(10**9)
        sealed = os.urandom(len(found[0]["sealed"]))

        def publish(_: int, new: Iterator[int] = new, sealed: bytes = sealed) -> None:
            number = next(new)
            index.upsert(row_of(number, sealed))

        published = rate(publish)
        looked = rate(
            lambda number, there=there: index.page(wanted(1 + number * 7919 % there), offset=0, limit=8)  # type: ignore[misc]
        )
        if there > ROWS:
            yield there, (size(database, table) - before) / (there - ROWS), published, looked


def other_rates(database: Database) -> dict[str, str]:
    """Return calls a second of what else a visit does in a database, with ROWS rows in each table."""
    replay, log, records, registrations = (
        ReplayMemory(database),
        Log(database),
        Records(database),
        Registrations(database),
    )
    now = 10**13
    return {
        "replay key admitted": rate(lambda number: replay.admit(spread(10**9 + number, 32), now=0, until=now)),
        "log entry": rate(lambda _: log.append(SealedEntry(at=now, sealed=os.urandom(160)))),
        "registration read": rate(lambda number: registrations.live(f"P:{spread(1 + number, 6).hex()}")),
        "records of a patient": rate(
            lambda number: records.find([spread(number, 32)], department_class=None, handles=[])
        ),
    }


def measure(name: str, url: str, found: dict[str, list[Sample]], upto: list[int]) -> None:
    """Print the tables of one database."""
    with open_database(url) as database:
        print(f"\n{name}\n\n| table | bytes a row |\n| --- | --- |")
        for table, weight in weigh(database, found).items():
            print(f"| `{table}` | {weight:,.0f} |")
        print("\n| step | a second |\n| --- | --- |")
        for step, often in other_rates(database).items():
            print(f"| {step} | {often} |")
        print("\n| index rows | bytes a row | published a second | looked up a second |\n| --- | --- | --- | --- |")
        for rows, weight, published, looked in index_rates(database, found["index_rows"], upto):
            print(f"| {rows:,} | {weight:,.0f} | {published} | {looked} |", flush=True)


def main() -> None:
    """Measure both databases, after a word on how busy the machine is."""
    found, upto = samples(Path(sys.argv[1])), [int(word) for word in sys.argv[2:]] or [100_000]
    print(f"load {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    directory = Path(tempfile.mkdtemp(prefix="medunion-rows-"))
    try:
        measure("SQLite", f"sqlite:///{directory}/rows.sqlite", found, upto)
        server = Server(fsync="on", shared_buffers="1GB")
        measure("PostgreSQL", server.url(server.new_database()), found, upto)
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
