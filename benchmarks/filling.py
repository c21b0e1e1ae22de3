"""Rows beside those that are there: more of the same kind in a server's SQLite file, with keys that lie anywhere.

Nothing is known here of a table but what the database says: columns, types, and a row to go by.
"""

import random
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

BATCH = 200_000
CACHE_KIB = 1 << 20
BUCKETS = 1 << 16
KEPT_COLUMNS = frozenset({"level", "generation", "kind", "action"})
"""What rows of a kind have in common, as most in the world do."""

Value = Any
Chosen = Mapping[str, Callable[[int], Value]]


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that a server may have open too. Keys to other tables are not looked at: the rows are made up."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=60)) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        yield database


def tables(database: sqlite3.Connection) -> dict[str, int]:
    """Return how many rows each table has."""
    names = [
        name
        for (name,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'alembic_version'"
        )
    ]
    return {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}


def columns(database: sqlite3.Connection, table: str) -> dict[str, bool]:
    """Return the columns of a table, and whether each is of its primary key."""
    return {row[1]: bool(row[5]) for row in database.execute(f'PRAGMA table_info("{table}")')}


def sample(database: sqlite3.Connection, table: str, where: str = "1") -> tuple[Value, ...]:
    """Return a row to go by: the last one."""
    row: tuple[Value, ...] | None = database.execute(
        f'SELECT * FROM "{table}" WHERE {where} ORDER BY rowid DESC'
        if _has_rowid(database, table)
        else f'SELECT * FROM "{table}" WHERE {where}'
    ).fetchone()
    if row is None:
        raise LookupError(f"{table} has no row to go by")
    return row


def fill(
    database: sqlite3.Connection, table: str, rows: int, like: tuple[Value, ...], chosen: Chosen | None = None
) -> None:
    """Add so many rows like this one, keys and secrets drawn, or as chosen by the row's number."""
    names, chosen = columns(database, table), chosen or {}
    chance, numbered = random.Random(), {name for name, is_key in names.items() if is_key}
    above = {name: database.execute(f'SELECT max("{name}") FROM "{table}"').fetchone()[0] for name in numbered}
    insert = f'INSERT OR IGNORE INTO "{table}" VALUES ({", ".join("?" * len(names))})'

    def made(number: int) -> tuple[Value, ...]:
        return tuple(
            chosen[name](number) if name in chosen else _like(name, value, above.get(name), number, chance)
            for name, value in zip(names, like, strict=True)
        )

    for first in range(0, rows, BATCH):
        # In the order of their keys, which lie anywhere: a batch walks once through the table.
        batch = sorted(made(first + number) for number in range(min(BATCH, rows - first)))
        database.execute("BEGIN IMMEDIATE")
        try:
            database.executemany(insert, batch)
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")


def size_bytes(database: sqlite3.Connection) -> int:
    """Return what the file holds."""
    (pages,), (page,), (free,) = (
        database.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size", "freelist_count")
    )
    return int((pages - free) * page)


def _like(name: str, value: Value, above: Value, number: int, chance: random.Random) -> Value:
    """Return a column's value: one of a key is another than all there are (`above` is the greatest of them)."""
    if name in KEPT_COLUMNS:
        return value
    if name == "bucket":
        return chance.randrange(BUCKETS)
    if isinstance(value, bytes):
        return chance.randbytes(len(value))
    if isinstance(above, str):
        return f"{value[:2]}{chance.randbytes(6).hex()}"
    return above + number + 1 if isinstance(above, int) else value


def _has_rowid(database: sqlite3.Connection, table: str) -> bool:
    (text,) = database.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return "WITHOUT ROWID" not in text.upper()
