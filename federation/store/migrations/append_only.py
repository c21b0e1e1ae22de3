"""Triggers by which the database itself refuses to change or remove what a table holds."""

from alembic import op

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
    "CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
)


def prepare() -> None:
    """Make what the triggers of all tables share."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_POSTGRESQL_REFUSAL)


def guard(table: str) -> None:
    """Refuse UPDATE and DELETE on a table (and TRUNCATE, where there is one)."""
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement.format(table=table))


def guard_order(table: str, column: str) -> None:
    """Refuse an entry that is not the next one, where the primary key alone could be talked into replacing a row."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_SQLITE_NEXT_ONLY.format(table=table, column=column))
