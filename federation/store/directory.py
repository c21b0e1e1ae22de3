"""What the public cloud publishes in its directory beside revocations: medical authorities with their CRLs, trust bundles."""

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import AlreadyStored, NotStored
from federation.store.log import acting
from federation.store.portable import insert_if_absent
from federation.store.rows import Act, StoredAuthority, StoredStatement
from federation.store.schema import authorities, trust_bundles

_BETWEEN = " "
"""No ID has one in it."""


class Authorities:
    """The medical authorities of the federation. One stands twice while its key is rotated: each certificate has its CRL.

    A CRL number has up to 20 octets (RFC 5280, section 5.2.3), which no BIGINT holds: it is kept as text.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        authority_id: str,
        certificate: bytes,
        doctor_ids: tuple[str, ...],
        *,
        crl_url: str | None = None,
        act: Act | None = None,
    ) -> None:
        """Recognise a certificate of an authority for these doctors; one that is there has this scope, and keeps its CRL.

        It keeps its URL, too, unless another is given; the empty one is none.
        """
        scope = {"doctor_ids": _BETWEEN.join(doctor_ids)}
        if crl_url is not None:
            scope["crl_url"] = crl_url
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
        rows = self._database.look(lambda connection: connection.execute(query).mappings().all())
        return [
            StoredAuthority(
                authority_id=row["authority_id"],
                certificate=row["certificate"],
                doctor_ids=tuple(row["doctor_ids"].split(_BETWEEN)) if row["doctor_ids"] else (),
                crl=row["crl"],
                crl_number=int(row["crl_number"]),
                crl_url=row["crl_url"] or None,
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

    def put(self, sequence: int, bundle: StoredStatement, *, act: Act | None = None) -> None:
        """Keep a bundle. Raises AlreadyStored if one of its number, or a newer one, is there."""
        newer = sa.select(trust_bundles.c.sequence).where(trust_bundles.c.sequence > sequence).limit(1)

        def step(connection: sa.Connection) -> None:
            with acting(connection, act):
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
        rows = self._database.look(lambda connection: connection.execute(query).mappings().all())
        return [(row["sequence"], StoredStatement(row["statement"], row["signature"])) for row in rows]
