"""The few statements that SQLite and PostgreSQL spell in their own way, and reading without holding a transaction open."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from federation.store.database import Database
from federation.store.prepared import insert_for, insert_unless_there
from federation.store.transactions import sqlstate_of

PAGE_ROWS = 256
"""Rows that an iterator reads in one transaction and holds in memory."""

FORGOTTEN_ROWS = 64
"""Rows whose time is over that one call clears away: more than one call brings in."""

COUNTED_ROWS = 4096
"""Rows that one statement counts; of them only keys are read."""

NOT_SUPPORTED = "0A000"
"""The SQLSTATE of what speaks PostgreSQL's language and can't do all that PostgreSQL does (docs/scaling.md)."""

_SKIPS_NOTHING = "medunion-skips-no-locked-rows"
"""What a connection has been found to refuse: it is asked once."""

T = TypeVar("T")


def forget(connection: sa.Connection, table: sa.Table, over: sa.ColumnElement[bool]) -> int:
    """Delete rows whose time is over, some at a time, and none that another transaction is at: nobody waits for it.

    A database of many machines can't say which those are (0A000): there they are looked for, and then deleted by key, which may
    wait for a moment. Returns how many.
    """
    key = table.primary_key.columns
    found = sa.select(*key).where(over).limit(FORGOTTEN_ROWS)
    if not connection.info.get(_SKIPS_NOTHING):
        idle = found.with_for_update(skip_locked=True)
        try:
            with _undone_alone(connection):
                return connection.execute(sa.delete(table).where(sa.tuple_(*key).in_(idle))).rowcount
        except DBAPIError as error:
            if sqlstate_of(error) != NOT_SUPPORTED:
                raise
            connection.info[_SKIPS_NOTHING] = True
    names = sorted(tuple(row) for row in connection.execute(found))  # in one order, so that no two wait for each other
    return connection.execute(sa.delete(table).where(over, sa.tuple_(*key).in_(names))).rowcount if names else 0


def _undone_alone(connection: sa.Connection) -> AbstractContextManager[object]:
    """Let what the database refuses be undone without the rest of the transaction. SQLite refuses nothing here."""
    return nullcontext() if connection.dialect.name == "sqlite" else connection.begin_nested()


def insert_if_absent(connection: sa.Connection, table: sa.Table, **values: object) -> bool:
    """Insert a row unless its primary key is there, and say whether it was inserted."""
    return insert_unless_there(table, *values).changed(connection, **values) == 1


def upsert(
    connection: sa.Connection,
    table: sa.Table,
    give_way: Callable[[Any], sa.ColumnElement[bool]] = lambda _: sa.true(),
    **values: object,
) -> bool:
    """Insert a row, or give the row of the same primary key these values; columns not named keep theirs.

    `give_way` says of the new values when the row that is there does. Returns whether anything was written.
    """
    key = table.primary_key.columns.keys()
    statement = insert_for(connection.dialect, table).values(values)
    changed = {name: statement.excluded[name] for name in values if name not in key}
    merged = statement.on_conflict_do_update(index_elements=key, set_=changed, where=give_way(statement.excluded))
    # SQLAlchemy keeps the number of rows of UPDATE and DELETE alone unless it is asked.
    return connection.execute(merged, execution_options={"preserve_rowcount": True}).rowcount == 1


def pages(
    database: Database,
    query: sa.Select[Any],
    order: Sequence[sa.ColumnElement[Any]],
    convert: Callable[[sa.RowMapping], T],
    *,
    rows_a_page: int = PAGE_ROWS,
) -> Iterator[T]:
    """Yield all rows of a query in an order that is unique, read page by page: a slow reader holds no transaction open.

    The query selects the columns of the order. Rows that appear behind the reader's place meanwhile are not seen.
    """
    ordered = query.order_by(*order).limit(rows_a_page)
    page = ordered
    while True:
        rows = database.look(partial(_fetch, page))
        yield from map(convert, rows)
        if len(rows) < rows_a_page:
            return
        page = ordered.where(sa.tuple_(*order) > _place(rows[-1], order))


def counted(database: Database, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
    """Count the rows that fit, whatever the table's size: no single statement goes over all of it."""
    key = tuple(table.primary_key.columns)
    fits = condition.label("fits")
    return sum(pages(database, sa.select(*key, fits), key, lambda row: int(row["fits"]), rows_a_page=COUNTED_ROWS))


def replaced(database: Database, statement: sa.Update) -> bool:
    """Run an UPDATE of at most one row, whose condition is what that row is to be still; say whether it was."""
    return database.write_by_key(lambda connection: connection.execute(statement).rowcount == 1)


def _fetch(query: sa.Select[Any], connection: sa.Connection) -> Sequence[sa.RowMapping]:
    return connection.execute(query).mappings().all()


def _place(row: sa.RowMapping, order: Sequence[sa.ColumnElement[Any]]) -> sa.Tuple:
    return sa.tuple_(*(sa.literal(row[column], column.type) for column in order))
