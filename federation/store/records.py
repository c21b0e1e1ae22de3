"""A hospital's records and its outbox, in SQL."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import AlreadyStored
from federation.store.interfaces import OutboxEntry, StoredRecord
from federation.store.portable import insert_if_absent, pages
from federation.store.schema import deposit_answers, outbox, records


class SqlRecords:
    """`Records`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: StoredRecord, *, outbox: OutboxEntry | None, answer: tuple[bytes, bytes] | None) -> None:
        """Keep a record, the intent to publish it, and the answer (H(sto), stoack), in one transaction.

        Raises AlreadyStored for a (handle, version), an outbox entry or an answered deposit that is there.
        """

        def step(connection: sa.Connection) -> None:
            if not insert_if_absent(connection, records, **vars(record)):
                raise AlreadyStored("this version of the record is kept already")
            if outbox is not None:
                _intend(connection, outbox)
            if answer is not None:
                _keep_answer(connection, *answer)

        self._database.write(step)

    def find(
        self, patient_key: bytes, *, department_class: str | None, handles: Sequence[bytes]
    ) -> Sequence[StoredRecord]:
        """The newest version of each record of the patient, oldest first; of one class, and of these handles, where given.

        An empty list of handles gives no handle: all records that fit come back. The class is the newest version's.
        """
        found = self._database.read(lambda connection: _newest(connection, patient_key))
        return [
            record
            for record in found
            if department_class in {None, record.department_class} and (not handles or record.handle in handles)
        ]

    def all(self) -> Iterator[StoredRecord]:
        """Every version of every record, in no order that means anything."""
        order = (records.c.handle, records.c.version)
        return pages(self._database, sa.select(records), order, lambda row: StoredRecord(**row))

    def answer_to(self, deposit_digest: bytes) -> bytes | None:
        """The answer to the same deposit, if there was one."""
        query = sa.select(deposit_answers.c.answer).where(deposit_answers.c.deposit_digest == deposit_digest)
        return self._database.read(lambda connection: connection.scalar(query))

    def due(self, *, now: int, limit: int) -> Sequence[OutboxEntry]:
        """The entries to publish now, the longest due first. Two workers may get the same: publishing twice does no harm."""
        query = sa.select(outbox).where(outbox.c.not_before <= now)
        query = query.order_by(outbox.c.not_before, outbox.c.entry_id).limit(limit)
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [OutboxEntry(**row) for row in rows]

    def postpone(self, entry_id: bytes, *, not_before: int) -> None:
        """Count an attempt and leave the entry alone until then; one settled meanwhile is no error."""
        statement = sa.update(outbox).where(outbox.c.entry_id == entry_id)
        statement = statement.values(attempts=outbox.c.attempts + 1, not_before=not_before)
        self._database.write(lambda connection: connection.execute(statement))

    def settle(self, entry_id: bytes) -> None:
        """Take a published entry out of the outbox; none there is no error."""
        statement = sa.delete(outbox).where(outbox.c.entry_id == entry_id)
        self._database.write(lambda connection: connection.execute(statement))

    def outbox_size(self) -> int:
        """How many publications wait, due or not."""
        query = sa.select(sa.func.count()).select_from(outbox)
        return self._database.read(lambda connection: connection.scalars(query).one())


def _newest(connection: sa.Connection, patient_key: bytes) -> list[StoredRecord]:
    later = records.alias()
    superseded = sa.exists().where(later.c.handle == records.c.handle, later.c.version > records.c.version)
    query = sa.select(records).where(records.c.patient_key == patient_key, ~superseded)
    rows = connection.execute(query.order_by(records.c.stored_at, records.c.handle)).mappings()
    return [StoredRecord(**row) for row in rows]


def _intend(connection: sa.Connection, entry: OutboxEntry) -> None:
    if not insert_if_absent(connection, outbox, **vars(entry)):
        raise AlreadyStored("this publication is under way already")


def _keep_answer(connection: sa.Connection, digest: bytes, answer: bytes) -> None:
    if not insert_if_absent(connection, deposit_answers, deposit_digest=digest, answer=answer):
        raise AlreadyStored("this deposit was answered already")
