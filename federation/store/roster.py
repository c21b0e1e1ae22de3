"""A hospital's roster: the shifts of its doctors, and the duties that were stated for them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import AlreadyStored
from federation.store.log import acting
from federation.store.portable import forget, insert_if_absent, pages, replaced, upsert
from federation.store.prepared import Prepared
from federation.store.rows import Act, RosterMark, StoredShift, StoredStatement
from federation.store.schema import settings, shifts

_ENDED = "shifts-ended-by-hand"
"""The setting whose sequence counts them."""


_LAST_TO_END_FIRST = (shifts.c.not_after.desc(), shifts.c.shift_id)
_MARK = Prepared(
    sa.select(
        sa.select(settings.c.sequence).where(settings.c.name == _ENDED).scalar_subquery(),
        sa.select(sa.func.max(shifts.c.not_after)).where(shifts.c.not_after <= sa.bindparam("now")).scalar_subquery(),
    )
)
_BY_ID = Prepared(sa.select(shifts).where(shifts.c.shift_id == sa.bindparam("shift")))
_ON_DUTY = Prepared(
    sa.select(shifts)
    .where(
        shifts.c.doctor_id == sa.bindparam("doctor"),
        shifts.c.not_after > sa.bindparam("now"),
        shifts.c.not_before <= sa.bindparam("now"),
        shifts.c.ended_at.is_(None),
    )
    .order_by(*_LAST_TO_END_FIRST)
)


class Shifts:
    """The shifts. One is added and ended; what was ended by hand stays so."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, wanted: Sequence[StoredShift], *, act: Act | None = None) -> None:
        """Put shifts on the roster, all of them or none. Raises AlreadyStored for an id that is there."""

        def step(connection: sa.Connection) -> None:
            with acting(connection, act):
                for shift in wanted:
                    if not insert_if_absent(connection, shifts, **_values(shift)):
                        raise AlreadyStored("a shift of this id is on the roster already")

        self._database.write_by_key(step)

    def get(self, shift_id: bytes) -> StoredShift | None:
        """Return a shift."""
        return next(map(_shift, self._database.find(_BY_ID, shift=shift_id)), None)

    def on(self, doctor_id: str, *, now: int) -> Sequence[StoredShift]:
        """Return the shifts in which a doctor works now, the one that ends last first."""
        return [_shift(row) for row in self._database.find(_ON_DUTY, doctor=doctor_id, now=now)]

    def of(self, doctor_id: str, *, ending_after: int) -> Sequence[StoredShift]:
        """Return a doctor's shifts that end later than that, those ended by hand too, the one that ends last first."""
        query = sa.select(shifts).where(shifts.c.doctor_id == doctor_id, shifts.c.not_after > ending_after)
        query = query.order_by(*_LAST_TO_END_FIRST)
        rows = self._database.look(lambda connection: connection.execute(query).mappings().all())
        return [_shift(row) for row in rows]

    def all(self, *, ending_after: int = 0) -> Iterator[StoredShift]:
        """Return the shifts that end later than that, those ended by hand too, the one that ends first first."""
        query = sa.select(shifts).where(shifts.c.not_after > ending_after)
        return pages(self._database, query, (shifts.c.not_after, shifts.c.shift_id), _shift)

    def keep_duty(self, shift_id: bytes, duty: StoredStatement, *, act: Act | None = None) -> bool:
        """Keep a shift's duty as it is stated now, in place of one before, unless the shift was ended; say whether it is kept.

        What is kept before it is handed out can be taken back by whoever ends the shift.
        """
        here = (shifts.c.shift_id == shift_id, shifts.c.ended_at.is_(None))
        kept = sa.update(shifts).where(*here)
        kept = kept.values(duty_statement=duty.statement, duty_signature=duty.signature)

        def step(connection: sa.Connection) -> bool:
            if connection.execute(kept).rowcount == 0:
                return False
            with acting(connection, act):
                return True

        return self._database.write_by_key(step)

    def end(self, shift_id: bytes, *, at: int, act: Act | None = None) -> bool:
        """End a shift by hand; False, and nothing changes, if that was done before or there is none."""
        ended = sa.update(shifts).where(shifts.c.shift_id == shift_id, shifts.c.ended_at.is_(None)).values(ended_at=at)

        def step(connection: sa.Connection) -> bool:
            if connection.execute(ended).rowcount == 0:
                return False
            upsert(connection, settings, name=_ENDED, value=b"", sequence=_ended_by_hand(connection) + 1)
            with acting(connection, act):
                return True

        return self._database.write(step)

    def told(self, shift_id: bytes, *, at: int) -> bool:
        """Note that the public cloud took up the end of a shift; say whether that is news."""
        here = (shifts.c.shift_id == shift_id, shifts.c.ended_at.is_not(None), shifts.c.told_at.is_(None))
        return replaced(self._database, sa.update(shifts).where(*here).values(told_at=at))

    def mark(self, *, now: int) -> RosterMark:
        """Return what changes whenever a shift ends."""
        ((by_hand, newest),) = self._database.look(lambda connection: _MARK.rows(connection, now=now))
        return RosterMark(by_hand or 0, newest or 0)

    def forget(self, *, over_before: int) -> int:
        """Remove shifts that were over before then, some at a time; say how many."""
        return self._database.write_by_key(
            lambda connection: forget(connection, shifts, shifts.c.not_after < over_before)
        )


def _ended_by_hand(connection: sa.Connection) -> int:
    counted: int | None = connection.scalar(sa.select(settings.c.sequence).where(settings.c.name == _ENDED))
    return counted or 0


def _values(shift: StoredShift) -> dict[str, Any]:
    return {
        "shift_id": shift.shift_id,
        "doctor_id": shift.doctor_id,
        "department_classes": " ".join(shift.department_classes),
        "not_before": shift.not_before,
        "not_after": shift.not_after,
    }


def _shift(row: Mapping[Any, Any]) -> StoredShift:
    statement, signature = row["duty_statement"], row["duty_signature"]
    return StoredShift(
        shift_id=row["shift_id"],
        doctor_id=row["doctor_id"],
        department_classes=tuple(row["department_classes"].split()),
        not_before=row["not_before"],
        not_after=row["not_after"],
        ended_at=row["ended_at"],
        told_at=row["told_at"],
        duty=None if statement is None else StoredStatement(statement, signature),
    )
