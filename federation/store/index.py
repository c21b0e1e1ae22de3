"""The public cloud's blind index, in SQL."""

from collections.abc import Sequence

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.interfaces import SealedRow
from federation.store.portable import upsert
from federation.store.schema import index_rows

KEYS_A_QUERY = 500
"""Below every database's bound on the parameters of one statement."""


class SqlIndex:
    """`Index`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def upsert(self, row: SealedRow) -> None:
        """Keep a row; one of the same key and id gives way."""
        self._database.write(lambda connection: upsert(connection, index_rows, **vars(row)))

    def withdraw(self, row_key: bytes, row_id: bytes) -> None:
        """Take the row out; none there is no error."""
        statement = sa.delete(index_rows).where(index_rows.c.row_key == row_key, index_rows.c.row_id == row_id)
        self._database.write(lambda connection: connection.execute(statement))

    def rows(self, row_keys: Sequence[bytes]) -> Sequence[SealedRow]:
        """All rows under these keys, by key and id."""
        keys = sorted(set(row_keys))
        parts = [keys[start : start + KEYS_A_QUERY] for start in range(0, len(keys), KEYS_A_QUERY)]
        return self._database.read(lambda connection: [row for part in parts for row in _rows(connection, part)])


def _rows(connection: sa.Connection, keys: Sequence[bytes]) -> Sequence[SealedRow]:
    query = sa.select(index_rows).where(index_rows.c.row_key.in_(keys))
    rows = connection.execute(query.order_by(index_rows.c.row_key, index_rows.c.row_id)).mappings()
    return [SealedRow(**row) for row in rows]
