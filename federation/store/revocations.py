"""What the public cloud has revoked, in SQL."""

from typing import get_args

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.party import acting
from federation.store.portable import insert_if_absent
from federation.store.rows import Act, RevocationKind, Revocations
from federation.store.schema import revocation_version, revocations

KINDS = frozenset(get_args(RevocationKind))

_BOOK = "revocations"
"""The one row of the version's table."""


class RevocationBook:
    """`RevocationBook`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revoke(self, kind: RevocationKind, digest: bytes, *, expires_at: int, at: int, act: Act | None = None) -> int:
        """Add an entry and return the book's version; one already there is no error, and stays for the longer of the two."""
        if kind not in KINDS:
            raise ValueError(f"a revocation's kind is one of {sorted(KINDS)}")
        here = (revocations.c.kind == kind, revocations.c.digest == digest)
        prolonged = sa.update(revocations).where(*here, revocations.c.expires_at < expires_at)

        def step(connection: sa.Connection) -> int:
            with acting(connection, act):
                if insert_if_absent(connection, revocations, kind=kind, digest=digest, expires_at=expires_at, at=at):
                    return _raised(connection)
                connection.execute(prolonged.values(expires_at=expires_at))
                return _version(connection)

        return self._database.write_by_key(step)

    def current(self, *, now: int) -> Revocations:
        """All entries in a stable order, under the version that means exactly these. Entries whose time is over leave first."""
        outlived = sa.select(revocations.c.digest).where(revocations.c.expires_at < now).limit(1)
        if self._database.read(lambda connection: connection.scalar(outlived)) is not None:
            self._database.write_by_key(lambda connection: _forget_expired(connection, now))
        return self._database.read(_book)


def _forget_expired(connection: sa.Connection, now: int) -> None:
    if connection.execute(sa.delete(revocations).where(revocations.c.expires_at < now)).rowcount > 0:
        _raised(connection)


def _version(connection: sa.Connection) -> int:
    query = sa.select(revocation_version.c.version).where(revocation_version.c.book == _BOOK)
    return connection.scalar(query) or 0


def _raised(connection: sa.Connection) -> int:
    insert_if_absent(connection, revocation_version, book=_BOOK, version=0)
    here = revocation_version.c.book == _BOOK
    raised = sa.update(revocation_version).where(here).values(version=revocation_version.c.version + 1)
    version: int = connection.scalars(raised.returning(revocation_version.c.version)).one()
    return version


def _book(connection: sa.Connection) -> Revocations:
    query = sa.select(revocations.c.kind, revocations.c.digest).order_by(revocations.c.digest)
    found: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
    for kind, digest in connection.execute(query):
        found[kind].append(digest)
    return Revocations(_version(connection), found["serial"], found["grant"], found["key"])
