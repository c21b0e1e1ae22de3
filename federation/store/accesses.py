"""Whom which entries of the log are about: a row for each access, written when its entry gets its number.

So what is in the log of one patient is found without opening all of it. A row names the patient by an HMAC alone. Who asks for
the newest, or for all, has what waits for its number sequenced first.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.log import ENTRIES, Log
from federation.store.portable import counted, insert_if_absent, pages
from federation.store.rows import About, LogEntry, StoredAccess
from federation.store.schema import accesses, log

_KEY = (accesses.c.patient_key, accesses.c.sequence)


LAST: Final = 2**63 - 1
"""No entry has this sequence."""


def _about(patient_keys: Sequence[bytes], before: int) -> "sa.Select[tuple[int]]":
    named = accesses.c.patient_key.in_(patient_keys), accesses.c.sequence < before
    return sa.select(accesses.c.sequence).where(*named).distinct()


class Accesses:
    """Which entries are about whom."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._log = Log(database)

    def of(self, patient_keys: Sequence[bytes], *, before: int = LAST, limit: int) -> Sequence[LogEntry]:
        """Return entries about a patient that were written before the one of this sequence, the newest first."""
        if before == LAST:
            self._log.sequence()
        newest = _about(patient_keys, before).order_by(accesses.c.sequence.desc()).limit(limit)
        query = ENTRIES.where(log.c.sequence.in_(newest)).order_by(log.c.sequence.desc())
        return self._database.read(lambda connection: [LogEntry(**it) for it in connection.execute(query).mappings()])

    def count_of(self, patient_keys: Sequence[bytes], *, before: int = LAST) -> int:
        """Count such entries."""
        if before == LAST:
            self._log.sequence()
        query = sa.select(sa.func.count()).select_from(_about(patient_keys, before).subquery())
        return self._database.read(lambda connection: int(connection.execute(query).scalar_one()))

    def count(self, generation: int) -> int:
        """Count the rows that a generation of the index key names."""
        self._log.sequence()
        return counted(self._database, accesses, accesses.c.generation == generation)

    def walk(self) -> Iterator[StoredAccess]:
        """Return every row, by key and sequence."""
        self._log.sequence()
        return pages(self._database, sa.select(accesses), _KEY, lambda row: StoredAccess(**row))

    def move(self, old: StoredAccess, new: About | None) -> bool:
        """Name an entry's patient anew, or no more, if it is still named as given; say whether it was."""
        here = (accesses.c.patient_key == old.patient_key, accesses.c.sequence == old.sequence)

        def step(connection: sa.Connection) -> bool:
            if connection.execute(sa.delete(accesses).where(*here)).rowcount == 0:
                return False
            if new is not None:
                insert_if_absent(connection, accesses, **vars(new), sequence=old.sequence)
            return True

        return self._database.write_by_key(step)
