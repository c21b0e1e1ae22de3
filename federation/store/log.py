"""The append-only log, in SQL: a chain of digests whose head is its last entry.

The chain shows any change to entries below a head that somebody else knows (a signed log head); without one, whoever
writes the file at will can also write the chain anew.
"""

import hashlib
from collections.abc import Iterator

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import StoredRecordCorrupt
from federation.store.portable import insert_if_absent, pages
from federation.store.rows import LogEntry
from federation.store.schema import log

START = bytes(32)
"""The digest before the first entry."""


def chained(previous: bytes, at: int, sealed: bytes) -> bytes:
    """The digest of an entry: SHA-256(digest of the previous entry || u64be(at) || sealed)."""
    return hashlib.sha256(previous + at.to_bytes(8, "big") + sealed).digest()


def append(connection: sa.Connection, *, at: int, sealed: bytes) -> LogEntry:
    """Add an entry within a transaction: what it tells of is then there if, and only if, the entry is."""
    newest = sa.select(log.c.sequence, log.c.digest).order_by(log.c.sequence.desc()).limit(1)
    while True:
        last = connection.execute(newest).first()
        sequence, previous = (0, START) if last is None else last
        entry = LogEntry(sequence + 1, at, sealed, chained(previous, at, sealed))
        # Another's entry under this number: once it is committed, each statement sees it, and the next number is tried.
        if insert_if_absent(connection, log, **vars(entry)):
            return entry


class Log:
    """`Log`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, *, at: int, sealed: bytes) -> LogEntry:
        """Add an entry behind the last one: the chain has no forks, for a number is taken once, with what it is chained to."""
        return self._database.write_by_key(lambda connection: append(connection, at=at, sealed=sealed))

    def entries(self, *, after: int = 0) -> Iterator[LogEntry]:
        """The entries whose sequence is above `after`, in order; the first one's sequence is 1."""
        query = sa.select(log).where(log.c.sequence > after)
        return pages(self._database, query, (log.c.sequence,), lambda row: LogEntry(**row))

    def verify(self) -> int:
        """Check the chain of digests and return the number of entries. Raises StoredRecordCorrupt."""
        number, digest = 0, START
        for number, entry in enumerate(self.entries(), start=1):
            digest = chained(digest, entry.at, entry.sealed)
            if (entry.sequence, entry.digest) != (number, digest):
                raise StoredRecordCorrupt(f"the log is not what was written: entry {number}")
        return number
