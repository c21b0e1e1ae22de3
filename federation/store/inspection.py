"""A database as it is: opened without a change, how its schema stands to this code, and the rules that keep its logs whole."""

from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path

import sqlalchemy as sa

from federation.store import postgresql, sqlite
from federation.store.database import Database, require_address
from federation.store.errors import StoreUnavailable
from federation.store.revision import is_current

_APPEND_ONLY = ("log", "issuances", "issued_points")
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
