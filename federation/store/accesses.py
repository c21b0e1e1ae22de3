"""Whom which entries of the log are about: a row beside the entry of each access, written in its transaction.

So what is in the log of one patient is found without opening all of it. A row names the patient by an HMAC alone.
"""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.portable import counted, insert_if_absent, pages
from federation.store.rows import About, LogEntry, StoredAccess
from federation.store.schema import accesses, log

_KEY = (accesses.c.patient_key, accesses.c.sequence)


def note(connection: sa.Connection, about: About, sequence: int) -> None:
    """Say within a transaction whom an entry is about."""
    insert_if_absent(connection, accesses, **vars(about), sequence=sequence)


class Accesses:
    """Which entries are about whom."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, patient_keys: Sequence[bytes], *, offset: int = 0, limit: int) -> tuple[Sequence[LogEntry], int]:
        """Return entries about a patient behind the first `offset`, the newest first, and how many there are in all."""
        named = sa.select(accesses.c.sequence).where(accesses.c.patient_key.in_(patient_keys)).distinct().subquery()
        newest = sa.select(named.c.sequence).order_by(named.c.sequence.desc()).offset(offset).limit(limit)

        def step(connection: sa.Connection) -> tuple[list[LogEntry], int]:
            total = connection.execute(sa.select(sa.func.count()).select_from(named)).scalar_one()
            query = sa.select(log).where(log.c.sequence.in_(newest)).order_by(log.c.sequence.desc())
            return [LogEntry(**row) for row in connection.execute(query).mappings()], total

        return self._database.read(step)

    def count(self, generation: int) -> int:
        """Count the rows that a generation of the index key names."""
        return counted(self._database, accesses, accesses.c.generation == generation)

    def walk(self) -> Iterator[StoredAccess]:
        """Return every row, by key and sequence."""
        return pages(self._database, sa.select(accesses), _KEY, lambda row: StoredAccess(**row))

    def move(self, old: StoredAccess, new: About | None) -> bool:
        """Name an entry's patient anew, or no more, if it is still named as given; say whether it was."""
        here = (accesses.c.patient_key == old.patient_key, accesses.c.sequence == old.sequence)

        def step(connection: sa.Connection) -> bool:
            if connection.execute(sa.delete(accesses).where(*here)).rowcount == 0:
                return False
            if new is not None:
                note(connection, new, old.sequence)
            return True

        return self._database.write_by_key(step)
