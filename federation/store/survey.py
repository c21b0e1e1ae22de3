"""Numbers about a store for whoever watches it: counts and ages, never a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from federation.store.database import Database
from federation.store.party import START, chained
from federation.store.rows import RevocationKind
from federation.store.schema import log, outbox, registrations, revocations, rooms


@dataclass(frozen=True)
class Waiting:
    """Entries of the outbox with so many attempts behind them: how many, and when the first of them is due next."""

    attempts: int
    entries: int
    first_due: int


@dataclass(frozen=True)
class Revoked:
    """Entries of one kind in the book of revocations, and when the first of them leaves it by itself."""

    entries: int
    first_leaves_at: int


@dataclass(frozen=True)
class Pool:
    """Connections on loan, and how many there may be."""

    in_use: int
    limit: int


class Survey:
    """Counts in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def log_entries(self) -> int:
        """The number of the log's newest entry."""
        newest: int | None = self._database.read(
            lambda connection: connection.scalar(sa.select(sa.func.max(log.c.sequence)))
        )
        return newest or 0

    def log_holds(self) -> bool:
        """Whether the log can be read, and its newest entry follows the one before it."""
        newest = sa.select(log).order_by(log.c.sequence.desc()).limit(2)
        rows = self._database.read(lambda connection: connection.execute(newest).all())
        if not rows:
            return True
        previous = rows[1].digest if len(rows) == 2 else START
        last = rows[0]
        return bool(chained(previous, last.at, last.sealed) == last.digest)

    def outbox(self) -> Sequence[Waiting]:
        """What waits, by the number of attempts."""
        query = sa.select(outbox.c.attempts, sa.func.count(), sa.func.min(outbox.c.not_before)).group_by(
            outbox.c.attempts
        )
        return self._database.read(lambda connection: [Waiting(*row) for row in connection.execute(query)])

    def rooms_open(self, *, now: int) -> int:
        """Rooms that have not expired."""
        query = sa.select(sa.func.count()).select_from(rooms).where(rooms.c.expires_at >= now)
        return self._database.read(lambda connection: connection.scalars(query).one())

    def registrations(self, *, now: int) -> Mapping[str, int]:
        """Live registrations by role. It reads them all: ask seldom."""
        query = sa.select(registrations.c.role, sa.func.count()).where(registrations.c.not_after >= now)
        query = query.group_by(registrations.c.role)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return {role: count for role, count in rows}  # noqa: C416 - mypy: a row is no pair

    def revocations(self, *, now: int) -> Mapping[RevocationKind, Revoked]:
        """What is revoked and not over, by kind."""
        kind, expires_at = revocations.c.kind, revocations.c.expires_at
        query = sa.select(kind, sa.func.count(), sa.func.min(expires_at)).where(expires_at >= now).group_by(kind)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return {row[0]: Revoked(row[1], row[2]) for row in rows}

    def pool(self) -> Pool:
        """How much of the connection pool is in use."""
        pool = self._database.engine.pool
        if not isinstance(pool, QueuePool):
            return Pool(0, 0)
        return Pool(pool.checkedout(), pool.size() + max(0, pool._max_overflow))  # noqa: SLF001 - it has no other way to say
