"""What of a public cloud's data is over: counted, and removed some at a time, so that nobody waits for it."""

from collections.abc import Mapping

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.portable import counted, forget
from federation.store.schema import answers, registrations, replay, reservations, superseded, tickets


class ExpiredRows:
    """Rows whose time is over. Both logs and the trust bundles have no end; the book of revocations sees to its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, *, now: int, ended_before: int) -> Mapping[str, int]:
        """How many of each kind are over now; registrations and what they superseded, if they ended before then."""
        over = _over(now, ended_before)
        return {name: counted(self._database, table, condition) for name, (table, condition) in over.items()}

    def remove(self, *, now: int, ended_before: int) -> Mapping[str, int]:
        """Remove them, and say how many of each kind it were."""
        over = _over(now, ended_before)
        return {name: self._removed(table, condition) for name, (table, condition) in over.items()}

    def _removed(self, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
        removed = 0
        while gone := self._database.write_by_key(lambda connection: forget(connection, table, condition)):
            removed += gone
        return removed


def _over(now: int, ended_before: int) -> Mapping[str, tuple[sa.Table, sa.ColumnElement[bool]]]:
    return {
        "registrations": (registrations, registrations.c.not_after < min(now, ended_before)),
        "superseded credentials": (superseded, superseded.c.not_after < min(now, ended_before)),
        "registrations cut short": (reservations, reservations.c.until < now),
        "tickets": (tickets, tickets.c.expires_at < now),
        "kept answers": (answers, answers.c.until < now),
        "replay keys": (replay, replay.c.until < now),
    }
