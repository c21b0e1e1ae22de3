"""The public cloud's blind index, in SQL. Every statement but a walk's names a bucket, and so one machine of many."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import StoreLimit
from federation.store.party import acting
from federation.store.portable import counted, insert_if_absent, pages, replaced
from federation.store.rows import Act, RowBound, RowName, RowOwner, RowPage, SealedRow, Unwanted, Wanted
from federation.store.schema import index_rows

_KEY = (index_rows.c.bucket, index_rows.c.row_key, index_rows.c.row_id)


class Index:
    """The public cloud's blind index."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def upsert(
        self,
        row: SealedRow,
        *,
        replaces: Sequence[RowName] = (),
        bound: RowBound | None = None,
        act: Act | None = None,
    ) -> None:
        """Keep a row; one of the same name gives way, and so do those it replaces: its own under older generations.

        Raises StoreLimit where that makes one row more than the bound.
        """

        def step(connection: sa.Connection) -> None:
            with acting(connection, act):
                took_a_place = _delete(connection, replaces) == 0
                if not insert_if_absent(connection, index_rows, **vars(row)):
                    connection.execute(sa.update(index_rows).where(_named(row.name)).values(vars(row)))
                elif took_a_place and bound is not None and _count_of(connection, bound.owners) > bound.most:
                    raise StoreLimit("one hospital has as many rows of this patient as the index takes")

        self._database.write_by_key(step, repeatable=act is None)

    def withdraw(self, *names: RowName, act: Act | None = None) -> None:
        """Take the rows out; none there is no error."""

        def step(connection: sa.Connection) -> None:
            with acting(connection, act):
                _delete(connection, names)

        self._database.write_by_key(step, repeatable=act is None)

    def purge(self, owners: Sequence[RowOwner]) -> int:
        """Take out all rows of these owners, and say how many it were."""
        gone = [sa.delete(index_rows).where(_owned(owner)) for owner in owners]
        return self._database.write_by_key(lambda connection: sum(connection.execute(it).rowcount for it in gone))

    def count_of(self, owners: Sequence[RowOwner]) -> int:
        """Count the rows of these owners."""
        return self._database.read(lambda connection: _count_of(connection, owners))

    def page(self, wanted: Sequence[Wanted], *, offset: int, limit: int) -> RowPage:
        """Return some of the rows that are looked for, in a stable order, and how many there are in all.

        Each owner has its turn, the first of each before the second of any: nobody who has many stands before one who has few.
        """
        fits = sa.or_(sa.false(), *map(_wanted, wanted))
        turn = sa.func.row_number().over(partition_by=(index_rows.c.bucket, index_rows.c.hospital_key), order_by=_KEY)
        named = sa.select(index_rows, turn.label("turn")).where(fits).subquery()
        order = (named.c.turn, named.c.hospital_key, named.c.row_key, named.c.row_id)
        query = sa.select(*(named.c[it.name] for it in index_rows.c)).order_by(*order).limit(limit).offset(offset)

        def step(connection: sa.Connection) -> RowPage:
            total = connection.scalars(sa.select(sa.func.count()).select_from(index_rows).where(fits)).one()
            rows = connection.execute(query).mappings() if offset < total else ()
            return RowPage([SealedRow(**row) for row in rows], total)

        return self._database.read(step)

    def one_of_each(self, wanted: Sequence[Wanted]) -> Sequence[SealedRow]:
        """Return of the rows that are looked for the first of each owner."""
        fits = sa.or_(sa.false(), *map(_wanted, wanted))
        turn = sa.func.row_number().over(partition_by=(index_rows.c.bucket, index_rows.c.hospital_key), order_by=_KEY)
        named = sa.select(index_rows, turn.label("turn")).where(fits).subquery()
        query = sa.select(*(named.c[it.name] for it in index_rows.c)).where(named.c.turn == 1)
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [SealedRow(**row) for row in rows]

    def older(self, wanted: Sequence[Wanted], *, than: int, limit: int) -> Sequence[SealedRow]:
        """Return some of the rows that are looked for and are under an earlier generation."""
        fits = sa.or_(sa.false(), *map(_wanted, wanted))
        query = sa.select(index_rows).where(fits, index_rows.c.generation < than).order_by(*_KEY).limit(limit)
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [SealedRow(**row) for row in rows]

    def walk(self) -> Iterator[SealedRow]:
        """Return every row, by bucket, key and id."""
        return pages(self._database, sa.select(index_rows), _KEY, lambda row: SealedRow(**row))

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
        """Count the rows that a generation of the index key names."""
        return counted(self._database, index_rows, index_rows.c.generation == generation)


def _named(name: RowName) -> sa.ColumnElement[bool]:
    return sa.and_(*(column == part for column, part in zip(_KEY, name, strict=True)))


def _owned(owner: RowOwner) -> sa.ColumnElement[bool]:
    return sa.and_(index_rows.c.bucket == owner.bucket, index_rows.c.hospital_key == owner.hospital_key)


def _wanted(wanted: Wanted) -> sa.ColumnElement[bool]:
    fits = [
        index_rows.c.bucket == wanted.bucket,
        index_rows.c.row_key.in_(wanted.row_keys),
        index_rows.c.level.in_(wanted.levels),
        *(sa.not_(_unwanted(it)) for it in wanted.but),
    ]
    if wanted.hospital_keys is not None:
        fits.append(index_rows.c.hospital_key.in_(wanted.hospital_keys))
    return sa.and_(*fits)


def _unwanted(unwanted: Unwanted) -> sa.ColumnElement[bool]:
    named: list[sa.ColumnElement[bool]] = []
    if unwanted.hospital_key is not None:
        named.append(index_rows.c.hospital_key == unwanted.hospital_key)
    if unwanted.row_key is not None:
        named.append(index_rows.c.row_key == unwanted.row_key)
    if unwanted.row_ids is not None:
        named.append(index_rows.c.row_id.in_(unwanted.row_ids))
    return sa.and_(sa.true(), *named)


def _still(row: SealedRow) -> sa.ColumnElement[bool]:
    return sa.and_(_named(row.name), index_rows.c.sealed == row.sealed)


def _count_of(connection: sa.Connection, owners: Sequence[RowOwner]) -> int:
    owned = sa.or_(sa.false(), *map(_owned, owners))
    return connection.scalars(sa.select(sa.func.count()).select_from(index_rows).where(owned)).one()


def _delete(connection: sa.Connection, names: Sequence[RowName]) -> int:
    return sum(connection.execute(sa.delete(index_rows).where(_named(name))).rowcount for name in names)
