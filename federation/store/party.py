"""What every party keeps: the append-only log, replay keys, settings, epochs, evidence.

The log is a chain of digests whose head is its last entry. The chain shows any change to entries below a head that somebody
else knows (a signed log head); without one, whoever writes the file at will can also write the chain anew.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from federation.store.accesses import note
from federation.store.budgets import spend
from federation.store.database import Database
from federation.store.errors import AlreadyAdmitted, AlreadyStored, NotStored, StoredRecordCorrupt
from federation.store.portable import forget, insert_if_absent, pages, replaced, upsert
from federation.store.rows import (
    Act,
    Admission,
    DeclaredHere,
    LogEntry,
    SealedEntry,
    StoredEpoch,
    StoredEvidence,
    StoredStatement,
)
from federation.store.schema import emergencies, epochs, evidence, log, replay, settings

START = bytes(32)
"""The digest before the first entry."""


def chained(previous: bytes, at: int, sealed: bytes) -> bytes:
    """Return the digest of an entry: SHA-256(digest of the previous entry || u64be(at) || sealed)."""
    return hashlib.sha256(previous + at.to_bytes(8, "big") + sealed).digest()


def append(connection: sa.Connection, made: SealedEntry) -> LogEntry:
    """Add an entry within a transaction: what it tells of is then there if, and only if, the entry is."""
    spend(connection, made.beside.claims)
    entry = _chained_entry(connection, made.at, made.sealed)
    if made.about is not None:
        note(connection, made.about, entry.sequence)
    if made.beside.emergency is not None:
        _queue(connection, made.beside.emergency, entry.sequence)
    return entry


def _queue(connection: sa.Connection, declared: DeclaredHere, sequence: int) -> None:
    """Put an emergency up for review with its first entry of the log; every other is counted with it."""
    if not insert_if_absent(connection, emergencies, **vars(declared), logged=sequence, accesses=1):
        here = emergencies.c.emergency_digest == declared.emergency_digest
        connection.execute(sa.update(emergencies).where(here).values(accesses=emergencies.c.accesses + 1))


def _chained_entry(connection: sa.Connection, at: int, sealed: bytes) -> LogEntry:
    newest = sa.select(log.c.sequence, log.c.digest).order_by(log.c.sequence.desc()).limit(1)
    while True:
        last = connection.execute(newest).first()
        sequence, previous = (0, START) if last is None else last
        entry = LogEntry(sequence + 1, at, sealed, chained(previous, at, sealed))
        # Another's entry under this number: once it is committed, each statement sees it, and the next number is tried.
        if insert_if_absent(connection, log, **vars(entry)):
            return entry


class Log:
    """The append-only log, written before anything is released. The database itself refuses UPDATE and DELETE on it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, made: SealedEntry) -> LogEntry:
        """Add an entry behind the last one: the chain has no forks, for a number is taken once, with what it is chained to.

        Raises BudgetSpent; then nothing is written.
        """
        return self._database.write_by_key(lambda connection: append(connection, made))

    def entry(self, sequence: int) -> LogEntry:
        """Return an entry by its number. Raises NotStored."""
        query = sa.select(log).where(log.c.sequence == sequence)
        row = self._database.read(lambda connection: connection.execute(query).mappings().first())
        if row is None:
            raise NotStored(f"the log has no entry {sequence}")
        return LogEntry(**row)

    def entries(self, *, after: int = 0) -> Iterator[LogEntry]:
        """Return the entries whose sequence is above `after`, in order; the first one's sequence is 1."""
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


@contextmanager
def acting(connection: sa.Connection, act: Act | None) -> Iterator[None]:
    """Take a message first and log last, around the change; without an act there is the change alone.

    The entry comes last so that whoever appends next waits for a commit and no more. Raises AlreadyAdmitted.
    """
    if act is not None and act.admission is not None and not admitted(connection, act.admission):
        raise AlreadyAdmitted("this message was taken before")
    yield
    if act is not None:
        append(connection, act.entry)


def admitted(connection: sa.Connection, admission: Admission) -> bool:
    """Insert a message's replay key if absent and say whether it was; forget keys whose time is over."""
    forget(connection, replay, replay.c.until < admission.now)
    return insert_if_absent(connection, replay, key=admission.key, until=admission.until)


class ReplayMemory:
    """Replay keys of admitted messages (B2): shared by all processes, durable, failing closed.

    A key is a row, and its primary key decides who was first.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def admit(self, key: bytes, *, now: int, until: int) -> bool:
        """Insert the key if absent and say whether it was; forget keys whose time is over."""

        admission = Admission(key, now, until)
        return self._database.write_by_key(lambda connection: admitted(connection, admission))

    def holds(self, key: bytes, *, now: int) -> bool:
        """Return whether the key is kept, and not over. Another may come right after: `admit` alone decides."""
        query = sa.select(replay.c.key).where(replay.c.key == key, replay.c.until >= now)
        return self._database.read(lambda connection: connection.scalar(query)) is not None


# Asked at every step of a protocol: each is composed once.
_VALUE = sa.select(settings.c.value).where(settings.c.name == sa.bindparam("name"))
_NEWER = sa.select(settings.c.sequence, settings.c.value).where(
    settings.c.name == sa.bindparam("name"), settings.c.sequence > sa.bindparam("than")
)


class Settings:
    """Small named values of a party: its own key statement, the newest revocation list it has seen."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> bytes | None:
        """Return the value under a name."""
        return self._database.read(lambda connection: connection.scalar(_VALUE, {"name": name}))

    def newer(self, name: str, than: int) -> tuple[int, bytes] | None:
        """Return the sequence and the value under a name if that sequence is above the one at hand.

        That nothing is newer costs one look at the sequence, however long the value is.
        """
        named = {"name": name, "than": than}
        row = self._database.read(lambda connection: connection.execute(_NEWER, named).first())
        return None if row is None else (row.sequence, row.value)

    def put(self, name: str, value: bytes) -> None:
        """Keep a value. A sequence that `advance` has reached under this name stays: nothing puts it back."""
        self._database.write_by_key(
            lambda connection: upsert(connection, settings, name=name, value=value), repeatable=True
        )

    def advance(self, name: str, sequence: int, value: bytes) -> bool:
        """Put the value unless one of an equal or higher sequence is there; say whether it was put."""

        def is_older(new: Any) -> sa.ColumnElement[bool]:  # noqa: ANN401 - the columns of the row that comes
            return sa.or_(settings.c.sequence.is_(None), settings.c.sequence < new.sequence)

        return self._database.write_by_key(
            lambda connection: upsert(connection, settings, is_older, name=name, value=value, sequence=sequence)
        )


class Epochs:
    """A party's own encryption keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, epoch: StoredEpoch) -> None:
        """Keep an epoch's key. Raises AlreadyStored for a key id that is there: a key is never replaced."""
        values = asdict(epoch) | {"statement": epoch.statement.statement, "signature": epoch.statement.signature}

        def step(connection: sa.Connection) -> None:
            if not insert_if_absent(connection, epochs, **values):
                raise AlreadyStored("an epoch key of this id is kept already")

        self._database.write_by_key(step)

    def all(self) -> Sequence[StoredEpoch]:
        """Return all epochs, the one that ends last first."""
        query = sa.select(epochs).order_by(epochs.c.not_after.desc(), epochs.c.key_id)
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [_epoch(dict(row)) for row in rows]

    def reseal(self, key_id: bytes, old: bytes, new: bytes) -> bool:
        """Replace the sealed seed if it is still the old one, and say whether it was."""
        here = (epochs.c.key_id == key_id, epochs.c.sealed_seed == old)
        return replaced(self._database, sa.update(epochs).where(*here).values(sealed_seed=new))

    def drop(self, key_id: bytes) -> None:
        """Forget an epoch; none there is no error."""
        statement = sa.delete(epochs).where(epochs.c.key_id == key_id)
        self._database.write_by_key(lambda connection: connection.execute(statement), repeatable=True)


def _epoch(row: dict[str, Any]) -> StoredEpoch:
    statement = StoredStatement(row.pop("statement"), row.pop("signature"))
    return StoredEpoch(**row, statement=statement)


class Evidence:
    """What a holder keeps to show a judge: the exact signed fields, sealed under a token key (docs/protocol.md, 7).

    A row's key is the digest of what was added: adding the same twice keeps one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: str, reference: bytes, sealed: bytes, *, at: int) -> None:
        """Keep a piece of evidence."""
        fields = (kind.encode(), reference, sealed, at.to_bytes(8, "big"))
        entry_id = hashlib.sha256(b"".join(len(field).to_bytes(8, "big") + field for field in fields)).digest()

        def step(connection: sa.Connection) -> None:
            insert_if_absent(
                connection, evidence, entry_id=entry_id, kind=kind, reference=reference, sealed=sealed, at=at
            )

        self._database.write_by_key(step, repeatable=True)

    def all(self, kind: str | None = None) -> Iterator[tuple[str, bytes, bytes, int]]:
        """Return kind, reference, sealed and time of all pieces, or of one kind's, the oldest first."""
        query = sa.select(evidence) if kind is None else sa.select(evidence).where(evidence.c.kind == kind)
        return pages(
            self._database,
            query,
            (evidence.c.at, evidence.c.entry_id),
            lambda row: (row["kind"], row["reference"], row["sealed"], row["at"]),
        )

    def walk(self) -> Iterator[StoredEvidence]:
        """Return every piece, by its id."""
        order = (evidence.c.entry_id,)
        return pages(self._database, sa.select(evidence), order, lambda row: StoredEvidence(**row))

    def reseal(self, entry_id: bytes, old: bytes, new: bytes) -> bool:
        """Replace what is sealed in a piece if it is still the old, and say whether it was."""
        here = (evidence.c.entry_id == entry_id, evidence.c.sealed == old)
        return replaced(self._database, sa.update(evidence).where(*here).values(sealed=new))
