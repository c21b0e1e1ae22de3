"""What every migration writes: not-null columns, tables that lie in their primary key in SQLite, and tables that only grow.

Of a table that only grows the database itself refuses to change or remove anything, by triggers.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

from federation.store.portable import NOT_SUPPORTED
from federation.store.transactions import sqlstate_of

_SQLITE = (
    "CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
    "CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
)

# INSERT OR REPLACE removes a row without the DELETE trigger unless the connection asks for it: the next number alone may come.
_SQLITE_NEXT_ONLY = (
    "CREATE TRIGGER {table}_next_only BEFORE INSERT ON {table} "
    "WHEN NEW.{column} <> (SELECT COALESCE(MAX({column}), 0) + 1 FROM {table}) "
    "BEGIN SELECT RAISE(ABORT, '{table} takes the next entry alone'); END"
)

_POSTGRESQL_REFUSAL = (
    "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
)

_POSTGRESQL = (
    "CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()",
)
_POSTGRESQL_TRUNCATE = (
    "CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
)


def key(name: str, kind: type[sa.types.TypeEngine[Any]] = sa.LargeBinary) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def blob(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=nullable)


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def create(name: str, *columns: sa.schema.SchemaItem, clustered: bool = True) -> None:
    op.create_table(name, *columns, sqlite_with_rowid=not clustered)


def index(table: str, *columns: str) -> None:
    """Name an index for its table and first column."""
    op.create_index(f"{table}_{columns[0]}", table, list(columns))


def prepare_append_only() -> None:
    """Make what the triggers of all tables share."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_POSTGRESQL_REFUSAL)


def make_append_only(table: str) -> None:
    """Refuse UPDATE and DELETE on a table (and TRUNCATE, where there is one, and a trigger for it)."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _SQLITE if is_sqlite else _POSTGRESQL:
        op.execute(statement.format(table=table))
    if not is_sqlite:
        _where_supported(_POSTGRESQL_TRUNCATE.format(table=table))


def _where_supported(statement: str) -> None:
    try:
        with op.get_bind().begin_nested():
            op.execute(statement)
    except DBAPIError as error:
        if sqlstate_of(error) != NOT_SUPPORTED:
            raise


def allow_next_only(table: str, column: str) -> None:
    """Refuse an entry that is not the next one, where the primary key alone could be talked into replacing a row."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_SQLITE_NEXT_ONLY.format(table=table, column=column))
