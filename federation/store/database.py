"""A party's database: opened, migrated, and the kinds of transaction that everything here consists of."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from federation.store import postgresql, sqlite
from federation.store.errors import StoreUnavailable
from federation.store.prepared import Prepared
from federation.store.transactions import CommitUnknown, Engines, look, persistent, transact

T = TypeVar("T")


class Database:
    """An open database, for any number of threads. Close it, or use it as a context manager.

    A step may have no effect but on its connection: it may run again (federation/store/transactions.py says when). One that is
    `repeatable` leaves, when it runs twice, what it leaves when it runs once.
    """

    def __init__(self, engines: Engines) -> None:
        self.engine = engines.reading
        self._engines = engines

    def read(self, step: Callable[[sa.Connection], T]) -> T:
        """Run a step that only reads, on one snapshot. Raises StoreUnavailable."""
        with translated():
            return persistent(partial(transact, self._engines.reading, step), repeatable=True)

    def look(self, step: Callable[[sa.Connection], T]) -> T:
        """Run a step that is one reading statement: that is a snapshot by itself, without a transaction around it.

        Raises StoreUnavailable.
        """
        with translated():
            return persistent(partial(look, self._engines.looking, step), repeatable=True)

    def find(self, query: Prepared, **values: object) -> list[dict[str, Any]]:
        """Look for what a prepared query finds with these values, by the columns' names. Raises StoreUnavailable."""
        return [*query.named(self.look(lambda connection: query.rows(connection, **values)))]

    def write(self, step: Callable[[sa.Connection], T], *, repeatable: bool = False) -> T:
        """Run a step as one durable transaction, as if alone; whatever it raises undoes it. Raises StoreUnavailable."""
        return self._write(self._engines.serializable, step, repeatable=repeatable)

    def write_by_key(self, step: Callable[[sa.Connection], T], *, repeatable: bool = False) -> T:
        """Run such a step beside others: each of its statements decides by a key, or by a row that it has locked.

        Raises StoreUnavailable.
        """
        return self._write(self._engines.by_key, step, repeatable=repeatable)

    def _write(self, engine: sa.Engine, step: Callable[[sa.Connection], T], *, repeatable: bool) -> T:
        with translated(), self._engines.write_lock():
            return persistent(partial(transact, engine, step), repeatable=repeatable)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_database(url: str, *, password_file: Path | None = None, connections: int = 8) -> Database:
    """Open the database at a URL, made and migrated as needed.

    `sqlite:////var/lib/medunion/hospital.sqlite` is a file of this machine; `postgresql://medunion@db.example/hospital` is
    shared by any number of machines. Any number of processes may open it at once. Raises StoreUnavailable if it can't be opened
    or is newer than this code.
    """
    place = require_address(url)
    engines = _engines(place, password_file, connections)
    database = Database(engines)
    try:
        with translated():
            if place.get_backend_name() == "sqlite":
                with sqlite.prepared_file(Path(place.database or "")):
                    database.write(_bring_up_to_date)
            else:
                postgresql.migrate(engines, _bring_up_to_date)
    except BaseException:
        database.close()
        raise
    return database


def _bring_up_to_date(connection: sa.Connection) -> None:
    if not is_current(connection):
        from federation.store.upgrade import upgrade  # noqa: PLC0415 - Alembic is a fifth of a command's start

        upgrade(connection)


def require_address(url: str) -> sa.URL:
    """Require a URL that `open_database` takes, and give its parts; nothing is opened.

    Raises StoreUnavailable, which doesn't quote it.
    """
    place = _parsed(url)
    if place.drivername == "postgresql":
        postgresql.require_safe(place)
    elif place != sa.URL.create("sqlite", database=place.database) or place.database in {None, "", ":memory:"}:
        raise StoreUnavailable("the database is a SQLite file, sqlite:////path/to/file, or postgresql://user@host/name")
    return place


def _engines(place: sa.URL, password_file: Path | None, connections: int) -> Engines:
    if place.drivername == "postgresql":
        return postgresql.make_engines(place, password_file, connections)
    return sqlite.make_engines(place)


def _parsed(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except (SQLAlchemyError, ValueError):
        # Not chained, not quoted: it may hold a password.
        raise StoreUnavailable("the database URL can't be read; write sqlite:////path/to/file") from None


@contextmanager
def translated() -> Iterator[None]:
    """Raise StoreUnavailable for what a database's driver raises."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        # The first line of the driver's words alone: what follows, and what SQLAlchemy adds, shows what was in the statement.
        words = str(error.orig).partition("\n")[0]
        raise StoreUnavailable(f"the database refuses: {words}") from error
    except CommitUnknown as error:
        raise StoreUnavailable(f"{error}: it may be there or not") from error
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"the database is not available: {error}") from error


def is_current(connection: sa.Connection) -> bool:
    """Return whether the database has every migration of this code, and none that it does not know.

    It is told without Alembic: most programs find all of them, and need not read it for that.
    """
    if not sa.inspect(connection).has_table("alembic_version"):
        return False
    return list(connection.scalars(sa.text("SELECT version_num FROM alembic_version"))) == [_newest()]


@cache
def _newest() -> str:
    """Return the newest revision. Migrations are numbered files: r0005_retention.py is "0005"."""
    files = resources.files("federation.store.migrations").joinpath("versions").iterdir()
    return max(file.name for file in files if file.name.startswith("r0"))[1:5]
