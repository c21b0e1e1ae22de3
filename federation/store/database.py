"""A party's database: opened, migrated, and the two kinds of transaction that everything here consists of."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from federation.store import sqlite
from federation.store.errors import StoreUnavailable
from federation.store.upgrade import upgrade

T = TypeVar("T")


class Database:
    """An open database, for any number of threads. Close it, or use it as a context manager."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(writes=True)
        # SQLite lets waiting writers poll, up to 100 ms at a time: the threads of one process take turns here instead.
        self._turn = threading.Lock()

    def read(self, step: Callable[[sa.Connection], T]) -> T:
        """Run a step that only reads, on one snapshot. Raises StoreUnavailable."""
        with _translated(), self.engine.begin() as connection:
            return step(connection)

    def write(self, step: Callable[[sa.Connection], T]) -> T:
        """Run a step as one durable transaction; whatever it raises undoes it. Raises StoreUnavailable.

        A step may have no effect but on its connection: a database of many machines may ask for it to run again.
        """
        with _translated(), self._writers_turn(), self._writer.begin() as connection:
            return step(connection)

    @contextmanager
    def _writers_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=sqlite.BUSY_SECONDS):
            raise StoreUnavailable("too many changes wait for the database")
        try:
            yield
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close the connections that are not in use."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_database(url: str) -> Database:
    """Open the database at an SQLAlchemy URL (`sqlite:////var/lib/medunion/hospital.sqlite`), made and migrated as needed.

    Any number of processes may do so at once. Raises StoreUnavailable if it can't be opened or is newer than this code.
    """
    place = _parsed(url)
    database = Database(sqlite.make_engine(place))
    try:
        with _translated(), sqlite.prepared_file(Path(place.database or "")):
            database.write(upgrade)
    except BaseException:
        database.close()
        raise
    return database


def _parsed(url: str) -> sa.URL:
    try:
        place = sa.make_url(url)
    except (SQLAlchemyError, ValueError):
        # Not chained, not quoted: it may hold a password.
        raise StoreUnavailable("the database URL can't be read; write sqlite:////path/to/file") from None
    if place != sa.URL.create("sqlite", database=place.database) or place.database in {None, "", ":memory:"}:
        raise StoreUnavailable("the database must be a SQLite file: sqlite:////path/to/file")
    return place


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.DBAPIError as error:
        # The first line of the driver's words alone: what follows, and what SQLAlchemy adds, shows what was in the statement.
        words = str(error.orig).partition("\n")[0]
        raise StoreUnavailable(f"the database refuses: {words}") from error
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"the database is not available: {error}") from error
