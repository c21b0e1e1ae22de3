"""A hospital's records, the outbox of their publication, and their administration."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import cache
from typing import Any

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import AlreadyStored, NotStored, StillHeld, StillKept
from federation.store.log import acting, append
from federation.store.portable import counted, insert_if_absent, pages, replaced, upsert
from federation.store.prepared import Prepared, each, one_of
from federation.store.rows import Act, Hold, OutboxEntry, SealedEntry, Standing, StandingName, StoredRecord
from federation.store.schema import condemned_blobs, deposit_answers, holds, outbox, record_blobs, records, standings


class Records:
    """A hospital's records. Versions are appended, never overwritten."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        record: StoredRecord,
        *,
        blobs: Sequence[str],
        outbox: OutboxEntry | None,
        answer: tuple[bytes, bytes] | None,
        act: Act | None = None,
    ) -> None:
        """Keep a record, the outbox entry that publishes it, the answer (H(sto), stoack) and the log's entry, in one transaction.

        `blobs` are those of its parts. Raises AlreadyStored for a (handle, version), an outbox entry or an answered deposit
        that is there.
        """

        def step(connection: sa.Connection) -> None:
            with acting(connection, act):
                if not insert_if_absent(connection, records, **vars(record)):
                    raise AlreadyStored("this version of the record is kept already")
                _note_blobs(connection, blobs)
                if outbox is not None:
                    _queue(connection, outbox)
                if answer is not None:
                    _keep_answer(connection, *answer)

        self._database.write_by_key(step)

    def of_handles(self, patient_keys: Sequence[bytes], handles: Sequence[bytes]) -> Sequence[StoredRecord]:
        """Return of these records those that are the patient's, the newest version of each, oldest first.

        A record that is withdrawn is not found. The patient has a key under each generation of the index key.
        """
        query = _of_handles(len(patient_keys), len(handles))
        return self._found(query, **each("key", patient_keys), **each("handle", handles))

    def of_classes(
        self,
        patient_keys: Sequence[bytes],
        department_classes: Sequence[str],
        sensitivities: Sequence[str],
        *,
        most: int,
    ) -> Sequence[StoredRecord]:
        """Return the same of the patient's records whose newest version is of these; if there are more, any `most` of them."""
        query = _of_classes(len(patient_keys), len(department_classes), len(sensitivities))
        values = each("key", patient_keys) | each("class", department_classes) | each("sensitivity", sensitivities)
        return self._found(query, **values, most=most)

    def count_of(self, patient_keys: Sequence[bytes], *, most: int) -> int:
        """Count the patient's records that are not withdrawn, up to `most`."""
        return len(self._database.find(_handles_of(len(patient_keys)), **each("key", patient_keys), most=most))

    def _found(self, query: Prepared, **values: object) -> Sequence[StoredRecord]:
        found = [StoredRecord(**row) for row in self._database.find(query, **values)]
        return sorted(found, key=lambda record: (record.stored_at, record.handle))

    def all(self) -> Iterator[StoredRecord]:
        """Return every version of every record, in no order that means anything."""
        order = (records.c.handle, records.c.version)
        return pages(self._database, sa.select(records), order, lambda row: StoredRecord(**row))

    def blobs_among(self, names: Sequence[str]) -> AbstractSet[str]:
        """Return those of these blobs that are of a record."""
        query = sa.select(record_blobs.c.name).where(record_blobs.c.name.in_(names))
        return self._database.read(lambda connection: set(connection.scalars(query)))

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
        """Count the versions of records that a generation of the index key names."""
        return counted(self._database, records, records.c.generation == generation)

    def answer_to(self, deposit_digest: bytes) -> bytes | None:
        """Return the answer to the same deposit, if there was one."""
        answer: bytes | None = self._database.look(lambda connection: _ANSWER.value(connection, deposit=deposit_digest))
        return answer


_ANSWER = Prepared(
    sa.select(deposit_answers.c.answer).where(deposit_answers.c.deposit_digest == sa.bindparam("deposit"))
)
_VERSIONS = Prepared(sa.select(records).where(records.c.handle == sa.bindparam("record")).order_by(records.c.version))


_WITHDRAWN = sa.exists().where(standings.c.handle == records.c.handle, standings.c.standing == "withdrawn")


@cache
def _of_handles(patient_keys: int, handles: int) -> Prepared:
    return Prepared(_newest(patient_keys).where(one_of(records.c.handle, "handle", handles)))


@cache
def _of_classes(patient_keys: int, department_classes: int, sensitivities: int) -> Prepared:
    # In no order: with one, all that fit would be read for the first of them.
    query = _newest(patient_keys).where(
        one_of(records.c.department_class, "class", department_classes),
        one_of(records.c.sensitivity, "sensitivity", sensitivities),
    )
    return Prepared(query.limit(sa.bindparam("most", type_=sa.Integer)))


def _newest(patient_keys: int) -> sa.Select[Any]:
    later = records.alias()
    superseded = sa.exists().where(later.c.handle == records.c.handle, later.c.version > records.c.version)
    return sa.select(records).where(one_of(records.c.patient_key, "key", patient_keys), ~superseded, ~_WITHDRAWN)


@cache
def _handles_of(patient_keys: int) -> Prepared:
    query = sa.select(records.c.handle).where(one_of(records.c.patient_key, "key", patient_keys), ~_WITHDRAWN)
    return Prepared(query.distinct().limit(sa.bindparam("most", type_=sa.Integer)))


def _note_blobs(connection: sa.Connection, names: Iterable[str]) -> None:
    for name in names:
        insert_if_absent(connection, record_blobs, name=name)


def _keep_answer(connection: sa.Connection, digest: bytes, answer: bytes) -> None:
    if not insert_if_absent(connection, deposit_answers, deposit_digest=digest, answer=answer):
        raise AlreadyStored("this deposit was answered already")


class OutboxEntries:
    """Publications that the public cloud has not acknowledged yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entry: OutboxEntry) -> bool:
        """Add an entry that publishes a record that is there already, unless it waits already; say whether it was added."""
        return self._database.write(lambda connection: insert_if_absent(connection, outbox, **vars(entry)))

    def due(self, *, now: int, limit: int) -> Sequence[OutboxEntry]:
        """Return the entries to publish now, the longest due first.

        Take one before it is published: another worker has it too.
        """
        query = sa.select(outbox).where(outbox.c.not_before <= now)
        query = query.order_by(outbox.c.not_before, outbox.c.entry_id).limit(limit)
        rows = self._database.look(lambda connection: connection.execute(query).mappings().all())
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

    def all(self) -> Iterator[OutboxEntry]:
        """Return every entry, due or not, by its id."""
        return pages(self._database, sa.select(outbox), (outbox.c.entry_id,), lambda row: OutboxEntry(**row))

    def reseal(self, entry_id: bytes, old: bytes, new: bytes) -> bool:
        """Replace what is sealed in an entry if it is still the old, and say whether it was."""
        here = (outbox.c.entry_id == entry_id, outbox.c.sealed == old)
        return replaced(self._database, sa.update(outbox).where(*here).values(sealed=new))

    def size(self) -> int:
        """Count the publications that wait, due or not."""
        query = sa.select(sa.func.count()).select_from(outbox)
        return self._database.look(lambda connection: connection.scalars(query).one())


def _queue(connection: sa.Connection, entry: OutboxEntry) -> None:
    if not insert_if_absent(connection, outbox, **vars(entry)):
        raise AlreadyStored("this publication is under way already")


class RecordsAdministration:
    """What operators do to records on file: a change and its entry in the log are one transaction.

    The changes look before they write, so they are serializable.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def versions(self, handle: bytes) -> Sequence[StoredRecord]:
        """Return every version of a record, the oldest first; none of one that is not on file."""
        return [StoredRecord(**row) for row in self._database.find(_VERSIONS, record=handle)]

    def handles(
        self,
        *,
        patient_keys: Sequence[bytes] | None = None,
        kept_until_before: int | None = None,
        undated: bool = False,
    ) -> Iterator[bytes]:
        """Yield the records on file, by handle; a patient's, those whose every version is past its date, those without one."""
        query = sa.select(records.c.handle).group_by(records.c.handle)
        if patient_keys is not None:
            query = query.where(records.c.patient_key.in_(patient_keys))
        if kept_until_before is not None:
            # What the index finds, and of it those of which no version is kept longer.
            query = query.where(_some_version(records.c.keep_until < kept_until_before))
            query = query.having(_is_past(kept_until_before))
        if undated:
            query = query.where(_some_version(records.c.keep_until.is_(None)))
        return pages(self._database, query, (records.c.handle,), lambda row: bytes(row["handle"]))

    def standing(self, handle: bytes) -> Standing | None:
        """Return where a record stands, if that was ever changed."""
        return self._database.look(lambda connection: _standing(connection, handle))

    def standings(self, standing: StandingName) -> Iterator[Standing]:
        """Return every record that stands so, by handle."""
        query = sa.select(standings).where(standings.c.standing == standing)
        return pages(self._database, query, (standings.c.handle,), lambda row: Standing(**row))

    def holds(self, handle: bytes | None = None) -> Iterator[Hold]:
        """Return the holds on a record, or all, by handle and id."""
        query = sa.select(holds) if handle is None else sa.select(holds).where(holds.c.handle == handle)
        return pages(self._database, query, (holds.c.handle, holds.c.hold_id), lambda row: Hold(**row))

    def keep(self, handle: bytes, until: int, entry: SealedEntry) -> None:
        """Set until when every version of a record is kept. Raises NotStored."""

        def step(connection: sa.Connection) -> None:
            kept = sa.update(records).where(records.c.handle == handle).values(keep_until=until)
            if connection.execute(kept).rowcount == 0:
                raise NotStored("there is no such record")

        self._logged(step, entry)

    def hold(self, handle: bytes, hold_id: bytes, entry: SealedEntry) -> None:
        """Place a hold. Raises NotStored."""

        def step(connection: sa.Connection) -> None:
            _require_on_file(connection, handle)
            insert_if_absent(
                connection, holds, handle=handle, hold_id=hold_id, placed_at=entry.at, logged=entry.entry_id
            )

        self._logged(step, entry)

    def release(self, handle: bytes, hold_id: bytes, entry: SealedEntry) -> None:
        """Take a hold away. Raises NotStored."""

        def step(connection: sa.Connection) -> None:
            there = sa.delete(holds).where(holds.c.handle == handle, holds.c.hold_id == hold_id)
            if connection.execute(there).rowcount == 0:
                raise NotStored("there is no such hold")

        self._logged(step, entry)

    def stand(self, handle: bytes, standing: StandingName, outbox: OutboxEntry, entry: SealedEntry) -> bool:
        """Withdraw a record that is shown, or show one that is withdrawn, and add the entry that tells the index.

        Gives False, and changes nothing, if it stands so already. Raises NotStored.
        """

        def step(connection: sa.Connection) -> bool:
            _require_on_file(connection, handle)
            before = _standing(connection, handle)
            if ("shown" if before is None else before.standing) == standing:
                return False
            _stand(connection, handle, standing, outbox, entry)
            return True

        return self._database.write(step)

    def correct(
        self, record: StoredRecord, entry: SealedEntry, outbox: OutboxEntry | None = None, *, blobs: Sequence[str]
    ) -> None:
        """Keep another version, whose parts are in these blobs, and what tells the index of it if that is needed.

        Raises NotStored unless the one before is the newest, AlreadyStored for one that is there.
        """

        def step(connection: sa.Connection) -> None:
            newest = sa.select(sa.func.max(records.c.version)).where(records.c.handle == record.handle)
            last: int | None = connection.scalar(newest)
            if last is None or last < record.version - 1:
                raise NotStored("the version before is not on file")
            if not insert_if_absent(connection, records, **vars(record)):
                raise AlreadyStored("this version of the record is kept already")
            _note_blobs(connection, blobs)
            if outbox is not None:
                _queue(connection, outbox)

        self._logged(step, entry)

    def erase(
        self, versions: Sequence[StoredRecord], *, blobs: Sequence[str], outbox: OutboxEntry, entry: SealedEntry
    ) -> bool:
        """Destroy the wrapped keys of a record, condemn its blobs and add the entry that takes it out of the index.

        Gives False, and changes nothing, unless the record has exactly these versions still. Raises StillHeld while there is
        a hold, StillKept unless every version's `keep_until` is before `entry.at`.
        """
        handle = versions[0].handle

        def step(connection: sa.Connection) -> bool:
            there = sa.select(records.c.version).where(records.c.handle == handle)
            if set(connection.scalars(there)) != {record.version for record in versions}:
                return False
            _require_erasable(connection, handle, entry.at)
            connection.execute(sa.delete(records).where(records.c.handle == handle))
            connection.execute(sa.delete(record_blobs).where(record_blobs.c.name.in_(blobs)))
            for name in blobs:
                insert_if_absent(connection, condemned_blobs, name=name, condemned_at=entry.at)
            _stand(connection, handle, "erased", outbox, entry)
            return True

        return self._database.write(step)

    def condemned(self, *, limit: int) -> Sequence[str]:
        """Return blobs whose record is erased and that are still to be removed."""
        query = sa.select(condemned_blobs.c.name).order_by(condemned_blobs.c.name).limit(limit)
        return self._database.look(lambda connection: list(connection.scalars(query)))

    def buried(self, name: str) -> None:
        """Forget a condemned blob, which is removed."""
        gone = sa.delete(condemned_blobs).where(condemned_blobs.c.name == name)
        self._database.write_by_key(lambda connection: connection.execute(gone), repeatable=True)

    def _logged(self, step: Callable[[sa.Connection], None], entry: SealedEntry) -> None:
        def both(connection: sa.Connection) -> None:
            append(connection, entry)
            step(connection)

        self._database.write(both)


def _some_version(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return records.c.handle.in_(sa.select(records.c.handle).where(condition))


def _is_past(moment: int) -> sa.ColumnElement[bool]:
    """Require every version of the group to be dated, and no date to be at or after the moment."""
    dated = sa.func.count(records.c.keep_until) == sa.func.count()
    return sa.and_(dated, sa.func.max(records.c.keep_until) < moment)


def _standing(connection: sa.Connection, handle: bytes) -> Standing | None:
    row = connection.execute(sa.select(standings).where(standings.c.handle == handle)).mappings().first()
    return None if row is None else Standing(**row)


def _require_on_file(connection: sa.Connection, handle: bytes) -> None:
    if connection.scalar(sa.select(sa.func.count()).select_from(records).where(records.c.handle == handle)) == 0:
        raise NotStored("there is no such record")


def _require_erasable(connection: sa.Connection, handle: bytes, now: int) -> None:
    if connection.scalar(sa.select(sa.func.count()).select_from(holds).where(holds.c.handle == handle)):
        raise StillHeld("a hold is on this record")
    past = sa.select(records.c.handle).where(records.c.handle == handle).group_by(records.c.handle)
    if connection.scalar(past.having(_is_past(now))) is None:
        raise StillKept("the retention of this record is not over")


def _stand(
    connection: sa.Connection, handle: bytes, standing: StandingName, outbox_entry: OutboxEntry, entry: SealedEntry
) -> None:
    append(connection, entry)
    upsert(connection, standings, handle=handle, standing=standing, changed_at=entry.at, logged=entry.entry_id)
    _queue(connection, outbox_entry)
