"""What rotation needs: generations in what a key names, when a credential began, renewals, authorities that stand twice."""

import hashlib

import sqlalchemy as sa
from alembic import op

from federation.store.migrations.tables import blob, create, integer, key, text

revision = "0004"
down_revision = "0003"
compatible_from = "0004"


def upgrade() -> None:
    """Add the columns, with defaults: a server of the release before may still write beside this one's."""
    for table in ("index_rows", "records"):
        op.add_column(table, sa.Column("generation", sa.BigInteger, nullable=False, server_default="1"))
    _registrations()
    _authorities()
    create("trust_bundles", key("sequence", sa.BigInteger), blob("statement"), blob("signature"), clustered=False)


def _registrations() -> None:
    """Date every credential from when its serial was reserved."""
    op.add_column("registrations", sa.Column("not_before", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(
        "UPDATE registrations SET not_before = (SELECT at FROM issuances WHERE issuances.serial = registrations.serial)"
    )
    create("superseded", key("identity", sa.Text), key("serial"), integer("not_after"))


def _authorities() -> None:
    """Keep the same under another key, for nobody until an operator says for whom: SQLite could not change it in place."""
    columns = ("authority_id", "certificate", "crl", "crl_number")
    create(
        "authority_certificates",
        key("authority_id", sa.Text),
        key("certificate_digest"),
        blob("certificate"),
        text("doctor_ids"),
        blob("crl", nullable=True),
        text("crl_number"),
        clustered=False,
    )
    old = sa.table("authorities", *map(sa.column, columns))
    new = sa.table(
        "authority_certificates", sa.column("certificate_digest"), sa.column("doctor_ids"), *map(sa.column, columns)
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(old)).mappings().all():
        digest = hashlib.sha256(row["certificate"]).digest()
        connection.execute(sa.insert(new).values(certificate_digest=digest, doctor_ids="", **row))
    op.drop_table("authorities")
