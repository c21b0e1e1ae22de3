"""What a hospital keeps: records with their outbox, and the relay's rooms."""

import sqlalchemy as sa

from federation.store.migrations.tables import blob, create, index, integer, key, text

revision = "0003"
down_revision = "0002"
compatible_from = "0001"


def upgrade() -> None:
    """Create the tables."""
    create(
        "records",
        key("handle"),
        key("version", sa.BigInteger),
        blob("patient_key"),
        text("department_id"),
        text("department_class"),
        integer("stored_at"),
        blob("wrapped_key"),
        blob("sealed_parts"),
        clustered=False,
    )
    index("records", "patient_key", "handle")
    create("deposit_answers", key("deposit_digest"), blob("answer"), clustered=False)
    create("outbox", key("entry_id"), blob("sealed"), integer("attempts"), integer("not_before"), clustered=False)
    index("outbox", "not_before")
    _relay()


def _relay() -> None:
    create(
        "rooms",
        key("room_id"),
        text("doctor_id"),
        blob("key_statement"),
        blob("key_signature"),
        blob("doctor_certificate"),
        blob("encryption_statement"),
        blob("encryption_signature"),
        integer("expires_at"),
        integer("held_bytes"),
        clustered=False,
    )
    index("rooms", "expires_at")
    index("rooms", "doctor_id")
    create(
        "frames",
        sa.Column("room_id", sa.LargeBinary, sa.ForeignKey("rooms.room_id", ondelete="CASCADE"), primary_key=True),
        key("direction", sa.BigInteger),
        key("number", sa.BigInteger),
        blob("frame"),
        clustered=False,
    )
