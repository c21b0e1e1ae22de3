"""Stores of a test's own, for tests of the protocol alone: the real ones, on SQLite files that go with the process."""

import atexit
import itertools
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from federation.store import schema
from federation.store.database import Database, open_database
from federation.store.party import Epochs, ReplayMemory, Settings

_numbers = itertools.count(1)


def new_database() -> Database:
    """Give a database that nobody else has, empty."""
    template = _template(os.getpid())
    file = template.with_name(f"{next(_numbers)}.sqlite")
    shutil.copy(template, file)
    return open_database(f"sqlite:///{file}")


def new_settings() -> Settings:
    """Give settings of a database of their own."""
    return Settings(new_database())


def new_epochs() -> Epochs:
    """Give epochs of a database of their own."""
    return Epochs(new_database())


def new_replay_memory() -> ReplayMemory:
    """Give a replay memory of a database of its own."""
    return ReplayMemory(new_database())


def forget_all(memory: ReplayMemory) -> None:
    """Let every message be new again."""
    memory._database.write(lambda connection: connection.execute(sa.delete(schema.replay)))


@cache
def _template(process: int) -> Path:
    """Copying a migrated file takes a part of the time that migrating one does."""
    directory = Path(tempfile.mkdtemp(prefix="stores"))
    atexit.register(_remove, directory, process)
    file = directory / "template.sqlite"
    with open_database(f"sqlite:///{file}") as database, database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


def _remove(directory: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(directory, ignore_errors=True)
