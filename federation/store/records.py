"""A hospital's records and its outbox, in SQL."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import AlreadyStored
from federation.store.party import acting
from federation.store.portable import counted, insert_if_absent, pages, replaced
from federation.store.rows import Act, OutboxEntry, StoredRecord
from federation.store.schema import deposit_answers, outbox, records, standings


class Records:
    """`Records`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        record: StoredRecord,
        *,
        outbox: OutboxEntry | None,
        answer: tuple[bytes, bytes] | None,
        act: Act | None = None,
    ) -> None:
        """Keep a record, the intent to publish it, the answer (H(sto), stoack) and the log's entry, in one transaction.

        Raises AlreadyStored for a (handle, version), an outbox entry or an answered deposit that is there.
        """

        def step(connection: sa.Connection) -> None:
            with acting(connection, act):
                if not insert_if_absent(connection, records, **vars(record)):
                    raise AlreadyStored("this version of the record is kept already")
                if outbox is not None:
                    _intend(connection, outbox)
                if answer is not None:
                    _keep_answer(connection, *answer)

        self._database.write_by_key(step)

    def find(
        self, patient_keys: Sequence[bytes], *, department_class: str | None, handles: Sequence[bytes]
    ) -> Sequence[StoredRecord]:
        """The newest version of each record of the patient, oldest first; of one class, and of these handles, where given.

        A record that is withdrawn is not found. The patient has a key under each generation of the index key. An empty list
        of handles gives no handle: all records that fit come back. The class is the newest version's.
        """
        found = self._database.read(lambda connection: _newest(connection, patient_keys))
        return [
            record
            for record in found
            if department_class in {None, record.department_class} and (not handles or record.handle in handles)
        ]

    def all(self) -> Iterator[StoredRecord]:
        """Every version of every record, in no order that means anything."""
        order = (records.c.handle, records.c.version)
        return pages(self._database, sa.select(records), order, lambda row: StoredRecord(**row))

    def rewrap(self, old: StoredRecord, new: StoredRecord) -> bool:
        """Replace patient key, generation, wrapped key and parts of a version if it is still as given; say whether it was.

        Handle, version, department and time are the old ones'. Raises ValueError if they are not.
        """
        sealed_anew = {
            name: getattr(new, name) for name in ("patient_key", "generation", "wrapped_key", "sealed_parts")
        }
        if replace(old, **sealed_anew) != new:
            raise ValueError("a record that is wrapped anew stays the same record")
        here = (
            records.c.handle == old.handle,
            records.c.version == old.version,
            records.c.wrapped_key == old.wrapped_key,
            records.c.sealed_parts == old.sealed_parts,
        )
        return replaced(self._database, sa.update(records).where(*here).values(sealed_anew))

    def count(self, generation: int) -> int:
        """How many versions of records a generation of the index key names."""
        return counted(self._database, records, records.c.generation == generation)

    def answer_to(self, deposit_digest: bytes) -> bytes | None:
        """The answer to the same deposit, if there was one."""
        query = sa.select(deposit_answers.c.answer).where(deposit_answers.c.deposit_digest == deposit_digest)
        return self._database.read(lambda connection: connection.scalar(query))

    def intend(self, entry: OutboxEntry) -> bool:
        """Keep an intent to publish a record that is there already, unless it waits already; say whether it was kept."""
        return self._database.write(lambda connection: insert_if_absent(connection, outbox, **vars(entry)))

    def due(self, *, now: int, limit: int) -> Sequence[OutboxEntry]:
        """The entries to publish now, the longest due first. Take one before it is published: another worker has it too."""
        query = sa.select(outbox).where(outbox.c.not_before <= now)
        query = query.order_by(outbox.c.not_before, outbox.c.entry_id).limit(limit)
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [OutboxEntry(**row) for row in rows]

    def take(self, entry: OutboxEntry, *, until: int) -> bool:
        """Count an attempt and keep the entry from others until then; False if another took, put off or settled it."""
        here = (
            outbox.c.entry_id == entry.entry_id,
            outbox.c.attempts == entry.attempts,
            outbox.c.not_before == entry.not_before,
        )
        taken = sa.update(outbox).where(*here).values(attempts=entry.attempts + 1, not_before=until)
        return replaced(self._database, taken)

    def postpone(self, entry_id: bytes, *, not_before: int) -> None:
        """Leave an entry that was taken alone until then; one settled meanwhile is no error."""
        replaced(self._database, sa.update(outbox).where(outbox.c.entry_id == entry_id).values(not_before=not_before))

    def settle(self, entry_id: bytes) -> None:
        """Take a published entry out of the outbox; none there is no error."""
        statement = sa.delete(outbox).where(outbox.c.entry_id == entry_id)
        self._database.write_by_key(lambda connection: connection.execute(statement), repeatable=True)

    def outbox(self) -> Iterator[OutboxEntry]:
        """Every entry, due or not, by its id."""
        return pages(self._database, sa.select(outbox), (outbox.c.entry_id,), lambda row: OutboxEntry(**row))

    def reseal_outbox(self, entry_id: bytes, old: bytes, new: bytes) -> bool:
        """Replace what is sealed in an entry if it is still the old, and say whether it was."""
        here = (outbox.c.entry_id == entry_id, outbox.c.sealed == old)
        return replaced(self._database, sa.update(outbox).where(*here).values(sealed=new))

    def outbox_size(self) -> int:
        """How many publications wait, due or not."""
        query = sa.select(sa.func.count()).select_from(outbox)
        return self._database.read(lambda connection: connection.scalars(query).one())


def _newest(connection: sa.Connection, patient_keys: Sequence[bytes]) -> list[StoredRecord]:
    later = records.alias()
    superseded = sa.exists().where(later.c.handle == records.c.handle, later.c.version > records.c.version)
    withdrawn = sa.exists().where(standings.c.handle == records.c.handle, standings.c.standing == "withdrawn")
    query = sa.select(records).where(records.c.patient_key.in_(patient_keys), ~superseded, ~withdrawn)
    rows = connection.execute(query.order_by(records.c.stored_at, records.c.handle)).mappings()
    return [StoredRecord(**row) for row in rows]


def _intend(connection: sa.Connection, entry: OutboxEntry) -> None:
    if not insert_if_absent(connection, outbox, **vars(entry)):
        raise AlreadyStored("this publication is under way already")


def _keep_answer(connection: sa.Connection, digest: bytes, answer: bytes) -> None:
    if not insert_if_absent(connection, deposit_answers, deposit_digest=digest, answer=answer):
        raise AlreadyStored("this deposit was answered already")
