"""The medical authorities of the federation, in SQL."""

from collections.abc import Sequence

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import AlreadyStored, NotStored
from federation.store.interfaces import StoredAuthority
from federation.store.portable import upsert
from federation.store.schema import authorities


class SqlAuthorities:
    """`Authorities`. A CRL number has up to 20 octets (RFC 5280, section 5.2.3), which no BIGINT holds: it is kept as text."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, authority_id: str, certificate: bytes) -> None:
        """Recognise an authority. Another certificate than the kept one replaces it, and the CRL goes: its signer is another."""

        def step(connection: sa.Connection) -> None:
            kept = _find(connection, authority_id)
            if kept is None or kept.certificate != certificate:
                upsert(
                    connection,
                    authorities,
                    authority_id=authority_id,
                    certificate=certificate,
                    crl=None,
                    crl_number="0",
                )

        self._database.write(step)

    def put_crl(self, authority_id: str, crl: bytes, crl_number: int) -> None:
        """Keep a newer CRL. Raises NotStored for an unknown authority, AlreadyStored for a CRL number not above the kept one."""

        def step(connection: sa.Connection) -> None:
            kept = _find(connection, authority_id)
            if kept is None:
                raise NotStored("this authority is not recognised")
            if kept.crl is not None and crl_number <= kept.crl_number:
                raise AlreadyStored("a CRL of this number or a newer one is kept already")
            statement = sa.update(authorities).where(authorities.c.authority_id == authority_id)
            connection.execute(statement.values(crl=crl, crl_number=str(crl_number)))

        self._database.write(step)

    def all(self) -> Sequence[StoredAuthority]:
        """All authorities by id. One without a CRL has the number 0."""
        query = sa.select(authorities).order_by(authorities.c.authority_id)
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [_authority(row) for row in rows]


def _find(connection: sa.Connection, authority_id: str) -> StoredAuthority | None:
    query = sa.select(authorities).where(authorities.c.authority_id == authority_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else _authority(row)


def _authority(row: sa.RowMapping) -> StoredAuthority:
    return StoredAuthority(row["authority_id"], row["certificate"], row["crl"], int(row["crl_number"]))
