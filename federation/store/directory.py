"""What the public cloud publishes in its directory: revocations, medical authorities with their CRLs, trust bundles."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import AlreadyStored, NotStored, StoreLimit
from federation.store.party import acting
from federation.store.portable import insert_if_absent, upsert
from federation.store.rows import Act, RevocationKind, Revocations, StoredAuthority, StoredStatement
from federation.store.schema import authorities, revocation_version, revocations, trust_bundles

KINDS: frozenset[RevocationKind] = frozenset({"serial", "statement", "key"})
"""What is revoked by its digest alone; a sweep has a time, too."""

_BOOK = "revocations"
"""The one row of the version's table."""


class RevocationBook:
    """What the public cloud has revoked. Every change raises `version` by one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revoke(self, kind: RevocationKind, digest: bytes, *, expires_at: int, at: int, act: Act | None = None) -> int:
        """Add an entry and return the book's version; one already there is no error, and stays for the longer of the two.

        An entry may leave the book after `expires_at`, when what it names would not be accepted anyway.
        """
        if kind not in KINDS:
            raise ValueError(f"a revocation's kind is one of {sorted(KINDS)}")

        def step(connection: sa.Connection) -> int:
            with acting(connection, act):
                is_new = _added(connection, kind, digest, expires_at, at)
                return _raised(connection) if is_new else _version(connection)

        return self._database.write_by_key(step)

    def take_back(self, expiring: Mapping[bytes, int], *, at: int, most: int, act: Act | None = None) -> int:
        """Add statements, by digest and when each may leave, all or none, and return the book's version.

        Raises StoreLimit where that makes more than `most` of them.
        """

        def step(connection: sa.Connection) -> int:
            with acting(connection, act):
                # In one order, so that no two calls wait for each other.
                added = [_added(connection, "statement", *it, at) for it in sorted(expiring.items())]
                if not any(added):
                    return _version(connection)
                version = _raised(connection)
                _require_room(connection, "statement", at, most)
                return version

        return self._database.write_by_key(step)

    def sweep(
        self, digest: bytes, before: int, *, expires_at: int, at: int, most: int | None = None, act: Act | None = None
    ) -> int:
        """Keep the latest time before which everything of one patient is taken back, and return the book's version.

        Raises StoreLimit where that makes more than `most` patients, if there is a bound.
        """
        values = {"before": before, "expires_at": expires_at, "at": at}

        def is_earlier(new: Any) -> sa.ColumnElement[bool]:  # noqa: ANN401 - the columns of the row that comes
            earlier: sa.ColumnElement[bool] = revocations.c.before < new.before
            return earlier

        def step(connection: sa.Connection) -> int:
            with acting(connection, act):
                if not upsert(connection, revocations, is_earlier, kind="sweep", digest=digest, **values):
                    return _version(connection)
                version = _raised(connection)
                if most is not None:
                    _require_room(connection, "sweep", at, most)
                return version

        return self._database.write_by_key(step)

    def current(self, *, now: int) -> Revocations:
        """Return all entries in a stable order, under the version that means exactly these.

        Entries whose time is over leave first.
        """
        outlived = sa.select(revocations.c.digest).where(revocations.c.expires_at < now).limit(1)
        if self._database.read(lambda connection: connection.scalar(outlived)) is not None:
            self._database.write_by_key(lambda connection: _forget_expired(connection, now))
        return self._database.read(_book)


def _added(connection: sa.Connection, kind: RevocationKind, digest: bytes, expires_at: int, at: int) -> bool:
    """Add an entry and say whether it is new; one that is there stays for the longer of the two."""
    if insert_if_absent(connection, revocations, kind=kind, digest=digest, expires_at=expires_at, at=at):
        return True
    here = (revocations.c.kind == kind, revocations.c.digest == digest)
    prolonged = sa.update(revocations).where(*here, revocations.c.expires_at < expires_at)
    connection.execute(prolonged.values(expires_at=expires_at))
    return False


def _require_room(connection: sa.Connection, kind: RevocationKind, now: int, most: int) -> None:
    """Count once the version is raised: its row is locked from then on, so that no two calls find the same last place free."""
    kept = sa.select(sa.func.count()).where(revocations.c.kind == kind, revocations.c.expires_at >= now)
    if connection.scalars(kept).one() > most:
        raise StoreLimit(f"the book holds as many of {kind} as a list names")


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
    query = sa.select(revocations.c.kind, revocations.c.digest, revocations.c.before).order_by(revocations.c.digest)
    found: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
    sweeps: list[tuple[bytes, int]] = []
    for kind, digest, before in connection.execute(query):
        if kind == "sweep":
            sweeps.append((digest, before))
        else:
            found[kind].append(digest)
    return Revocations(_version(connection), found["serial"], found["statement"], found["key"], sweeps)


_BETWEEN = " "
"""No ID has one in it."""


class Authorities:
    """The medical authorities of the federation. One stands twice while its key is rotated: each certificate has its CRL.

    A CRL number has up to 20 octets (RFC 5280, section 5.2.3), which no BIGINT holds: it is kept as text.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self, authority_id: str, certificate: bytes, doctor_ids: tuple[str, ...], *, act: Act | None = None
    ) -> None:
        """Recognise a certificate of an authority for these doctors; one that is there has this scope, and keeps its CRL."""
        scope = {"doctor_ids": _BETWEEN.join(doctor_ids)}
        values = {
            "authority_id": authority_id,
            "certificate_digest": _digest(certificate),
            "certificate": certificate,
            "crl": None,
            "crl_number": "0",
        }

        def step(connection: sa.Connection) -> None:
            with acting(connection, act):
                if not insert_if_absent(connection, authorities, **values, **scope):
                    connection.execute(sa.update(authorities).where(_here(authority_id, certificate)).values(**scope))

        self._database.write_by_key(step, repeatable=act is None)

    def put_crl(
        self, authority_id: str, certificate: bytes, crl: bytes, crl_number: int, *, act: Act | None = None
    ) -> None:
        """Keep a certificate's newer CRL.

        Raises NotStored for an unknown authority or certificate, AlreadyStored for a CRL number not above the kept one.
        """
        here = _here(authority_id, certificate)

        def step(connection: sa.Connection) -> None:
            kept = connection.execute(sa.select(authorities).where(here)).mappings().first()
            if kept is None:
                raise NotStored("this authority is not recognised")
            if kept["crl"] is not None and crl_number <= int(kept["crl_number"]):
                raise AlreadyStored("a CRL of this number or a newer one is kept already")
            with acting(connection, act):
                connection.execute(sa.update(authorities).where(here).values(crl=crl, crl_number=str(crl_number)))

        self._database.write(step)

    def drop(self, authority_id: str, certificate: bytes, *, act: Act | None = None) -> None:
        """Recognise a certificate no longer, and forget its CRL; none there is no error."""
        statement = sa.delete(authorities).where(_here(authority_id, certificate))

        def step(connection: sa.Connection) -> None:
            with acting(connection, act):
                connection.execute(statement)

        self._database.write_by_key(step, repeatable=act is None)

    def all(self) -> Sequence[StoredAuthority]:
        """Return all certificates by authority and digest. One without a CRL has the number 0."""
        query = sa.select(authorities).order_by(authorities.c.authority_id, authorities.c.certificate_digest)
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [
            StoredAuthority(
                authority_id=row["authority_id"],
                certificate=row["certificate"],
                doctor_ids=tuple(row["doctor_ids"].split(_BETWEEN)) if row["doctor_ids"] else (),
                crl=row["crl"],
                crl_number=int(row["crl_number"]),
            )
            for row in rows
        ]


def _here(authority_id: str, certificate: bytes) -> sa.ColumnElement[bool]:
    return sa.and_(authorities.c.authority_id == authority_id, authorities.c.certificate_digest == _digest(certificate))


def _digest(certificate: bytes) -> bytes:
    return hashlib.sha256(certificate).digest()


class TrustChain:
    """The signed trust bundles of a federation by their sequence; a public cloud keeps all that it ever signed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, sequence: int, bundle: StoredStatement) -> None:
        """Keep a bundle. Raises AlreadyStored if one of its number, or a newer one, is there."""
        newer = sa.select(trust_bundles.c.sequence).where(trust_bundles.c.sequence > sequence).limit(1)

        def step(connection: sa.Connection) -> None:
            if connection.scalar(newer) is not None or not insert_if_absent(
                connection, trust_bundles, sequence=sequence, **vars(bundle)
            ):
                raise AlreadyStored("a trust bundle of this number or a newer one is kept already")

        self._database.write(step)

    def newest(self) -> tuple[int, StoredStatement] | None:
        """Return the bundle of the highest sequence, with it."""
        found = self._bundles(sa.select(trust_bundles).order_by(trust_bundles.c.sequence.desc()).limit(1))
        return found[0] if found else None

    def after(self, sequence: int, *, limit: int) -> Sequence[tuple[int, StoredStatement]]:
        """Return the bundles whose sequence is above, in order, at most `limit`."""
        query = sa.select(trust_bundles).where(trust_bundles.c.sequence > sequence)
        return self._bundles(query.order_by(trust_bundles.c.sequence).limit(limit))

    def _bundles(self, query: sa.Select[tuple[int, bytes, bytes]]) -> list[tuple[int, StoredStatement]]:
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [(row["sequence"], StoredStatement(row["statement"], row["signature"])) for row in rows]
