"""The emergencies in which a hospital gave records, until an officer reviews them and after."""

from collections.abc import Iterator

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.log import acting
from federation.store.portable import pages, replaced
from federation.store.rows import Act, StoredEmergency
from federation.store.schema import emergencies


class Emergencies:
    """The emergencies. The log's first entry of one adds it (`federation.store.log.append`), and it is reviewed once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, emergency_digest: bytes) -> StoredEmergency | None:
        """Return an emergency."""
        query = sa.select(emergencies).where(emergencies.c.emergency_digest == emergency_digest)
        row = self._database.look(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else StoredEmergency(**row)

    def all(self) -> Iterator[StoredEmergency]:
        """Return every emergency, by its digest."""
        order = (emergencies.c.emergency_digest,)
        return pages(self._database, sa.select(emergencies), order, lambda row: StoredEmergency(**row))

    def review(self, emergency_digest: bytes, sealed_review: bytes, *, at: int, act: Act) -> bool:
        """Keep what an officer decided; False, and nothing changes, if that was done before or there is none."""
        here = (emergencies.c.emergency_digest == emergency_digest, emergencies.c.reviewed_at.is_(None))
        reviewed = sa.update(emergencies).where(*here).values(reviewed_at=at, sealed_review=sealed_review)

        def step(connection: sa.Connection) -> bool:
            if connection.execute(reviewed).rowcount == 0:
                return False
            with acting(connection, act):
                return True

        return self._database.write_by_key(step)

    def reseal(self, old: StoredEmergency, sealed: bytes, sealed_review: bytes | None) -> bool:
        """Replace what is sealed of an emergency if it is still the old, and say whether it was."""
        c = emergencies.c
        here = (
            c.emergency_digest == old.emergency_digest,
            c.sealed == old.sealed,
            c.sealed_review.is_(None) if old.sealed_review is None else c.sealed_review == old.sealed_review,
        )
        anew = sa.update(emergencies).where(*here).values(sealed=sealed, sealed_review=sealed_review)
        return replaced(self._database, anew)
