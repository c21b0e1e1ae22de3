"""The guardianships that a hospital stated, sealed."""

from collections.abc import Iterator

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import AlreadyStored
from federation.store.log import acting
from federation.store.portable import forget, insert_if_absent, pages, replaced
from federation.store.rows import Act, StoredGuardianship
from federation.store.schema import guardianships


class Guardianships:
    """The guardianships. One is added, stated anew, and ended; what was ended by hand stays so."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, guardianship: StoredGuardianship, *, act: Act | None = None) -> None:
        """Keep a guardianship. Raises AlreadyStored for an id that is there."""

        def step(connection: sa.Connection) -> None:
            with acting(connection, act):
                if not insert_if_absent(connection, guardianships, **vars(guardianship)):
                    raise AlreadyStored("a guardianship of this id is kept already")

        self._database.write_by_key(step)

    def get(self, guardianship_id: bytes) -> StoredGuardianship | None:
        """Return a guardianship."""
        query = sa.select(guardianships).where(guardianships.c.guardianship_id == guardianship_id)
        row = self._database.look(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else StoredGuardianship(**row)

    def all(self) -> Iterator[StoredGuardianship]:
        """Return every guardianship, by its id."""
        order = (guardianships.c.guardianship_id,)
        return pages(self._database, sa.select(guardianships), order, lambda row: StoredGuardianship(**row))

    def reseal(self, guardianship_id: bytes, old: bytes, new: bytes) -> bool:
        """Replace what is sealed of a guardianship if it is still the old, and say whether it was."""
        here = (guardianships.c.guardianship_id == guardianship_id, guardianships.c.sealed == old)
        return replaced(self._database, sa.update(guardianships).where(*here).values(sealed=new))

    def end(self, guardianship_id: bytes, *, at: int, act: Act | None = None) -> bool:
        """End a guardianship by hand; False, and nothing changes, if that was done before or there is none."""
        here = (guardianships.c.guardianship_id == guardianship_id, guardianships.c.ended_at.is_(None))
        ended = sa.update(guardianships).where(*here).values(ended_at=at)

        def step(connection: sa.Connection) -> bool:
            if connection.execute(ended).rowcount == 0:
                return False
            with acting(connection, act):
                return True

        return self._database.write_by_key(step)

    def told(self, guardianship_id: bytes, *, at: int) -> bool:
        """Note that the public cloud took up the end of a guardianship; say whether that is news."""
        here = (
            guardianships.c.guardianship_id == guardianship_id,
            guardianships.c.ended_at.is_not(None),
            guardianships.c.told_at.is_(None),
        )
        return replaced(self._database, sa.update(guardianships).where(*here).values(told_at=at))

    def forget(self, *, over_before: int) -> int:
        """Remove guardianships that were over before then, some at a time; say how many."""
        over = guardianships.c.not_after < over_before
        return self._database.write_by_key(lambda connection: forget(connection, guardianships, over))
