"""A node's store as a backup: the database as one file, and the blobs of its records with their list.

The database is taken while servers write to it, as it stands at one moment, and put where nothing is. SQLite copies itself
(VACUUM INTO). PostgreSQL's own pg_dump and pg_restore do the rest; they have to be installed. No copy holds the seeds of epochs:
an epoch's key is destroyed when it ends, and would live on in a backup (docs/adr/0023-durability.md). Blobs are copied from
shelf to shelf, or only read, and listed as sha256sum does: digest, name.
"""

import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

import safefiles
from federation.store import postgresql, sqlite
from federation.store.database import Database, require_address, translated
from federation.store.errors import BackupRejected, NotStored, StoreUnavailable
from federation.store.log import Log, root_and_size
from federation.store.schema import epochs
from federation.store.shelves import Shelf

CHUNK_BYTES = 1024 * 1024
_DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian keeps programs that it does not put into the PATH."""
_LISTED = re.compile(r"([0-9a-f]{64})  ([0-9a-f]{32})\n")

Progress = Callable[[int], None]
"""Is told of bytes as they are read."""


@dataclass(frozen=True)
class Taken:
    """What a copy holds: the schema's revision, and where the log stands: its tree's size, and root."""

    schema: str
    log_entries: int
    log_head: bytes


def kind_of(database: Database) -> str:
    """Say which kind of database it is: sqlite or postgresql."""
    return database.engine.url.get_backend_name()


def take(database: Database, password_file: Path | None, target: Path) -> Taken:
    """Write a copy to a new file, mode 0600, durable. Raises StoreUnavailable, FileExistsError."""
    safefiles.create(target, b"")
    Log(database).sequence()
    with translated():
        if kind_of(database) == "sqlite":
            taken = _copy_sqlite(str(database.engine.url.database), target)
        else:
            taken = _dump(database, password_file, target)
        with target.open("rb") as file:
            safefiles.sync(file)
    return taken


def put(source: Path, url: str, password_file: Path | None) -> None:
    """Put a copy into an empty database. Raises BackupRejected if something is there, StoreUnavailable."""
    place = require_address(url)
    require_empty(url, password_file)
    with translated():
        if place.get_backend_name() == "sqlite":
            _put_sqlite(source, Path(str(place.database)))
        else:
            options = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges")
            _run("pg_restore", (*options, f"--dbname={_libpq(place)}", str(source)), password_file)


def require_empty(url: str, password_file: Path | None) -> None:
    """Require that a database has no tables, or that its file isn't there. Raises BackupRejected, StoreUnavailable."""
    place = require_address(url)
    if place.get_backend_name() == "sqlite":
        if Path(str(place.database)).exists():
            raise BackupRejected(f"{place.database} is there already: a backup is restored where nothing is")
        return
    engine = postgresql.make_engines(place, password_file, 1).by_key
    try:
        with translated(), engine.connect() as connection:
            if sa.inspect(connection).get_table_names():
                raise BackupRejected("the database has tables already: make an empty one and name that")
    finally:
        engine.dispose()


def _copy_sqlite(source: str, target: Path) -> Taken:
    with closing(sqlite3.connect(source, timeout=sqlite.BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(target)))
    try:
        with engine.begin() as copy:
            # What is deleted is overwritten, and passes through no file beside.
            copy.exec_driver_sql("PRAGMA journal_mode = MEMORY")
            copy.exec_driver_sql("PRAGMA secure_delete = ON")
            copy.execute(sa.delete(epochs))
            return _taken(copy)
    finally:
        engine.dispose()


def _dump(database: Database, password_file: Path | None, target: Path) -> Taken:
    with database.engine.connect() as connection:
        # The snapshot lives as long as this transaction, which only waits meanwhile.
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        snapshot = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
        taken = _taken(connection)
        options = ("--format=custom", "--no-owner", "--no-privileges", f"--exclude-table-data={epochs.name}")
        place = f"--dbname={_libpq(database.engine.url)}"
        _run("pg_dump", (*options, f"--snapshot={snapshot}", f"--file={target}", place), password_file)
    return taken


def _taken(connection: sa.Connection) -> Taken:
    schema = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
    size, root = root_and_size(connection)
    return Taken(schema, size, root)


def _put_sqlite(source: Path, final: Path) -> None:
    partial = final.with_name(f".{final.name}.restoring")
    partial.unlink(missing_ok=True)
    with safefiles.open_new(partial) as file, source.open("rb") as copy:
        shutil.copyfileobj(copy, file, CHUNK_BYTES)
        safefiles.publish(file, partial, final)


def _run(program: str, words: Sequence[str], password_file: Path | None) -> None:
    """Run one of PostgreSQL's programs. The password goes by its environment, which its owner alone may read."""
    environment = dict(os.environ)
    if password_file is not None:
        environment["PGPASSWORD"] = password_file.read_text(encoding="utf-8").rstrip("\n")
    words = (_found(program), *words)
    done = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise StoreUnavailable(f"{program} failed: {said[0] if said else f'exit code {done.returncode}'}")


def _found(program: str) -> str:
    newest = sorted(_DEBIAN.glob(f"*/bin/{program}"), key=lambda path: float(path.parts[4]))
    found = str(newest[-1]) if newest else shutil.which(program)
    if found is None:
        raise StoreUnavailable(f"{program} is not installed: it comes with PostgreSQL's client programs")
    return found


def _libpq(place: sa.URL) -> str:
    return place.set(drivername="postgresql").render_as_string(hide_password=False)


def take_blobs(source: Shelf, target: Shelf | None, progress: Progress) -> Iterator[tuple[str, str]]:
    """Copy every blob of a shelf, or only read it, and give name and SHA-256; one that is erased meanwhile is left out.

    Raises StoreUnavailable.
    """
    for name in sorted(source.names()):
        with suppress(NotStored):
            yield name, _copy(source, target, name, None, progress)


def put_blobs(listed: Path, source: Shelf, target: Shelf | None, progress: Progress) -> int:
    """Copy what a list names, or only read it where it is; give how many. Raises BackupRejected for what isn't as listed."""
    count = 0
    for count, (name, digest) in enumerate(read_blob_list(listed), start=1):  # noqa: B007 - the last count is the answer
        try:
            _copy(source, target, name, digest, progress)
        except NotStored as error:
            raise BackupRejected(f"the blob {name} is missing") from error
    return count


def write_blob_list(path: Path, blobs: Iterable[tuple[str, str]]) -> set[str]:
    """Write a list; give the names."""
    names = set()
    with safefiles.creating(path) as file:
        for name, digest in blobs:
            file.write(f"{digest}  {name}\n".encode("ascii"))
            names.add(name)
    return names


def read_blob_list(path: Path) -> Iterator[tuple[str, str]]:
    """Yield name and SHA-256 of each blob of a list. Raises BackupRejected."""
    with path.open(encoding="ascii") as file:
        for line in file:
            match = _LISTED.fullmatch(line)
            if match is None:
                raise BackupRejected("the list of blobs is not what was written")
            yield match[2], match[1]


def _copy(source: Shelf, target: Shelf | None, name: str, expected: str | None, progress: Progress) -> str:
    """Copy a blob, and put it in place only if it is what is expected; give its SHA-256. Raises NotStored, BackupRejected."""
    digest = hashlib.sha256()
    with source.open(name) as file:
        sink = None if target is None else target.create(name)
        try:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                if sink is not None:
                    sink.write(chunk)
                progress(len(chunk))
            if expected not in {None, digest.hexdigest()}:
                raise BackupRejected(f"the blob {name} is not what was kept")
            if sink is not None:
                sink.publish()
        finally:
            if sink is not None:
                sink.abandon()
    return digest.hexdigest()
