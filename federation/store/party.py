"""What every party keeps, in SQL."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from federation.store.acts import admitted
from federation.store.database import Database
from federation.store.errors import AlreadyStored
from federation.store.portable import insert_if_absent, pages, replaced, upsert
from federation.store.rows import Admission, StoredEpoch, StoredEvidence, StoredStatement
from federation.store.schema import epochs, evidence, replay, settings


class ReplayMemory:
    """`ReplayMemory`: a key is a row, and its primary key decides who was first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def admit(self, key: bytes, *, now: int, until: int) -> bool:
        """Insert the key if absent and say whether it was; forget keys whose time is over."""

        admission = Admission(key, now, until)
        return self._database.write_by_key(lambda connection: admitted(connection, admission))

    def holds(self, key: bytes, *, now: int) -> bool:
        """Say whether the key is kept, and not over."""
        query = sa.select(replay.c.key).where(replay.c.key == key, replay.c.until >= now)
        return self._database.read(lambda connection: connection.scalar(query)) is not None


class Settings:
    """`Settings`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> bytes | None:
        """The value under a name."""
        query = sa.select(settings.c.value).where(settings.c.name == name)
        return self._database.read(lambda connection: connection.scalar(query))

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
    """`Epochs`."""

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
        """All epochs, the one that ends last first."""
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
    """`Evidence`. A row's key is the digest of what was added: adding the same twice keeps one."""

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
        """Kind, reference, sealed and time of all pieces, or of one kind's, the oldest first."""
        query = sa.select(evidence) if kind is None else sa.select(evidence).where(evidence.c.kind == kind)
        return pages(
            self._database,
            query,
            (evidence.c.at, evidence.c.entry_id),
            lambda row: (row["kind"], row["reference"], row["sealed"], row["at"]),
        )

    def walk(self) -> Iterator[StoredEvidence]:
        """Every piece, by its id."""
        order = (evidence.c.entry_id,)
        return pages(self._database, sa.select(evidence), order, lambda row: StoredEvidence(**row))

    def reseal(self, entry_id: bytes, old: bytes, new: bytes) -> bool:
        """Replace what is sealed in a piece if it is still the old, and say whether it was."""
        here = (evidence.c.entry_id == entry_id, evidence.c.sealed == old)
        return replaced(self._database, sa.update(evidence).where(*here).values(sealed=new))
