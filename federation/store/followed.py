"""When each log that a server follows last showed a newer head, of all of its processes.

A log grows within a time that is known, for its node writes where nothing else does. One that shows no newer head for longer is
silent, or somebody holds it still: nobody would see what is left out of it meanwhile.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.portable import upsert
from federation.store.schema import followed_logs


@dataclass(frozen=True)
class FollowedLog:
    """How far a log has come, and when that was first seen; of one that has shown no head, since when it is followed."""

    node_id: str
    origin: str
    size: int
    at: int


class FollowedLogs:
    """The logs that are followed, one a node."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> Sequence[FollowedLog]:
        """Return every one, the longest silent first."""
        query = sa.select(followed_logs).order_by(followed_logs.c.at, followed_logs.c.node_id)
        rows = self._database.look(lambda connection: connection.execute(query).mappings().all())
        return [FollowedLog(**row) for row in rows]

    def silent_since(self) -> int | None:
        """Return since when the longest silent has shown no newer head; None where none is followed."""
        first: int | None = self._database.look(lambda connection: connection.scalar(_FIRST))
        return first

    def note(self, grown: Iterable[FollowedLog], followed: Iterable[str]) -> None:
        """Keep how far these have come, and forget those that are followed no more."""
        known = {it.node_id for it in self.all()}
        rows, gone = [asdict(it) for it in grown], sorted(known - set(followed))
        if not rows and not gone:
            return

        def step(connection: sa.Connection) -> None:
            for row in rows:
                upsert(connection, followed_logs, **row)
            if gone:
                named = [{"gone": node_id} for node_id in gone]
                connection.execute(
                    sa.delete(followed_logs).where(followed_logs.c.node_id == sa.bindparam("gone")), named
                )

        self._database.write_by_key(step, repeatable=True)


_FIRST = sa.select(sa.func.min(followed_logs.c.at))
