"""The embedded database: one SQLite file that several processes and threads share."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry

import safefiles
from federation.store.errors import StoreUnavailable
from federation.store.prepared import as_everywhere
from federation.store.transactions import Engines

BUSY_SECONDS = 10
"""How long a transaction waits for another process's before the store is unavailable."""

_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}",
    # FULL: a commit is on the disk when it returns, also after a power cut.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    # What is deleted is overwritten: the wrapped key of a record that was erased, for one.
    "PRAGMA secure_delete = ON",
    # INSERT OR REPLACE then fires the triggers that refuse DELETE.
    "PRAGMA recursive_triggers = ON",
)


def make_engines(url: sa.URL) -> Engines:
    """Make engines whose transactions are SQLite's own: BEGIN, or BEGIN IMMEDIATE where the option `writes` is set.

    A transaction that reads and then writes would otherwise fail at once when another one wrote in between. Where `alone` is
    set there is none.
    """
    engine = sa.create_engine(url, pool_timeout=BUSY_SECONDS, pool_use_lifo=True)
    sa.event.listen(engine, "connect", _configure)
    sa.event.listen(engine, "begin", _begin)
    writer = engine.execution_options(writes=True)
    looking = engine.execution_options(alone=True)
    return Engines(looking=looking, reading=engine, serializable=writer, by_key=writer, write_lock=WriteLock().held)


class WriteLock:
    """Lets one of a process's threads write. SQLite's waiting writers poll, up to 100 ms at a time: here they queue instead."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for a block. Raises StoreUnavailable after BUSY_SECONDS."""
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise StoreUnavailable("too many changes wait for the database")
        try:
            yield
        finally:
            self._lock.release()


@contextmanager
def prepared_file(path: Path) -> Iterator[None]:
    """Make the file, mode 0600 and in WAL mode, and keep out the other processes that open it until the block ends.

    Raises OSError or sqlite3.Error.
    """
    with safefiles.lock(path.with_name(path.name + ".lock")):
        _make_private(path)
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            # The mode stays with the file. The change has no busy handler: two processes at it would fail at random.
            connection.execute("PRAGMA journal_mode = WAL")
        yield


def _make_private(path: Path) -> None:
    """Make the file, mode 0600: SQLite gives its side files the mode of the database file."""
    try:
        safefiles.create(path, b"")
    except FileExistsError:
        # By name: closing a descriptor of the file would drop the locks that this process's other connections hold.
        path.chmod(0o600)


def _configure(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # The driver begins no transaction of its own: _begin does.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if options.get("alone", False):
        return
    writes = options.get("writes", False)
    words = "BEGIN IMMEDIATE" if writes else "BEGIN"
    try:
        connection.connection.driver_connection.execute(words)  # type: ignore[union-attr]
    except sqlite3.Error as error:
        raise as_everywhere(connection, error, words) from error
