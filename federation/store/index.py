"""The public cloud's blind index, in SQL. Every statement but a walk's names a bucket, and so one machine of many."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import StoreLimit
from federation.store.log import acting
from federation.store.portable import counted, insert_if_absent, pages, replaced
from federation.store.prepared import Prepared, always, each, one_of
from federation.store.rows import Act, RowBound, RowName, RowOwner, RowPlace, SealedRow, Unwanted, Wanted
from federation.store.schema import index_rows

_KEY = (index_rows.c.bucket, index_rows.c.row_key, index_rows.c.row_id)

_MOST_SHAPES: Final = 256
"""Of questions, whose statements are kept composed."""


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
                    _REPLACE.changed(connection, **vars(row))
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

    def page(
        self, wanted: Sequence[Wanted], *, rows_a_turn: int, limit: int, after: RowPlace | None = None
    ) -> Sequence[tuple[RowPlace, SealedRow]]:
        """Return some of the rows that are looked for, behind a place among them, in an order that is always the same.

        Each owner has its turn of so many rows, the first of each before the second of any: nobody who has many stands before one
        who has few.
        """
        begin = {} if after is None else after._asdict()
        query = _page_of(_shapes(wanted), rows_a_turn, is_first=after is None)
        values = {**_values(wanted), **{_behind(name): value for name, value in begin.items()}, "most": limit}
        return [_placed(**row) for row in self._database.find(query, **values)]

    def one_of_each(self, wanted: Sequence[Wanted]) -> Sequence[SealedRow]:
        """Return of the rows that are looked for the first of each owner."""
        query = _first_of_each(_shapes(wanted))
        return [SealedRow(**row) for row in self._database.find(query, **_values(wanted))]

    def older(self, wanted: Sequence[Wanted], *, than: int, limit: int) -> Sequence[SealedRow]:
        """Return some of the rows that are looked for and are under an earlier generation."""
        query = _older_of(_shapes(wanted))
        return [SealedRow(**row) for row in self._database.find(query, **_values(wanted), than=than, most=limit)]

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


def _placed(turn: int, **row: Any) -> tuple[RowPlace, SealedRow]:  # noqa: ANN401 - the columns of the table
    sealed = SealedRow(**row)
    return RowPlace(turn, sealed.hospital_key, sealed.row_key, sealed.row_id), sealed


def _named(name: RowName) -> sa.ColumnElement[bool]:
    return sa.and_(*(column == part for column, part in zip(_KEY, name, strict=True)))


def _owned(owner: RowOwner) -> sa.ColumnElement[bool]:
    return sa.and_(index_rows.c.bucket == owner.bucket, index_rows.c.hospital_key == owner.hospital_key)


class _Shape(NamedTuple):
    """How much of each kind rows are looked for by; of what they must not be, by which kinds, and by how many ids."""

    row_keys: int
    levels: int
    hospital_keys: int | None
    but: tuple[tuple[bool, bool, int | None], ...]


def _shapes(wanted: Sequence[Wanted]) -> tuple[_Shape, ...]:
    return tuple(
        _Shape(
            len(it.row_keys),
            len(it.levels),
            None if it.hospital_keys is None else len(it.hospital_keys),
            tuple((no.hospital_key is not None, no.row_key is not None, _number_of(no)) for no in it.but),
        )
        for it in wanted
    )


def _number_of(unwanted: Unwanted) -> int | None:
    return None if unwanted.row_ids is None else len(unwanted.row_ids)


def _values(wanted: Sequence[Wanted]) -> dict[str, object]:
    """Name what is looked for as `_fits` does."""
    values: dict[str, object] = {}
    for place, it in enumerate(wanted):
        values[f"bucket_{place}"] = it.bucket
        values |= each(f"row_key_{place}", it.row_keys) | each(f"level_{place}", it.levels)
        values |= each(f"hospital_{place}", it.hospital_keys or ())
        for number, no in enumerate(it.but):
            named = {"hospital": no.hospital_key, "row_key": no.row_key}
            values |= {f"not_{name}_{place}_{number}": value for name, value in named.items() if value is not None}
            values |= each(f"not_{place}_{number}", no.row_ids or ())
    return values


def _fits(shapes: tuple[_Shape, ...]) -> sa.ColumnElement[bool]:
    # Nothing else beside them: with a further alternative the database would go through the whole table.
    fits = [_fits_one(place, shape) for place, shape in enumerate(shapes)]
    return sa.or_(*fits) if fits else sa.not_(always())


def _fits_one(place: int, shape: _Shape) -> sa.ColumnElement[bool]:
    fits = [
        index_rows.c.bucket == sa.bindparam(f"bucket_{place}"),
        one_of(index_rows.c.row_key, f"row_key_{place}", shape.row_keys),
        one_of(index_rows.c.level, f"level_{place}", shape.levels),
        *(sa.not_(_unwanted(f"{place}_{number}", *no)) for number, no in enumerate(shape.but)),
    ]
    if shape.hospital_keys is not None:
        fits.append(one_of(index_rows.c.hospital_key, f"hospital_{place}", shape.hospital_keys))
    return sa.and_(*fits)


def _unwanted(place: str, by_hospital: bool, by_row_key: bool, row_ids: int | None) -> sa.ColumnElement[bool]:
    named: list[sa.ColumnElement[bool]] = []
    if by_hospital:
        named.append(index_rows.c.hospital_key == sa.bindparam(f"not_hospital_{place}"))
    if by_row_key:
        named.append(index_rows.c.row_key == sa.bindparam(f"not_row_key_{place}"))
    if row_ids is not None:
        named.append(one_of(index_rows.c.row_id, f"not_{place}", row_ids))
    return sa.and_(always(), *named)


def _behind(name: str) -> str:
    return f"behind_{name}"


def _of_owner() -> sa.ColumnElement[int]:
    """Return the number of a row among its owner's."""
    return sa.func.row_number().over(partition_by=(index_rows.c.bucket, index_rows.c.hospital_key), order_by=_KEY)


@lru_cache(_MOST_SHAPES)
def _page_of(shapes: tuple[_Shape, ...], rows_a_turn: int, *, is_first: bool) -> Prepared:
    turn = ((_of_owner() - 1) // rows_a_turn).label("turn")
    named = sa.select(index_rows, turn).where(_fits(shapes)).subquery()
    order = [named.c[it] for it in RowPlace._fields]
    query = sa.select(named).order_by(*order).limit(sa.bindparam("most", type_=sa.Integer))
    if not is_first:
        place = (sa.bindparam(_behind(it.name), type_=it.type) for it in order)
        query = query.where(sa.tuple_(*order) > sa.tuple_(*place))
    return Prepared(query)


@lru_cache(_MOST_SHAPES)
def _first_of_each(shapes: tuple[_Shape, ...]) -> Prepared:
    named = sa.select(index_rows, _of_owner().label("turn")).where(_fits(shapes)).subquery()
    return Prepared(sa.select(*(named.c[it.name] for it in index_rows.c)).where(named.c.turn == 1))


@lru_cache(_MOST_SHAPES)
def _older_of(shapes: tuple[_Shape, ...]) -> Prepared:
    older = index_rows.c.generation < sa.bindparam("than")
    most = sa.bindparam("most", type_=sa.Integer)
    return Prepared(sa.select(index_rows).where(_fits(shapes), older).order_by(*_KEY).limit(most))


def _still(row: SealedRow) -> sa.ColumnElement[bool]:
    return sa.and_(_named(row.name), index_rows.c.sealed == row.sealed)


_REPLACE = Prepared(
    sa.update(index_rows)
    .where(*(it == sa.bindparam(it.name) for it in _KEY))
    .values({it.name: sa.bindparam(it.name) for it in index_rows.c if it not in _KEY})
)
_DELETE = Prepared(sa.delete(index_rows).where(*(it == sa.bindparam(it.name) for it in _KEY)))
_COUNT = Prepared(
    sa.select(sa.func.count())
    .select_from(index_rows)
    .where(*(it == sa.bindparam(it.name) for it in (index_rows.c.bucket, index_rows.c.hospital_key)))
)


def _count_of(connection: sa.Connection, owners: Sequence[RowOwner]) -> int:
    return sum(int(_COUNT.value(connection, **it._asdict())) for it in owners)


def _delete(connection: sa.Connection, names: Sequence[RowName]) -> int:
    return sum(_DELETE.changed(connection, **name._asdict()) for name in names)
