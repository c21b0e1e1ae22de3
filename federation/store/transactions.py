"""How a transaction is run, and which failures of one are followed by another attempt.

The database itself says that nothing was committed: a serialization failure (SQLSTATE 40001), a deadlock (40P01), and a unique
violation (23505), which under concurrency stands for the first (PostgreSQL manual, section 13.5). Then the step runs again. So it
does when the connection is lost before COMMIT was sent. When it is lost while COMMIT is under way, nobody knows whether the
change is there: only a step that is `repeatable`, which run twice leaves what it leaves run once, is run again.

What others get in the way of is tried again after a pause with full jitter. A number of tries without a pause fails under
load, for all who collide collide again; a pause of one length collides, too.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

COMMIT = "medunion_commit"
"""The execution option of an engine whose COMMIT is made by a function, which bounds how long it is waited for."""

Commit = Callable[[sa.Connection, sa.Transaction], None]

PATIENCE_SECONDS = 10.0
"""How long what others get in the way of is tried again."""

_FIRST_PAUSE_SECONDS = 0.004
_LONGEST_PAUSE_SECONDS = 0.1

_CONFLICTS = frozenset({"40001", "40P01"})
_UNIQUE_VIOLATION = "23505"
_MOST_ATTEMPTS = 3
"""Of what another attempt is less likely to mend: a lost connection, a unique violation."""

T = TypeVar("T")


class CommitUnknown(Exception):
    """The connection was lost while a change was being committed."""


class CommitOverdue(CommitUnknown):
    """The database does not say whether a change is committed: it waits for a standby, and no timeout of its own ends that."""


@dataclass(frozen=True)
class Engines:
    """The kinds of transaction of one database.

    `looking` runs single statements, each by itself. `reading` sees one snapshot. `serializable` is for a step that looks and
    then writes. `by_key` is for one that rests on single statements about single keys, or on a row that it locks first: it
    needs less, and so gets in nobody's way.
    `write_lock` is what a writing thread holds.
    """

    looking: sa.Engine
    reading: sa.Engine
    serializable: sa.Engine
    by_key: sa.Engine
    write_lock: Callable[[], AbstractContextManager[None]]


def transact(engine: sa.Engine, step: Callable[[sa.Connection], T]) -> T:
    """Run a step and commit. Raises CommitUnknown, DBAPIError, and whatever the step raises."""
    connection = engine.connect()
    transaction = connection.begin()
    try:
        try:
            result = step(connection)
        except BaseException:
            transaction.rollback()
            raise
        _commit(connection, transaction)
    except CommitOverdue:
        raise  # whoever waits for the answer closes it
    except BaseException:
        connection.close()
        raise
    connection.close()
    return result


def look(engine: sa.Engine, step: Callable[[sa.Connection], T]) -> T:
    """Run a step that is one statement. Raises DBAPIError, and whatever the step raises."""
    with engine.connect() as connection:
        return step(connection)


def _commit(connection: sa.Connection, transaction: sa.Transaction) -> None:
    commit: Commit | None = connection.get_execution_options().get(COMMIT)
    if commit is None:
        transaction.commit()
    else:
        commit(connection, transaction)


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
        pause(made)


def _is_worth_another(error: CommitUnknown | DBAPIError, made: int, *, repeatable: bool, in_time: bool) -> bool:
    if isinstance(error, CommitOverdue):
        return False  # another would wait behind this one
    if isinstance(error, CommitUnknown):
        return repeatable and made < _MOST_ATTEMPTS
    if sqlstate_of(error) in _CONFLICTS:
        return in_time
    return made < _MOST_ATTEMPTS and (sqlstate_of(error) == _UNIQUE_VIOLATION or _is_lost(error))


def sqlstate_of(error: DBAPIError) -> str | None:
    """Return the SQLSTATE of an error, if the database gave one."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state


def _is_lost(error: DBAPIError) -> bool:
    """Return whether the connection went, or could not be made. SQLite's errors have no SQLSTATE, and no connection to lose."""
    never_made = isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", "") is None
    return error.connection_invalidated or never_made


def tries(seconds: float = PATIENCE_SECONDS) -> Iterator[int]:
    """Yield the numbers of the tries, from 1, and pause before each but the first. The first comes whatever the time."""
    give_up_at = time.monotonic() + seconds
    number = 1
    while True:
        yield number
        if time.monotonic() >= give_up_at:
            return
        pause(number)
        number += 1


def pause(made: int) -> None:
    """Wait a while that nobody shares, after so many tries: anything up to 4 ms, doubling with each to 100 ms."""
    longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(made - 1, 16))
    time.sleep(random.uniform(0, longest))  # noqa: S311 - who waits how long is no secret
