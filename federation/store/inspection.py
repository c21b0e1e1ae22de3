"""A database as it is: how its schema stands to this code, the rules that keep its logs whole, and numbers for whoever watches.

Nothing here changes it, and nothing gives a row: counts and ages alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from federation.store import postgresql, sqlite
from federation.store.database import Database, is_current, require_address
from federation.store.errors import NotStored, StoredRecordCorrupt, StoreUnavailable
from federation.store.log import LOG, Log
from federation.store.log_heads import LogHeads
from federation.store.prepared import Prepared
from federation.store.rows import RevocationKind, StoredHead
from federation.store.schema import (
    emergencies,
    log,
    log_state,
    log_waiting,
    outbox,
    registrations,
    restriction_deliveries,
    revocations,
    rooms,
)

_APPEND_ONLY = ("log", "log_nodes", "issuances", "issued_points", "issued_nonces", "stopped_issuers")
_SQLITE_RULES = ("log_next_only", *(f"{table}_no_{act}" for table in _APPEND_ONLY for act in ("update", "delete")))
_POSTGRESQL_RULES = tuple(f"{table}_no_{act}" for table in _APPEND_ONLY for act in ("change", "truncate"))

_SQLITE_TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
_POSTGRESQL_TRIGGERS = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')"


class Schema(Enum):
    """How a database stands to this code."""

    EMPTY = auto()
    BEHIND = auto()
    CURRENT = auto()
    AHEAD = auto()
    """A newer release has added to it, and this one works on it all the same."""


def open_as_it_is(url: str, password_file: Path | None) -> Database:
    """Open a database that is there, and migrate nothing. Raises StoreUnavailable, also at the first use."""
    place = require_address(url)
    if place.drivername == "postgresql":
        return Database(postgresql.make_engines(place, password_file, 1))
    if not Path(place.database or "").is_file():
        raise StoreUnavailable(f"there is no database file {place.database}")
    return Database(sqlite.make_engines(place))


def schema_of(database: Database) -> Schema:
    """Compare its migrations with those of this code. Raises StoreUnavailable, also for a newer one that is not for it."""
    if database.read(is_current):
        return Schema.CURRENT
    from federation.store.upgrade import present_and_known, require_compatible  # noqa: PLC0415 - reads Alembic

    present, known = database.read(present_and_known)
    if not present:
        return Schema.EMPTY
    if not present <= known:
        database.read(require_compatible)
        return Schema.AHEAD
    return Schema.BEHIND


def missing_rules(database: Database) -> Sequence[str]:
    """Name the rules against changing a log that are not in force. Raises StoreUnavailable."""
    is_sqlite = database.engine.dialect.name == "sqlite"
    query = sa.text(_SQLITE_TRIGGERS if is_sqlite else _POSTGRESQL_TRIGGERS)
    found = database.read(lambda connection: set(connection.scalars(query)))
    return sorted(set(_SQLITE_RULES if is_sqlite else _POSTGRESQL_RULES) - found)


@dataclass(frozen=True)
class Waiting:
    """Entries of the outbox with so many attempts behind them: how many, and when the first of them is due next."""

    attempts: int
    entries: int
    first_due: int


@dataclass(frozen=True)
class WaitingEntries:
    """Entries of the log that are not in its tree yet, and how long (ms) the oldest waits."""

    number: int
    oldest_ms: int


@dataclass(frozen=True)
class Unreviewed:
    """Emergencies that no officer reviewed, and when the oldest of them was declared."""

    number: int
    oldest_declared_at: int | None


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


COUNTED_AT_ONCE = 65_536
"""Registrations that one statement reads: some hundredths of a second."""


_PAGE = (
    sa.select(registrations.c.identity, registrations.c.role, registrations.c.not_after)
    .where(registrations.c.identity > sa.bindparam("after"))
    .order_by(registrations.c.identity)
    .limit(sa.bindparam("most", type_=sa.Integer))
    .cte("page")
)
_COUNTED = Prepared(
    sa.select(
        _PAGE.c.role,
        sa.func.count().filter(_PAGE.c.not_after >= sa.bindparam("now")),
        sa.func.count(),
        sa.select(sa.func.max(_PAGE.c.identity)).scalar_subquery(),
    ).group_by(_PAGE.c.role)
)
"""Of a page by identity and of each role: how many are live, how many there are, and the page's last identity."""


class Survey:
    """Counts in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def log_entries(self) -> int:
        """Return the size of the log's tree."""
        size = sa.select(log_state.c.size).where(log_state.c.name == LOG)
        return self._database.look(lambda connection: connection.scalar(size)) or 0

    def log_waiting(self, *, now: int) -> WaitingEntries:
        """Count the entries that the tree does not have yet, and say how long the oldest waits."""
        query = sa.select(sa.func.count(), sa.func.min(log_waiting.c.at))
        number, oldest = self._database.look(lambda connection: connection.execute(query).one())
        return WaitingEntries(number, 0 if oldest is None else max(0, now - oldest))

    def log_head(self) -> StoredHead | None:
        """Return the newest signed head of the log: how far it reaches, and when it was signed."""
        return LogHeads(self._database).newest()

    def log_holds(self) -> bool:
        """Return whether the log can be read, has as many entries as its tree, and gives the root of its newest signed head."""
        book = Log(self._database)
        head = LogHeads(self._database).newest()
        newest = sa.select(sa.func.max(log.c.sequence))
        # In this order: what is counted later is never less.
        size = book.size()
        counted = self._database.look(lambda connection: connection.scalar(newest)) or 0
        try:
            return counted >= size and (head is None or book.root(head.size) == head.root)
        except (NotStored, StoredRecordCorrupt):
            return False

    def outbox(self) -> Sequence[Waiting]:
        """Count what waits, by the number of attempts."""
        query = sa.select(outbox.c.attempts, sa.func.count(), sa.func.min(outbox.c.not_before)).group_by(
            outbox.c.attempts
        )
        return self._database.look(lambda connection: [Waiting(*row) for row in connection.execute(query)])

    def unreviewed(self) -> Unreviewed:
        """Count the emergencies that wait for a review."""
        query = sa.select(sa.func.count(), sa.func.min(emergencies.c.declared_at)).where(
            emergencies.c.reviewed_at.is_(None)
        )
        number, oldest = self._database.look(lambda connection: connection.execute(query).one())
        return Unreviewed(number, oldest)

    def rooms_open(self, *, now: int) -> int:
        """Count the rooms that have not expired."""
        query = sa.select(sa.func.count()).select_from(rooms).where(rooms.c.expires_at >= now)
        return self._database.look(lambda connection: connection.scalars(query).one())

    def registrations(self, *, now: int) -> Mapping[str, int]:
        """Count live registrations by role. It reads them all, some at a statement: ask seldom."""
        counted, last = Counter[str](), ""
        while True:
            rows = self._database.look(partial(_COUNTED.rows, after=last, now=now, most=COUNTED_AT_ONCE))
            counted.update({role: live for role, live, _, _ in rows})
            if sum(seen for _, _, seen, _ in rows) < COUNTED_AT_ONCE:
                return +counted
            *_, last = rows[0]

    def restrictions_due(self) -> Mapping[str, int]:
        """Count by hospital the restrictions that it has yet to take."""
        hospital_id = restriction_deliveries.c.hospital_id
        query = sa.select(hospital_id, sa.func.count()).where(restriction_deliveries.c.due.is_not(None))
        query = query.group_by(hospital_id).order_by(hospital_id)
        rows = self._database.look(lambda connection: connection.execute(query).all())
        return {row[0]: row[1] for row in rows}

    def revocations(self, *, now: int) -> Mapping[RevocationKind, Revoked]:
        """Count what is revoked and not over, by kind."""
        kind, expires_at = revocations.c.kind, revocations.c.expires_at
        query = (
            sa.select(kind, sa.func.count(), sa.func.min(expires_at))
            .where(expires_at >= now, revocations.c.ended_at.is_(None))
            .group_by(kind)
        )
        rows = self._database.look(lambda connection: connection.execute(query).all())
        return {row[0]: Revoked(row[1], row[2]) for row in rows}

    def pool(self) -> Pool:
        """Return how much of the connection pool is in use."""
        pool = self._database.engine.pool
        if not isinstance(pool, QueuePool):
            return Pool(0, 0)
        return Pool(pool.checkedout(), pool.size() + max(0, pool._max_overflow))  # noqa: SLF001 - it has no other way to say
