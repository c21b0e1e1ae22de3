"""What every party keeps: replay memory, settings, epochs, log, evidence."""

import sqlalchemy as sa

from federation.store.migrations.tables import (
    allow_next_only,
    blob,
    create,
    index,
    integer,
    key,
    make_append_only,
    prepare_append_only,
    text,
)

revision = "0001"
down_revision = None
compatible_from = "0001"


def upgrade() -> None:
    """Create the tables; the log takes appends alone."""
    create("replay", key("key"), integer("until"))
    index("replay", "until")
    create("settings", key("name", sa.Text), integer("sequence", nullable=True), blob("value"), clustered=False)
    create(
        "epochs",
        key("key_id"),
        text("token_label"),
        blob("sealed_seed"),
        blob("statement"),
        blob("signature"),
        integer("not_after"),
        clustered=False,
    )
    create("log", key("sequence", sa.BigInteger), integer("at"), blob("sealed"), blob("digest"))
    prepare_append_only()
    make_append_only("log")
    allow_next_only("log", "sequence")
    create(
        "evidence",
        key("entry_id"),
        text("kind"),
        blob("reference"),
        blob("sealed"),
        integer("at"),
        clustered=False,
    )
    index("evidence", "at", "entry_id")
