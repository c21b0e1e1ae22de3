"""Revocations: the public cloud's book of them, and the shards that a hospital keeps of the list that it follows.

The book is read by what was touched since: each of its changes has a number, the revision, and each row the one that touched it
last. A row that is over stays for a day as ended, so that who reads by revision hears of its end; whoever was away for longer
reads the book whole.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import StoreLimit
from federation.store.log import acting
from federation.store.portable import insert_if_absent, upsert
from federation.store.rows import Act, KeptShard, RevocationChange, RevocationChanges, RevocationKind
from federation.store.schema import revocation_shards, revocation_version, revocations, settings

KINDS: frozenset[RevocationKind] = frozenset({"serial", "statement", "key", "heard"})
"""What is revoked by its digest alone; a sweep has a time, too. "heard" is what a restored cloud has from its members."""

ENDED_KEPT = timedelta(days=1)
"""How long the book says that an entry has ended: so long who reads it may be away without reading it whole."""

MOST_CHANGES = 16_384
"""Rows that are told as changes; above that the book is read whole."""

_AT_ONCE = 512
"""Rows that one statement names."""

_BOOK = "revocations"
"""The one row of the version's table."""

_LISTED = revocations.c.ended_at.is_(None)


class RevocationBook:
    """What the public cloud has revoked. Every change of what is listed raises the revision by one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revoke(
        self,
        kind: RevocationKind,
        digest: bytes,
        *,
        expires_at: int,
        at: int,
        most: int | None = None,
        act: Act | None = None,
    ) -> int:
        """Add an entry and return the book's revision; one already there is no error, and stays for the longer of the two.

        An entry may leave the book after `expires_at`, when what it names would not be accepted anyway. Raises StoreLimit
        where that makes more than `most` entries of all kinds, if there is a bound.
        """
        return self._add(kind, {digest: expires_at}, at=at, most=most, act=act)

    def take_back(self, expiring: Mapping[bytes, int], *, at: int, most: int, act: Act | None = None) -> int:
        """Add statements, by digest and when each may leave, all or none, and return the book's revision.

        Raises StoreLimit where that makes more than `most` entries of all kinds.
        """
        return self._add("statement", expiring, at=at, most=most, act=act)

    def hear(self, digests: Iterable[bytes], *, expires_at: int, at: int) -> int:
        """Add what others say was revoked, all at once, and return the book's revision."""
        return self._add("heard", dict.fromkeys(digests, expires_at), at=at, most=None, act=None)

    def _add(
        self, kind: RevocationKind, expiring: Mapping[bytes, int], *, at: int, most: int | None, act: Act | None
    ) -> int:
        if kind not in KINDS:
            raise ValueError(f"a revocation's kind is one of {sorted(KINDS)}")

        def step(connection: sa.Connection) -> int:
            with acting(connection, act):
                # In one order, so that no two calls wait for each other.
                added = [
                    digest for digest, end in sorted(expiring.items()) if _added(connection, kind, digest, end, at)
                ]
                if not added:
                    return _version(connection)
                return _touched(connection, added, listed=len(added), most=most)

        return self._database.write_by_key(step)

    def sweep(
        self, digest: bytes, before: int, *, expires_at: int, at: int, most: int | None = None, act: Act | None = None
    ) -> int:
        """Keep the latest time before which everything of one patient is taken back, and return the book's revision.

        Raises StoreLimit where that makes more than `most` entries of all kinds, if there is a bound.
        """
        values = {"before": before, "expires_at": expires_at, "at": at, "revision": 0, "ended_at": None}

        def is_earlier(new: Any) -> sa.ColumnElement[bool]:  # noqa: ANN401 - the columns of the row that comes
            return sa.or_(revocations.c.before < new.before, revocations.c.ended_at.is_not(None))

        def step(connection: sa.Connection) -> int:
            with acting(connection, act):
                here = (revocations.c.kind == "sweep", revocations.c.digest == digest, _LISTED)
                was_listed = connection.scalar(sa.select(revocations.c.digest).where(*here)) is not None
                if not upsert(connection, revocations, is_earlier, kind="sweep", digest=digest, **values):
                    return _version(connection)
                return _touched(connection, [digest], listed=0 if was_listed else 1, most=most)

        return self._database.write(step)

    def expire(self, *, now: int) -> None:
        """Let entries leave whose time is over, and forget those that left long ago."""
        ended_before = now - ENDED_KEPT // timedelta(milliseconds=1)
        over = sa.select(revocations.c.digest).where(revocations.c.expires_at < now, _LISTED).limit(1)
        gone = sa.select(revocations.c.digest).where(revocations.c.ended_at < ended_before).limit(1)
        due = sa.select(sa.or_(over.exists(), gone.exists()))
        if self._database.look(lambda connection: connection.scalar(due)):
            self._database.write_by_key(lambda connection: _expired(connection, now, ended_before))

    def since(self, revision: int) -> RevocationChanges:
        """Return what was touched after a revision; all entries where that is not known any more, or is too much."""
        return self._database.read(lambda connection: _changes(connection, revision))

    def listed(self, digests: Iterable[bytes]) -> frozenset[bytes]:
        """Return those of a few digests that are entries."""
        query = sa.select(revocations.c.digest).where(revocations.c.digest.in_(list(digests)), _LISTED)
        return frozenset(self._database.look(lambda connection: connection.scalars(query).all()))

    def entries(self) -> int:
        """Return how many entries there are."""
        query = sa.select(revocation_version.c.entries).where(revocation_version.c.book == _BOOK)
        return self._database.look(lambda connection: connection.scalar(query)) or 0


def _added(connection: sa.Connection, kind: RevocationKind, digest: bytes, expires_at: int, at: int) -> bool:
    """Add an entry and say whether it is new; one that is there, of whichever kind, stays for the longer of the two."""
    there = sa.select(revocations.c.kind).where(revocations.c.digest == digest).limit(1)
    kind = connection.scalar(there) or kind
    values = {"expires_at": expires_at, "at": at, "revision": 0, "ended_at": None}

    def has_ended(_: object) -> sa.ColumnElement[bool]:
        return revocations.c.ended_at.is_not(None)

    if upsert(connection, revocations, has_ended, kind=kind, digest=digest, **values):
        return True
    here = (revocations.c.kind == kind, revocations.c.digest == digest)
    prolonged = sa.update(revocations).where(*here, revocations.c.expires_at < expires_at)
    connection.execute(prolonged.values(expires_at=expires_at))
    return False


def _touched(connection: sa.Connection, digests: Sequence[bytes], *, listed: int, most: int | None) -> int:
    """Raise the revision, and let these rows have it; raises StoreLimit where there are then more than `most` entries.

    Its row is locked from then on, so that no two calls find the same last place free, and revisions become visible in order.
    """
    version, entries = _raised(connection, listed)
    if most is not None and entries > most:
        raise StoreLimit("the book holds as many entries as it may")
    for start in range(0, len(digests), _AT_ONCE):
        named = revocations.c.digest.in_(digests[start : start + _AT_ONCE])
        connection.execute(sa.update(revocations).where(named).values(revision=version))
    return version


def _expired(connection: sa.Connection, now: int, ended_before: int) -> None:
    insert_if_absent(connection, revocation_version, book=_BOOK, version=0, entries=0, forgotten=0)
    here = revocation_version.c.book == _BOOK
    known = connection.execute(sa.select(revocation_version).where(here).with_for_update()).one()
    version = known.version + 1
    over = sa.update(revocations).where(revocations.c.expires_at < now, _LISTED)
    ended = connection.execute(over.values(ended_at=now, revision=version)).rowcount
    long_ago = revocations.c.ended_at < ended_before
    forgotten = connection.scalar(sa.select(sa.func.max(revocations.c.revision)).where(long_ago)) or known.forgotten
    connection.execute(sa.delete(revocations).where(long_ago))
    values = {"version": version if ended else known.version, "entries": known.entries - ended, "forgotten": forgotten}
    connection.execute(sa.update(revocation_version).where(here).values(values))


_ROWS = sa.select(revocations.c.digest, revocations.c.before, revocations.c.ended_at, revocations.c.revision)


def _changes(connection: sa.Connection, revision: int) -> RevocationChanges:
    query = sa.select(revocation_version).where(revocation_version.c.book == _BOOK)
    known = connection.execute(query).first()
    if known is None:
        return RevocationChanges(0, 0, [], is_whole=revision > 0)
    if known.forgotten <= revision <= known.version:
        touched = _ROWS.where(revocations.c.revision > revision).limit(MOST_CHANGES + 1)
        found = [_change(*row) for row in connection.execute(touched)]
        if len(found) <= MOST_CHANGES:
            return RevocationChanges(known.version, known.forgotten, found, is_whole=False)
    found = [_change(*row) for row in connection.execute(_ROWS)]
    return RevocationChanges(known.version, known.forgotten, found, is_whole=True)


def _change(digest: bytes, before: int | None, ended_at: int | None, revision: int) -> RevocationChange:
    return RevocationChange(digest, before or 0, ended_at is not None, revision)


def _version(connection: sa.Connection) -> int:
    query = sa.select(revocation_version.c.version).where(revocation_version.c.book == _BOOK)
    return connection.scalar(query) or 0


def _raised(connection: sa.Connection, listed: int) -> tuple[int, int]:
    insert_if_absent(connection, revocation_version, book=_BOOK, version=0, entries=0, forgotten=0)
    row = revocation_version.c
    values = {"version": row.version + 1, "entries": row.entries + listed}
    raised = sa.update(revocation_version).where(row.book == _BOOK).values(values)
    version, entries = connection.execute(raised.returning(row.version, row.entries)).one()
    return version, entries


class KeptShards:
    """The revocation list as a hospital's processes share it: beside the directory of the same sequence, shard by shard."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def advance(
        self,
        name: str,
        sequence: int,
        directory: bytes,
        shards: Iterable[KeptShard],
        *,
        again: bool = False,
        all_: bool = False,
    ) -> bool:
        """Keep a directory under a name, and the shards that came with it, unless a newer one is there; say whether.

        One of the same sequence gives way where it comes `again`. Where all shards came, the others are empty.
        """

        def is_older(new: Any) -> sa.ColumnElement[bool]:  # noqa: ANN401 - the columns of the row that comes
            older = settings.c.sequence <= new.sequence if again else settings.c.sequence < new.sequence
            return sa.or_(settings.c.sequence.is_(None), older)

        def step(connection: sa.Connection) -> bool:
            if not upsert(connection, settings, is_older, name=name, value=directory, sequence=sequence):
                return False
            if all_:
                connection.execute(sa.delete(revocation_shards))
            for shard in shards:
                upsert(connection, revocation_shards, sequence=sequence, **shard._asdict())
            return True

        return self._database.write_by_key(step)

    def newer(self, name: str, than: int) -> tuple[int, bytes, Sequence[KeptShard]] | None:
        """Return sequence, directory and the shards that changed since, where the sequence is above this one."""
        here = (settings.c.name == name, settings.c.sequence > than)
        query = sa.select(settings.c.sequence, settings.c.value).where(*here)
        row = revocation_shards.c
        shards = sa.select(row.prefix, row.entries, row.sweeps).where(row.sequence > than)

        def step(connection: sa.Connection) -> tuple[int, bytes, Sequence[KeptShard]] | None:
            kept = connection.execute(query).first()
            return None if kept is None else (kept[0], kept[1], [KeptShard(*it) for it in connection.execute(shards)])

        return self._database.read(step)
