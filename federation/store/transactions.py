"""How a transaction is run, and which failures of one are followed by another attempt.

The database itself says that nothing was committed: a serialization failure (SQLSTATE 40001), a deadlock (40P01), and a unique
violation (23505), which under concurrency stands for the first (PostgreSQL manual, section 13.5). Then the step runs again. So it
does when the connection is lost before COMMIT was sent. When it is lost while COMMIT is under way, nobody knows whether the
change is there: only a step that is `repeatable`, which run twice leaves what it leaves run once, is run again.
"""

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

PATIENCE_SECONDS = 10
"""How long a transaction that others get in the way of is tried again."""

_CONFLICTS = frozenset({"40001", "40P01"})
_UNIQUE_VIOLATION = "23505"
_MOST_ATTEMPTS = 3
"""Of what another attempt is less likely to mend: a lost connection, a unique violation."""
_LONGEST_PAUSE_SECONDS = 0.1

T = TypeVar("T")


class CommitUnknown(Exception):
    """The connection was lost while a change was being committed."""


@dataclass(frozen=True)
class Engines:
    """The kinds of transaction of one database.

    `reading` sees one snapshot. `serializable` is for a step that looks and then writes. `by_key` is for one that rests on
    single statements about single keys, or on a row that it locks first: it needs less, and so gets in nobody's way.
    `turn` is what a writing thread holds.
    """

    reading: sa.Engine
    serializable: sa.Engine
    by_key: sa.Engine
    turn: Callable[[], AbstractContextManager[None]]


def transact(engine: sa.Engine, step: Callable[[sa.Connection], T]) -> T:
    """Run a step and commit. Raises CommitUnknown, DBAPIError, and whatever the step raises."""
    with engine.connect() as connection:
        transaction = connection.begin()
        try:
            result = step(connection)
        except BaseException:
            transaction.rollback()
            raise
        try:
            transaction.commit()
        except DBAPIError as error:
            if error.connection_invalidated:
                raise CommitUnknown("the connection was lost while a change was being committed") from error
            raise
        return result


def persistent(attempt: Callable[[], T], *, repeatable: bool) -> T:
    """Make attempts until one succeeds or fails for good. Raises what the last one raised."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    made = 0
    while True:
        try:
            return attempt()
        except (CommitUnknown, DBAPIError) as error:
            made += 1
            if not _is_worth_another(error, made, repeatable=repeatable, in_time=time.monotonic() < give_up_at):
                raise
        time.sleep(random.uniform(0, min(_LONGEST_PAUSE_SECONDS, 0.002 * 2**made)))  # noqa: S311 - who waits how long is no secret


def _is_worth_another(error: CommitUnknown | DBAPIError, made: int, *, repeatable: bool, in_time: bool) -> bool:
    if isinstance(error, CommitUnknown):
        return repeatable and made < _MOST_ATTEMPTS
    if sqlstate_of(error) in _CONFLICTS:
        return in_time
    return made < _MOST_ATTEMPTS and (sqlstate_of(error) == _UNIQUE_VIOLATION or _is_lost(error))


def sqlstate_of(error: DBAPIError) -> str | None:
    """The SQLSTATE of an error, if the database gave one."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state


def _is_lost(error: DBAPIError) -> bool:
    """Whether the connection went, or could not be made. SQLite's errors have no SQLSTATE, and no connection to lose."""
    never_made = isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", "") is None
    return error.connection_invalidated or never_made
