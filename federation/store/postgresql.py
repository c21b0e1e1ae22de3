"""The shared database: PostgreSQL, or what speaks its language (docs/scaling.md), for processes on any number of machines."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from federation.store import transactions
from federation.store.errors import StoreUnavailable
from federation.store.transactions import Engines, sqlstate_of, transact, tries

STATEMENT_SECONDS = 30
"""How long the database works on one statement before it gives up. A walk's page, a count's page take milliseconds."""
COMMIT_SECONDS = 10.0
"""How long a COMMIT is waited for. Without its synchronous standby the database waits for ever, whatever its own timeouts."""
CONNECT_SECONDS = 5
POOL_SECONDS = 10
"""How long a thread waits for one of the process's connections."""

_ALIVE = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
"""How a connection is found to be dead whose machine is gone without a word: within half a minute, and not in hours."""

_OPTIONS = frozenset({"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_AUTHENTICATED_TLS = frozenset({"verify-ca", "verify-full"})

_MIGRATION_MINUTES = 10
MIGRATION_LOCK_SECONDS = 3
"""How long a migration waits for a table that others are reading: whoever comes after it waits behind it for as long."""
_MIGRATION_PATIENCE_SECONDS = 60
# Unique violation, duplicate table, column, object, function; serialization failure, deadlock; "tuple concurrently updated".
_ANOTHER_WAS_FIRST = frozenset({"23505", "42P07", "42701", "42710", "42723", "40001", "40P01", "XX000"})
_TABLE_IN_USE = "55P03"


def make_engines(place: sa.URL, password_file: Path | None, connections: int) -> Engines:
    """Make engines on one pool of at most so many connections. Raises StoreUnavailable for an address that isn't safe to use."""
    require_safe(place)
    from federation.store.commits import commit_within  # noqa: PLC0415 - psycopg is there

    engine = sa.create_engine(
        place.set(drivername="postgresql+psycopg"),
        pool_size=connections,
        pool_use_lifo=True,  # what a connection has prepared is there again
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "medunion", **_ALIVE},
    )
    if password_file is not None:
        sa.event.listen(engine, "do_connect", partial(_give_password, password_file))
    sa.event.listen(engine, "connect", _configure)
    bounded = {transactions.COMMIT: partial(commit_within, COMMIT_SECONDS)}
    return Engines(
        looking=engine.execution_options(isolation_level="AUTOCOMMIT"),
        reading=engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True),
        serializable=engine.execution_options(isolation_level="SERIALIZABLE", **bounded),
        by_key=engine.execution_options(isolation_level="READ COMMITTED", **bounded),
        write_lock=nullcontext,
    )


def migrate(engines: Engines, upgrade: Callable[[sa.Connection], None]) -> None:
    """Bring the schema up to date, whoever else does so at the same moment.

    No lock is taken that a database of many machines may not have: where two make the same table, the database refuses one of
    them, whole, and that one looks again. So it does where a table is in use, and lets those pass that wait behind it. Raises
    DBAPIError, StoreUnavailable.
    """
    for _ in tries(_MIGRATION_PATIENCE_SECONDS):
        try:
            return transact(engines.by_key, partial(_migrate, upgrade))
        except DBAPIError as error:
            if sqlstate_of(error) not in {*_ANOTHER_WAS_FIRST, _TABLE_IN_USE}:
                raise
            refused = error
    raise refused


def _migrate(upgrade: Callable[[sa.Connection], None], connection: sa.Connection) -> None:
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_MIGRATION_MINUTES}min'")
    if sa.inspect(connection).has_table("alembic_version"):
        # Who upgrades holds this row; who waits for it reads the new revision afterwards.
        connection.exec_driver_sql("SELECT version_num FROM alembic_version FOR UPDATE").all()
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{MIGRATION_LOCK_SECONDS}s'")
    upgrade(connection)


def require_safe(place: sa.URL) -> None:
    """Require an address that shows no password and no way round TLS. Raises StoreUnavailable."""
    if find_spec("psycopg") is None:
        raise StoreUnavailable("PostgreSQL needs the package psycopg: install medunion[postgresql]")
    if place.password is not None:
        raise StoreUnavailable("the database URL holds a password, which others may see: name a password_file instead")
    if not place.query.keys() <= _OPTIONS:
        raise StoreUnavailable(f"the database URL may have these options alone: {', '.join(sorted(_OPTIONS))}")
    if not set(_hosts(place)) <= _LOOPBACK and place.query.get("sslmode") not in _AUTHENTICATED_TLS:
        raise StoreUnavailable("the database is on another machine: write sslmode=verify-full into its URL")


def _hosts(place: sa.URL) -> Iterator[str]:
    """Return the machines that are named; a path names a socket on this one."""
    named = (place.host or "", *place.normalized_query.get("host", ()))
    return (host.rsplit(":", 1)[0] for entry in named for host in entry.split(",") if host and not host.startswith("/"))


def _give_password(
    file: Path, _dialect: sa.Dialect, _record: object, _arguments: list[Any], parameters: dict[str, Any]
) -> None:
    """Read the password for each connection: a changed one needs no restart, and none stays in memory with the engine."""
    try:
        parameters["password"] = file.read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreUnavailable(f"the database's password can't be read from {file}") from error


def _configure(connection: Any, _entry: object) -> None:  # noqa: ANN401 - psycopg is there when this is called
    with _autocommit(connection), connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{STATEMENT_SECONDS}s'")


@contextmanager
def _autocommit(connection: Any) -> Iterator[None]:  # noqa: ANN401
    connection.autocommit = True
    try:
        yield
    finally:
        connection.autocommit = False
