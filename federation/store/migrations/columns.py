"""Short names for what every migration writes: not-null columns, and tables that lie in their primary key in SQLite."""

from typing import Any

import sqlalchemy as sa
from alembic import op


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
