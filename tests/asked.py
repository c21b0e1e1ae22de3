"""What a served node asks its database for each call: every statement, as SQLite itself saw it."""

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import sqlalchemy as sa

from federation.store.database import Database
from federation.wire.workers import Workers

_WORDS = re.compile(
    r"(INSERT|UPDATE|DELETE|SELECT|BEGIN|COMMIT|ROLLBACK)(?:.*?\b(?:INTO|FROM|UPDATE)\s+(\w+))?", re.DOTALL
)


REPLAY_KEY = ["adds replay"]
ENTRY = ["adds log_waiting"]


def committed(*statements: str) -> list[str]:
    """Return what a transaction of these asks."""
    return ["begin", *statements, "commit"]


class Asked:
    """Statements by the function that a service had done in a worker thread: `reads registrations`, `commit`."""

    def __init__(self, told: Callable[[str], str]) -> None:
        self._told = told
        self._here = threading.local()
        self.by_step: dict[str, list[list[str]]] = defaultdict(list)

    def note(self, statement: str) -> None:
        """Take a statement of whatever thread asks."""
        noted: list[str] | None = getattr(self._here, "noted", None)
        if noted is not None and statement != self._here.last:  # SQLite tells of one that a trigger looks at twice
            noted.append(self._told(statement))
            self._here.last = statement

    def during(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a step, and keep what it asks under its name."""
        self._here.noted, self._here.last = [], ""
        try:
            return step(*args, **kwargs)
        finally:
            self.by_step[_name(step)].append(self._here.noted)
            self._here.noted = None

    def last(self, step: str) -> list[str]:
        """Return what the last of these steps asked; replay keys that are over go with the first of some."""
        return [it for it in self.by_step[step][-1] if it != "removes replay"]


@contextmanager
def asked_of(database: Database, told: Callable[[str], str] | None = None) -> Iterator[Asked]:
    """Watch what the workers of this process ask of a database until the block ends, each statement in a few words."""
    asked, run, regardless = Asked(told or _told), Workers.run, Workers.run_regardless
    sa.event.listen(database.engine, "connect", _traced := partial(_trace, asked))
    database.engine.dispose()
    try:
        Workers.run = lambda self, step, *args, **kwargs: run(self, asked.during, step, *args, **kwargs)  # type: ignore[method-assign]
        Workers.run_regardless = lambda self, step, *args, **kwargs: regardless(  # type: ignore[method-assign]
            self, asked.during, step, *args, **kwargs
        )
        yield asked
    finally:
        Workers.run, Workers.run_regardless = run, regardless  # type: ignore[method-assign]
        sa.event.remove(database.engine, "connect", _traced)
        database.engine.dispose()


def _trace(asked: Asked, connection: Any, _entry: object) -> None:
    connection.set_trace_callback(asked.note)


def _name(step: Callable[..., Any]) -> str:
    return str(getattr(step, "__name__", getattr(getattr(step, "func", step), "__name__", step)))


_VALUES = re.compile(r"x?'[^']*'|\b\d+\b", re.IGNORECASE)


def without_values(statement: str) -> str:
    """Return all of a statement but its values."""
    return _VALUES.sub("?", statement)


_VERBS = {"INSERT": "adds", "UPDATE": "changes", "DELETE": "removes", "SELECT": "reads"}


def _told(statement: str) -> str:
    if statement.startswith("UPDATE"):
        return f"changes {statement.split()[1]}"
    found = _WORDS.match(statement)
    if found is None:
        return statement
    verb, table = found.groups()
    return f"{_VERBS[verb]} {table}" if verb in _VERBS else verb.lower()
