"""SQLite by its driver alone, with the pragmas that the store has: what a commit and a read cost."""

import os
import sqlite3
import statistics
from pathlib import Path

from benchmarks.meters import cpu_us
from benchmarks.rows import Bench

SMALL_ROW_BYTES = 200
"""Of a log entry, an index row, a replay key: what is written most."""
ROWS = 20_000
ROUNDS = 20


def logged(file: Path) -> sqlite3.Connection:
    """Open a database with a table to append to."""
    database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        database.execute(f"PRAGMA {pragma}")
    database.execute("CREATE TABLE log (number INTEGER PRIMARY KEY, entry BLOB) STRICT")
    return database


def prices(bench: Bench) -> dict[str, list[float]]:
    """Return CPU microseconds of one read by key, one commit, and one row written within it."""
    database = logged(bench.new_directory("sql") / "bare.sqlite")
    row = os.urandom(SMALL_ROW_BYTES)
    database.execute("BEGIN")
    database.executemany("INSERT INTO log VALUES (?, ?)", ((number, row) for number in range(1, ROWS)))
    database.execute("COMMIT")
    numbers = iter(range(ROWS, 1 << 40))

    def read() -> None:
        database.execute("SELECT entry FROM log WHERE number = ?", (next(numbers) * 7919 % ROWS,)).fetchone()

    def committed(rows: int) -> None:
        database.execute("BEGIN IMMEDIATE")
        for _ in range(rows):
            database.execute("INSERT INTO log VALUES (?, ?)", (next(numbers), row))
        database.execute("COMMIT")

    one, eleven = cpu_us(lambda: committed(1), ROUNDS, 20), cpu_us(lambda: committed(11), ROUNDS, 20)
    each = max(0.0, (statistics.median(eleven) - statistics.median(one)) / 10)
    found = {"SQL read": cpu_us(read, ROUNDS, 200), "SQL commit": [taken - each for taken in one], "SQL write": [each]}
    database.close()
    return found
