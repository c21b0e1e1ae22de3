"""A COMMIT to PostgreSQL whose answer is waited for so long and no longer.

The database's own timeouts don't end one that waits for a standby, and the driver's wait has no end either: so COMMIT is sent,
and its answer waited for, over libpq itself. One that does not come in time is waited for by a thread, which can't be ended: the
database answers it, or nobody does. It keeps its connection until then. So those that hang are no more than the pool's, and
none is cancelled: a cancelled one would be there, said to be done, and on no standby.
"""

import select
import threading
import time
from contextlib import suppress
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from sqlalchemy.exc import SQLAlchemyError

from federation.store.prepared import as_everywhere
from federation.store.transactions import CommitOverdue, CommitUnknown

_COMMIT = b"COMMIT"


def commit_within(seconds: float, connection: sa.Connection, transaction: sa.Transaction) -> None:
    """Commit, and wait for the answer so long. Raises CommitOverdue, CommitUnknown, and DBAPIError for a commit refused."""
    asked: Any = connection.connection.driver_connection
    try:
        asked.pgconn.send_query(_COMMIT)
        if not _answered(asked.pgconn, seconds):
            threading.Thread(
                target=_outwait, args=(connection, asked.pgconn), name="medunion-commit", daemon=True
            ).start()
            raise CommitOverdue(f"the database has not said in {seconds:g} s whether a change is committed")
        _require_committed(asked.pgconn)
    except psycopg.Error as error:
        told = as_everywhere(connection, error, "COMMIT")
        if told.connection_invalidated:
            raise CommitUnknown("the connection was lost while a change was being committed") from error
        raise told from error
    # There is none any more: the driver asks nothing, and SQLAlchemy learns that it is over.
    transaction.commit()


def _answered(pgconn: Any, seconds: float | None) -> bool:  # noqa: ANN401 - psycopg has one in C and one in Python
    """Wait until the answer is there, and say whether it came in time. Raises psycopg.Error."""
    give_up_at = None if seconds is None else time.monotonic() + seconds
    waiting = select.poll()
    while True:
        unsent = select.POLLOUT if pgconn.flush() else 0
        waiting.register(pgconn.socket, select.POLLIN | unsent)
        left = None if give_up_at is None else max(0.0, give_up_at - time.monotonic()) * 1000
        if not waiting.poll(left):
            return False
        pgconn.consume_input()
        if not pgconn.is_busy():
            return True


def _require_committed(pgconn: Any) -> None:  # noqa: ANN401
    """Take the answer. Raises psycopg.Error unless it says that the change is committed."""
    answers = []
    while (answer := pgconn.get_result()) is not None:
        answers.append(answer)
    for answer in answers:
        if answer.status != ExecStatus.COMMAND_OK:
            raise error_from_result(answer)
    if [answer.command_status for answer in answers] != [_COMMIT]:
        # What an error that was passed over in silence leaves: the database undoes, and calls that ROLLBACK.
        raise psycopg.InternalError("the database has undone what it was to commit")


def _outwait(connection: sa.Connection, pgconn: Any) -> None:  # noqa: ANN401
    with suppress(psycopg.Error, OSError):
        _answered(pgconn, None)
        _require_committed(pgconn)
    with suppress(SQLAlchemyError):
        connection.close()
