"""What the public cloud keeps: registrations and their issuance log, the blind index, revocations, authorities."""

import sqlalchemy as sa

from federation.store.migrations.tables import blob, create, index, integer, key, make_append_only, text

revision = "0002"
down_revision = "0001"
compatible_from = "0001"


def upgrade() -> None:
    """Create the tables; the issuance log takes appends alone."""
    _admission()
    _issuance()
    _registrations()
    create("index_rows", key("bucket", sa.Integer), key("row_key"), key("row_id"), blob("hospital_key"), blob("sealed"))
    index("index_rows", "bucket", "hospital_key")
    create("revocations", key("digest"), key("kind", sa.Text), integer("expires_at"), integer("at"))
    index("revocations", "expires_at")
    create("revocation_version", key("book", sa.Text), integer("version"))
    create(
        "authorities",
        key("authority_id", sa.Text),
        blob("certificate"),
        blob("crl", nullable=True),
        text("crl_number"),
        clustered=False,
    )


def _admission() -> None:
    create("tickets", key("digest"), text("role"), text("identity"), integer("expires_at"), text("issued_by"))
    index("tickets", "expires_at")
    create("answers", key("request_digest"), blob("answer"), integer("until"), clustered=False)
    index("answers", "until")


def _issuance() -> None:
    create("issuances", key("serial"), text("role"), text("identity"), blob("credential"), integer("at"))
    index("issuances", "at", "serial")
    create(
        "issued_points",
        sa.Column("serial", sa.LargeBinary, sa.ForeignKey("issuances.serial"), primary_key=True),
        blob("registration_point"),
        integer("at"),
    )
    create("issued_nonces", key("registration_point"), blob("serial"))
    create("stopped_issuers", key("public_key"), blob("serial"), integer("at"))
    create("reservations", key("identity", sa.Text), blob("serial"), integer("until"))
    for table in ("issuances", "issued_points", "issued_nonces", "stopped_issuers"):
        make_append_only(table)


def _registrations() -> None:
    create(
        "registrations",
        key("identity", sa.Text),
        text("role"),
        blob("serial"),
        blob("credential"),
        blob("registration_point"),
        blob("verifying_key"),
        blob("key_statement"),
        blob("key_signature"),
        blob("encryption_statement"),
        blob("encryption_signature"),
        blob("sealed_shared_key"),
        integer("not_after"),
        text("address", nullable=True),
        clustered=False,
    )
