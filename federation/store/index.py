"""The public cloud's blind index, in SQL."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.interfaces import RowName, SealedRow
from federation.store.portable import counted, insert_if_absent, pages, replaced, upsert
from federation.store.schema import index_rows

KEYS_A_QUERY = 500
"""Below every database's bound on the parameters of one statement."""


class SqlIndex:
    """`Index`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def upsert(self, row: SealedRow, *, replaces: Sequence[RowName] = ()) -> None:
        """Keep a row; one of the same name gives way, and so do those it replaces: its own under older generations."""

        def step(connection: sa.Connection) -> None:
            upsert(connection, index_rows, **vars(row))
            _delete(connection, replaces)

        self._database.write_by_key(step, repeatable=True)

    def withdraw(self, *names: RowName) -> None:
        """Take the rows out; none there is no error."""
        self._database.write_by_key(lambda connection: _delete(connection, names), repeatable=True)

    def rows(self, row_keys: Sequence[bytes]) -> Sequence[SealedRow]:
        """All rows under these keys, by key and id."""
        keys = sorted(set(row_keys))
        parts = [keys[start : start + KEYS_A_QUERY] for start in range(0, len(keys), KEYS_A_QUERY)]
        return self._database.read(lambda connection: [row for part in parts for row in _rows(connection, part)])

    def walk(self) -> Iterator[SealedRow]:
        """Every row, by key and id."""
        order = (index_rows.c.row_key, index_rows.c.row_id)
        return pages(self._database, sa.select(index_rows), order, lambda row: SealedRow(**row))

    def reseal(self, row: SealedRow, sealed: bytes) -> bool:
        """Replace what is sealed in a row if the row is still as given, and say whether it was."""
        return replaced(self._database, sa.update(index_rows).where(_still(row)).values(sealed=sealed))

    def move(self, old: SealedRow, new: SealedRow) -> bool:
        """Put the new row in the old one's place if that is still as given, and say whether it was.

        A row that stands under the new name already is newer and stays; the old one goes all the same.
        """

        def step(connection: sa.Connection) -> bool:
            if connection.execute(sa.delete(index_rows).where(_still(old))).rowcount == 0:
                return False
            insert_if_absent(connection, index_rows, **vars(new))
            return True

        return self._database.write_by_key(step)

    def count(self, generation: int) -> int:
        """How many rows a generation of the index key names."""
        return counted(self._database, index_rows, index_rows.c.generation == generation)


def _rows(connection: sa.Connection, keys: Sequence[bytes]) -> Sequence[SealedRow]:
    query = sa.select(index_rows).where(index_rows.c.row_key.in_(keys))
    rows = connection.execute(query.order_by(index_rows.c.row_key, index_rows.c.row_id)).mappings()
    return [SealedRow(**row) for row in rows]


def _named(row_key: bytes, row_id: bytes) -> sa.ColumnElement[bool]:
    return sa.and_(index_rows.c.row_key == row_key, index_rows.c.row_id == row_id)


def _still(row: SealedRow) -> sa.ColumnElement[bool]:
    return sa.and_(_named(row.row_key, row.row_id), index_rows.c.sealed == row.sealed)


def _delete(connection: sa.Connection, names: Sequence[RowName]) -> None:
    for name in names:
        connection.execute(sa.delete(index_rows).where(_named(*name)))
