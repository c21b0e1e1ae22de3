"""The signed heads of a log, and the lines of witnesses under them: few of many, for a later head shows all below it."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.portable import insert_if_absent, pages
from federation.store.rows import StoredCosignature, StoredHead
from federation.store.schema import log_cosignatures, log_heads

_HOUR_MS = 3_600_000
_LOOKED_AT = 256
"""Lines of witnesses that are returned of those that are old enough: several days'."""

_NEWEST = sa.select(log_heads).order_by(log_heads.c.number.desc(), log_heads.c.size.desc())


class LogHeads:
    """The heads of the own log: the newest, and of each hour of before the first, and the first with one, two, three... lines."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, head: StoredHead) -> bool:
        """Keep a head, and say whether it is new: one that is kept of the same number and size stays as it is."""
        return self._database.write_by_key(lambda connection: insert_if_absent(connection, log_heads, **asdict(head)))

    def get(self, number: int, size: int) -> StoredHead | None:
        """Return the head of this size."""
        return self._first(_NEWEST.where(log_heads.c.number == number, log_heads.c.size == size))

    def newest(self) -> StoredHead | None:
        """Return the newest head."""
        return self._first(_NEWEST)

    def newest_cosigned(self, least: int, hospitals: Collection[str] | None, cloud_id: str | None) -> StoredHead | None:
        """Return the newest head under which at least so many lines are of these hospitals, None for any, and of this cloud."""
        return self._first(_NEWEST.where(_cosignatures(hospitals, cloud_id) >= least))

    def size_cosigned(self, number: int, witness_id: str) -> int:
        """Return the size of the largest head that a witness cosigned; 0 for none."""
        c = log_cosignatures.c
        largest = sa.select(sa.func.max(c.size)).where(c.number == number, c.witness_id == witness_id)
        return self._database.look(lambda connection: connection.scalar(largest)) or 0

    def cosigned_before(
        self, before: int, hospitals: Collection[str] | None, cloud_id: str | None
    ) -> Sequence[tuple[int, int, bytes]]:
        """Return a head's number, its size and a line, where both are of before a time by this node; the largest first.

        Lines of these hospitals, None for any, and of this cloud.
        """
        heads, lines = log_heads.c, log_cosignatures.c
        both = sa.and_(heads.number == lines.number, heads.size == lines.size)
        query = sa.select(heads.number, heads.size, lines.line).select_from(log_heads.join(log_cosignatures, both))
        old = query.where(heads.at < before, lines.at < before, _counts(hospitals, cloud_id))
        newest = old.order_by(heads.size.desc()).limit(_LOOKED_AT)
        rows = self._database.look(lambda connection: connection.execute(newest).all())
        return [(row.number, row.size, row.line) for row in rows]

    def first_after(self, head: StoredHead | None) -> StoredHead | None:
        """Return the first head that is kept after one, the first of all for None."""
        c = log_heads.c
        query = sa.select(log_heads).order_by(c.number, c.size)
        if head is not None:
            query = query.where(sa.tuple_(c.number, c.size) > sa.tuple_(head.number, head.size))
        return self._first(query)

    def all(self) -> Iterator[StoredHead]:
        """Return every head, by number and size."""
        order = (log_heads.c.number, log_heads.c.size)
        return pages(self._database, sa.select(log_heads), order, lambda row: StoredHead(**row))

    def cosign(self, cosignature: StoredCosignature) -> bool:
        """Keep a witness's line under a head, and say whether it is new."""
        values = asdict(cosignature)
        return self._database.write_by_key(
            lambda connection: insert_if_absent(connection, log_cosignatures, **values), repeatable=True
        )

    def cosignatures(self, number: int, size: int) -> Sequence[StoredCosignature]:
        """Return the lines under a head, by witness."""
        c = log_cosignatures.c
        query = sa.select(log_cosignatures).where(c.number == number, c.size == size).order_by(c.witness_id)
        rows = self._database.look(lambda connection: connection.execute(query).mappings().all())
        return [StoredCosignature(**row) for row in rows]

    def sweep(self, *, before: int) -> int:
        """Forget what need not be kept of the heads that were signed before a time, and say how many those were."""
        cosigned = Counter((row.number, row.size) for row in self._cosigned())
        newest = self.newest()
        superseded = [head for head in _superseded(self.all(), cosigned) if head.at < before and head != newest]
        if superseded:
            self._forget(superseded)
        return len(superseded)

    def _cosigned(self) -> Iterator[StoredCosignature]:
        order = (log_cosignatures.c.number, log_cosignatures.c.size, log_cosignatures.c.witness_id)
        return pages(self._database, sa.select(log_cosignatures), order, lambda row: StoredCosignature(**row))

    def _forget(self, heads: Sequence[StoredHead]) -> None:
        named = [{"of_number": head.number, "of_size": head.size} for head in heads]

        def step(connection: sa.Connection) -> None:
            for table in (log_cosignatures, log_heads):
                here = table.c.number == sa.bindparam("of_number"), table.c.size == sa.bindparam("of_size")
                connection.execute(sa.delete(table).where(*here), named)

        self._database.write_by_key(step, repeatable=True)

    def _first(self, query: "sa.Select[tuple[object, ...]]") -> StoredHead | None:
        row = self._database.look(lambda connection: connection.execute(query.limit(1)).mappings().first())
        return None if row is None else StoredHead(**row)


def _counts(hospitals: Collection[str] | None, cloud_id: str | None) -> sa.ColumnElement[bool]:
    """Return whether a line is of these hospitals, None for any, or of this cloud; none is kept of the log's own node."""
    c = log_cosignatures.c
    is_hospital = c.witness_id.startswith("H:", autoescape=True)
    counts = is_hospital if hospitals is None else c.witness_id.in_(hospitals)
    return counts if cloud_id is None else sa.or_(counts, c.witness_id == cloud_id)


def _cosignatures(hospitals: Collection[str] | None, cloud_id: str | None) -> sa.ScalarSelect[int]:
    """Return how many lines under a head count."""
    c = log_cosignatures.c
    of_head = c.number == log_heads.c.number, c.size == log_heads.c.size
    return sa.select(sa.func.count()).where(*of_head, _counts(hospitals, cloud_id)).scalar_subquery()


def _superseded(heads: Iterable[StoredHead], cosigned: Mapping[tuple[int, int], int]) -> Iterator[StoredHead]:
    """Yield the heads that are neither the first of their hour nor the first with so many lines."""
    seen = set[tuple[int, int, int]]()
    for head in heads:
        lines = cosigned.get((head.number, head.size), 0)
        kinds = {(head.number, head.at // _HOUR_MS, it) for it in range(lines + 1)}
        if kinds <= seen:
            yield head
        seen |= kinds
