"""What every party keeps beside its log: replay keys, settings, epochs, evidence."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import AlreadyAdmitted, AlreadyStored
from federation.store.portable import FORGOTTEN_ROWS, forget, insert_if_absent, pages, replaced, upsert
from federation.store.prepared import Prepared
from federation.store.rows import Admission, Piece, StoredEpoch, StoredEvidence, StoredStatement
from federation.store.schema import epochs, evidence, replay, settings

ADMITTED_BETWEEN_SWEEPS = FORGOTTEN_ROWS // 4
"""Replay keys that a connection brings in between one look for those that are over and the next."""

_ADMITTED = "medunion-admitted"
"""How many a connection has brought in."""


def admitted(connection: sa.Connection, admission: Admission) -> bool:
    """Insert a message's replay key if absent and say whether it was.

    A connection forgets keys whose time is over with the first of so many that it brings in, and more of them than those are: so
    they never grow. One that stays a while longer refuses what would be refused for its time.
    """
    before = connection.info.get(_ADMITTED, 0)
    connection.info[_ADMITTED] = before + 1
    if before % ADMITTED_BETWEEN_SWEEPS == 0:
        forget(connection, replay, replay.c.until < admission.now)
    return insert_if_absent(connection, replay, key=admission.key, until=admission.until)


def require_admitted(connection: sa.Connection, admission: Admission) -> None:
    """Take a message within a transaction. Raises AlreadyAdmitted for one that was taken before."""
    if not admitted(connection, admission):
        raise AlreadyAdmitted("this message was taken before")


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
        return self._database.look(lambda connection: _HELD.first(connection, key=key, now=now)) is not None


_HELD = Prepared(
    sa.select(replay.c.key).where(replay.c.key == sa.bindparam("key"), replay.c.until >= sa.bindparam("now"))
)
_VALUE = Prepared(sa.select(settings.c.value).where(settings.c.name == sa.bindparam("name")))
_NEWER = Prepared(
    sa.select(settings.c.sequence, settings.c.value).where(
        settings.c.name == sa.bindparam("name"), settings.c.sequence > sa.bindparam("than")
    )
)


class Settings:
    """Small named values of a party: its own key statement, the newest revocation list it has seen."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> bytes | None:
        """Return the value under a name."""
        value: bytes | None = self._database.look(lambda connection: _VALUE.value(connection, name=name))
        return value

    def newer(self, name: str, than: int) -> tuple[int, bytes] | None:
        """Return the sequence and the value under a name if that sequence is above the one at hand.

        That nothing is newer costs one look at the sequence, however long the value is.
        """
        row = self._database.look(lambda connection: _NEWER.first(connection, name=name, than=than))
        return None if row is None else (row[0], row[1])

    def put(self, name: str, value: bytes) -> None:
        """Keep a value. A sequence that `advance` has reached under this name stays: nothing puts it back."""
        self._database.write_by_key(
            lambda connection: upsert(connection, settings, name=name, value=value), repeatable=True
        )

    def advance(self, name: str, sequence: int, value: bytes, *, again: bool = False) -> bool:
        """Put the value unless one of a higher sequence is there, or, unless `again`, of the same; say whether it was put."""

        def is_older(new: Any) -> sa.ColumnElement[bool]:  # noqa: ANN401 - the columns of the row that comes
            older = settings.c.sequence <= new.sequence if again else settings.c.sequence < new.sequence
            return sa.or_(settings.c.sequence.is_(None), older)

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
        return [_epoch(row) for row in self._database.find(_EPOCHS)]

    def reseal(self, key_id: bytes, old: bytes, new: bytes) -> bool:
        """Replace the sealed seed if it is still the old one, and say whether it was."""
        here = (epochs.c.key_id == key_id, epochs.c.sealed_seed == old)
        return replaced(self._database, sa.update(epochs).where(*here).values(sealed_seed=new))

    def drop(self, key_id: bytes) -> None:
        """Forget an epoch; none there is no error."""
        statement = sa.delete(epochs).where(epochs.c.key_id == key_id)
        self._database.write_by_key(lambda connection: connection.execute(statement), repeatable=True)


_EPOCHS = Prepared(sa.select(epochs).order_by(epochs.c.not_after.desc(), epochs.c.key_id))


def _epoch(row: dict[str, Any]) -> StoredEpoch:
    statement = StoredStatement(row.pop("statement"), row.pop("signature"))
    return StoredEpoch(**row, statement=statement)


def evidence_row(piece: Piece, at: int) -> dict[str, Any]:
    """Return the row of a piece that is kept from this moment on."""
    fields = (piece.kind.encode(), piece.reference, piece.sealed, at.to_bytes(8, "big"))
    entry_id = hashlib.sha256(b"".join(len(field).to_bytes(8, "big") + field for field in fields)).digest()
    return {**vars(piece), "entry_id": entry_id, "at": at}


class Evidence:
    """What a holder keeps to show a judge: the exact signed fields, sealed under a token key (docs/protocol.md, 7).

    A row's key is the digest of what was added: adding the same twice keeps one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: str, reference: bytes, sealed: bytes, *, at: int) -> None:
        """Keep a piece of evidence."""
        row = evidence_row(Piece(kind, reference, sealed), at)
        self._database.write_by_key(lambda connection: insert_if_absent(connection, evidence, **row), repeatable=True)

    def forget(self, kind: str, *, before: int) -> int:
        """Remove the pieces of a kind that are older than a time, some at a time, and return how many those were."""
        older = sa.and_(evidence.c.kind == kind, evidence.c.at < before)
        step = partial(forget, table=evidence, over=older)
        return sum(iter(lambda: self._database.write_by_key(step, repeatable=True), 0))

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
