"""Statements that calls make again and again: written once in SQLAlchemy's words, composed once a database, run on its driver.

SQLAlchemy composes a statement each time, or finds it again by all that is in it: ten times what SQLite takes to answer it. That
is spared here, and nothing else: the connection, its transaction, what the columns' types make of a value, and what becomes of an
error are as everywhere.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Final, cast

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

Statement = sa.Select[Any] | sa.UpdateBase | sa.CompoundSelect[Any]
Row = tuple[Any, ...]
_Process = Callable[[Any], Any]


class Prepared:
    """A statement whose values are given by the names of its `sa.bindparam`s; those of an INSERT by its columns'."""

    def __init__(self, statement: Statement, others: Statement | None = None, *, columns: Sequence[str] = ()) -> None:
        """Take a statement; `others` is what PostgreSQL is asked, where SQLite has words of its own."""
        self._statements: Final = {"sqlite": statement, "postgresql": others if others is not None else statement}
        self._columns = list(columns) or None
        self._composed: dict[str, _Composed] = {}

    def rows(self, connection: sa.Connection, **values: object) -> list[Row]:
        """Run it and return what it finds. Raises DBAPIError."""
        composed = self._of(connection)
        return [composed.result(row) for row in composed.run(connection, values).fetchall()]

    def first(self, connection: sa.Connection, **values: object) -> Row | None:
        """Run it and return the first row that it finds. Raises DBAPIError."""
        composed = self._of(connection)
        row = composed.run(connection, values).fetchone()
        return None if row is None else composed.result(row)

    def value(self, connection: sa.Connection, **values: object) -> Any:  # noqa: ANN401 - the column's type
        """Run it and return the first column of the first row that it finds, or None. Raises DBAPIError."""
        row = self.first(connection, **values)
        return None if row is None else row[0]

    def changed(self, connection: sa.Connection, **values: object) -> int:
        """Run it and return how many rows it changed. Raises DBAPIError."""
        count: int = self._of(connection).run(connection, values).rowcount
        return count

    def many(self, connection: sa.Connection, rows: Iterable[Mapping[str, object]]) -> None:
        """Run it once for each of these values. Raises DBAPIError."""
        self._of(connection).run_many(connection, rows)

    def named(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        """Return rows as mappings from their columns' names."""
        names = [column.name for column in self._statements["sqlite"].exported_columns]
        return (dict(zip(names, row, strict=True)) for row in rows)

    def _of(self, connection: sa.Connection) -> "_Composed":
        dialect = connection.dialect
        if dialect.name not in self._composed:
            self._composed[dialect.name] = _composed(self._statement(dialect), dialect, self._columns)
        return self._composed[dialect.name]

    def _statement(self, dialect: sa.Dialect) -> Statement:
        return self._statements[dialect.name]


class _InsertUnlessThere(Prepared):
    """An INSERT that does nothing where the row's primary key is taken: each database has words of its own for it."""

    def __init__(self, table: sa.Table, columns: Sequence[str]) -> None:
        super().__init__(sa.insert(table), columns=columns)
        self._table = table

    def _statement(self, dialect: sa.Dialect) -> Statement:
        unless: Statement = insert_for(dialect, self._table).on_conflict_do_nothing()
        return unless


def insert_for(dialect: sa.Dialect, table: sa.Table) -> Any:  # noqa: ANN401 - either database's own class
    """Return the INSERT that can say what becomes of a row that is there; of a database that nobody uses nothing is read."""
    return import_module(f"sqlalchemy.dialects.{dialect.name}").insert(table)


@dataclass(frozen=True)
class _Composed:
    """A statement in a database's own words.

    `order` is that of SQLite's question marks; PostgreSQL takes values by name.
    """

    words: str
    order: Sequence[str] | None
    fixed: Mapping[str, object]
    binds: Mapping[str, _Process | None]
    results: Sequence[_Process | None]

    def run(self, connection: sa.Connection, values: Mapping[str, object]) -> Any:  # noqa: ANN401 - a driver's cursor
        given = self._given(values)
        dialect = connection.dialect
        try:
            driver: Any = connection.connection.driver_connection
            return driver.execute(self.words, given)
        except dialect.loaded_dbapi.Error as error:
            raise as_everywhere(connection, error, self.words) from error

    def run_many(self, connection: sa.Connection, rows: Iterable[Mapping[str, object]]) -> None:
        given = [self._given(values) for values in rows]
        try:
            driver: Any = connection.connection.driver_connection
            driver.cursor().executemany(self.words, given)
        except connection.dialect.loaded_dbapi.Error as error:
            raise as_everywhere(connection, error, self.words) from error

    def _given(self, values: Mapping[str, object]) -> Any:  # noqa: ANN401 - as the driver takes it: in order, or by name
        given = {**self.fixed, **{name: _processed(self.binds[name], value) for name, value in values.items()}}
        return given if self.order is None else [given[name] for name in self.order]

    def result(self, row: Row) -> Row:
        return tuple(_processed(*it) for it in zip(self.results, row, strict=True))


def _processed(process: _Process | None, value: object) -> object:
    return value if process is None else process(value)


def _composed(statement: Statement, dialect: sa.Dialect, columns: list[str] | None) -> _Composed:
    compiled: Any = statement.compile(dialect=dialect, column_keys=columns)
    binds = {name: bind for bind, name in compiled.bind_names.items()}
    processes = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in binds.items()}
    fixed = {name: _processed(processes[name], bind.value) for name, bind in binds.items() if not bind.required}
    results = [column.type.dialect_impl(dialect) for column in statement.exported_columns]
    processed = [it.result_processor(dialect, None) for it in results]
    return _Composed(str(compiled), compiled.positiontup, fixed, processes, processed)


def as_everywhere(connection: sa.Connection, error: Exception, words: str) -> DBAPIError:
    """Return a driver's error as SQLAlchemy raises it, and have it find out about a lost connection itself.

    Then it forgets the pool's other connections too, which are as old.
    """
    dialect = connection.dialect
    is_lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)  # type: ignore[arg-type]
    if is_lost:
        with suppress(DBAPIError):
            connection.exec_driver_sql("SELECT 1")
    told: Any = DBAPIError.instance(
        words,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=dialect,
    )
    return cast("DBAPIError", told)


@cache
def insert_unless_there(table: sa.Table, *columns: str) -> Prepared:
    """Return the INSERT of these columns of a row, which does nothing where its primary key is taken."""
    return _InsertUnlessThere(table, columns)


def always() -> sa.ColumnElement[bool]:
    """Require nothing. In the place of `sa.true()`, which would leave out what stands beside it, and with it values' names."""
    return sa.literal_column("0") == sa.literal_column("0")


def one_of(column: sa.ColumnElement[Any], name: str, number: int) -> sa.ColumnElement[bool]:
    """Require a column to be one of so many values, which `each` names; none is never one of none."""
    if number == 0:
        return sa.not_(always())
    return column.in_([sa.bindparam(f"{name}_{place}", type_=column.type) for place in range(number)])


def each(name: str, values: Sequence[object]) -> dict[str, object]:
    """Name the values that `one_of` asks for."""
    return {f"{name}_{place}": value for place, value in enumerate(values)}
