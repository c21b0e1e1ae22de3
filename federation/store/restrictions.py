"""What patients hide, by an HMAC of ID_P; and at the public cloud, which hospitals have yet to be told."""

from collections.abc import Iterator, Sequence
from functools import cache

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import AlreadyStored
from federation.store.log import acting
from federation.store.portable import counted, forget, insert_if_absent, pages, replaced, upsert
from federation.store.prepared import Prepared, each, one_of
from federation.store.rows import Act, Deliveries, StoredRestriction
from federation.store.schema import restriction_deliveries, restrictions, settings

_KEPT = "restrictions-kept"
"""The setting whose sequence counts how often one was kept."""


class Restrictions:
    """The restrictions. The newest of a patient stands alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        wanted: StoredRestriction,
        *,
        older: Sequence[bytes] = (),
        follows: int | None = None,
        act: Act | None = None,
    ) -> None:
        """Keep a restriction in place of its patient's before, also under keys of older generations; it is due everywhere again.

        Raises AlreadyStored where one stands whose number is not below, or not the one that this `follows`, 0 for none.
        """
        keys = [wanted.patient_key, *older]
        newest = sa.select(sa.func.max(restrictions.c.number)).where(restrictions.c.patient_key.in_(keys))

        def step(connection: sa.Connection) -> None:
            with acting(connection, act):
                stands: int = connection.scalar(newest) or 0
                if stands >= wanted.number or follows not in (None, stands):
                    raise AlreadyStored("another restriction stands")
                connection.execute(sa.delete(restrictions).where(restrictions.c.patient_key.in_(keys)))
                insert_if_absent(connection, restrictions, **vars(wanted))
                _move_deliveries(connection, older, wanted.patient_key)
                named = restriction_deliveries.c.patient_key == wanted.patient_key
                connection.execute(sa.update(restriction_deliveries).where(named).values(due=wanted.number))
                upsert(connection, settings, name=_KEPT, value=b"", sequence=_kept(connection) + 1)

        self._database.write(step)

    def of(self, patient_keys: Sequence[bytes]) -> StoredRestriction | None:
        """Return what stands for a patient, by its keys of every generation."""
        found = self._database.find(_newest_of(len(patient_keys)), **each("key", patient_keys))
        return StoredRestriction(**found[0]) if found else None

    def mark(self) -> int:
        """Return what changes whenever one is kept."""
        return self._database.look(_kept)

    def walk(self) -> Iterator[StoredRestriction]:
        """Return every restriction, by its key."""
        order = (restrictions.c.patient_key,)
        return pages(self._database, sa.select(restrictions), order, lambda row: StoredRestriction(**row))

    def reseal(self, row: StoredRestriction, sealed: bytes) -> bool:
        """Replace what is sealed of a restriction if it is still as given, and say whether it was."""
        return replaced(self._database, sa.update(restrictions).where(_still(row)).values(sealed=sealed))

    def move(self, old: StoredRestriction, new: StoredRestriction) -> bool:
        """Put the new row in the old one's place if that is still as given, and say whether it was.

        Of it and one that stands under the new key already the newer stays; the old one goes all the same.
        """

        def step(connection: sa.Connection) -> bool:
            if connection.execute(sa.delete(restrictions).where(_still(old))).rowcount == 0:
                return False
            upsert(connection, restrictions, lambda given: restrictions.c.number < given.number, **vars(new))
            _move_deliveries(connection, [old.patient_key], new.patient_key)
            return True

        return self._database.write(step)

    def count(self, generation: int) -> int:
        """Count the restrictions that a generation of the index key names."""
        return counted(self._database, restrictions, restrictions.c.generation == generation)

    def is_due_at(self, hospital_ids: Sequence[str], patient_keys: Sequence[bytes], *, again: bool = False) -> None:
        """Let what stands for a patient be due at these hospitals, if something stands; `again` also where it was delivered."""
        newest = sa.select(restrictions).where(restrictions.c.patient_key.in_(patient_keys))
        newest = newest.order_by(restrictions.c.number.desc()).limit(1)

        def step(connection: sa.Connection) -> None:
            row = connection.execute(newest).mappings().first()
            if row is None:
                return
            key, due = row["patient_key"], row["number"]
            for hospital_id in hospital_ids:
                values = {"patient_key": key, "hospital_id": hospital_id}
                if (
                    not insert_if_absent(connection, restriction_deliveries, **values, due=due, handed_out_at=0)
                    and again
                ):
                    upsert(connection, restriction_deliveries, **values, due=due, handed_out_at=0)

        self._database.write(step, repeatable=True)

    def due_at(self, hospital_id: str, *, now: int, limit: int) -> Sequence[StoredRestriction]:
        """Hand out some of what is due at a hospital, what waited longest first."""
        here = (restriction_deliveries.c.hospital_id == hospital_id, restriction_deliveries.c.due.is_not(None))
        order = (restriction_deliveries.c.handed_out_at, restriction_deliveries.c.patient_key)
        waiting = sa.select(restriction_deliveries.c.patient_key).where(*here).order_by(*order).limit(limit)

        def step(connection: sa.Connection) -> list[StoredRestriction]:
            keys = list(connection.scalars(waiting))
            if not keys:
                return []
            told = sa.update(restriction_deliveries).where(*here, restriction_deliveries.c.patient_key.in_(keys))
            connection.execute(told.values(handed_out_at=now))
            query = sa.select(restrictions).where(restrictions.c.patient_key.in_(keys))
            return [StoredRestriction(**row) for row in connection.execute(query).mappings()]

        return self._database.write_by_key(step)

    def delivered(self, hospital_id: str, taken: Sequence[tuple[bytes, int]]) -> int:
        """Note which restrictions a hospital has taken, up to which number of each, and say of how many that is news."""

        def step(connection: sa.Connection) -> int:
            # In one order, so that no two wait for each other.
            return sum(
                _DELIVERED.changed(connection, hospital=hospital_id, patient=patient_key, number=number)
                for patient_key, number in sorted(taken)
            )

        return self._database.write_by_key(step) if taken else 0

    def forget_hospital(self, hospital_id: str) -> int:
        """Forget what a hospital has, or is to have; say of how many patients."""
        here, gone = restriction_deliveries.c.hospital_id == hospital_id, 0
        while now_gone := self._database.write_by_key(
            lambda connection: forget(connection, restriction_deliveries, here)
        ):
            gone += now_gone
        return gone

    def deliveries(self, patient_keys: Sequence[bytes]) -> Deliveries:
        """Count to how many hospitals a patient's restriction was delivered, and is due still."""
        made = sa.func.count().filter(restriction_deliveries.c.due.is_(None))
        due = sa.func.count(restriction_deliveries.c.due)
        query = sa.select(made, due).where(restriction_deliveries.c.patient_key.in_(patient_keys))
        return self._database.look(lambda connection: Deliveries(*connection.execute(query).one()))


_DELIVERED = Prepared(
    sa.update(restriction_deliveries)
    .where(
        restriction_deliveries.c.patient_key == sa.bindparam("patient"),
        restriction_deliveries.c.hospital_id == sa.bindparam("hospital"),
        restriction_deliveries.c.due <= sa.bindparam("number"),
    )
    .values(due=None)
)


@cache
def _newest_of(keys: int) -> Prepared:
    query = sa.select(restrictions).where(one_of(restrictions.c.patient_key, "key", keys))
    return Prepared(query.order_by(restrictions.c.number.desc()).limit(1))


def _kept(connection: sa.Connection) -> int:
    counted: int | None = connection.scalar(sa.select(settings.c.sequence).where(settings.c.name == _KEPT))
    return counted or 0


def _still(row: StoredRestriction) -> sa.ColumnElement[bool]:
    return sa.and_(restrictions.c.patient_key == row.patient_key, restrictions.c.sealed == row.sealed)


def _move_deliveries(connection: sa.Connection, old: Sequence[bytes], new: bytes) -> None:
    named = restriction_deliveries.c.patient_key.in_([key for key in old if key != new])
    for row in connection.execute(sa.select(restriction_deliveries).where(named)).mappings().all():
        insert_if_absent(connection, restriction_deliveries, **{**row, "patient_key": new})
    connection.execute(sa.delete(restriction_deliveries).where(named))
