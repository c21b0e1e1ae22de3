"""What consent asks for: how sensitive a record is, who is on duty, who stands for whom; what is taken back, who read what."""

import sqlalchemy as sa
from alembic import op

from federation.store.migrations.tables import (
    allow_next_only,
    blob,
    create,
    index,
    integer,
    key,
    make_append_only,
    text,
)

revision = "0006"
down_revision = "0005"
# Code of before would give out what is secret, too (docs/adr/0006, rule 3).
compatible_from = "0006"


def upgrade() -> None:
    """Add what is new; a record on file is of normal sensitivity, for nobody said otherwise.

    Hospitals publish their rows of the index again: none of before says how sensitive its record is.
    """
    _log()
    _accesses()
    _index_and_revocations()
    _hospital()
    _restrictions()
    _witnessed()
    index("evidence", "kind", "at", "entry_id")


def _log() -> None:
    """Begin the log as a tree: the entries of before were a chain, and have no leaves."""
    op.drop_table("log")
    create(
        "log_waiting",
        key("at", sa.BigInteger),
        key("entry_id"),
        blob("leaf"),
        blob("sealed"),
        blob("patient_key", nullable=True),
        integer("generation", nullable=True),
    )
    create("log", key("sequence", sa.BigInteger), integer("at"), blob("entry_id"), blob("leaf"))
    index("log", "entry_id")
    create("log_entries", key("sequence", sa.BigInteger), blob("sealed"))
    create("log_nodes", key("level", sa.BigInteger), key("position", sa.BigInteger), blob("hash"))
    for table in ("log", "log_nodes"):
        make_append_only(table)
    allow_next_only("log", "sequence")
    create("log_state", key("name", sa.Text), integer("number"), integer("size"), integer("shredded"))
    op.execute("INSERT INTO log_state (name, number, size, shredded) VALUES ('log', 1, 0, 0)")
    head = key("number", sa.BigInteger), key("size", sa.BigInteger)
    create("log_heads", *head, blob("root"), integer("at"), blob("note"))
    head = key("number", sa.BigInteger), key("size", sa.BigInteger)
    create("log_cosignatures", *head, key("witness_id", sa.Text), blob("line"), integer("at"))
    head = key("number", sa.BigInteger), key("size", sa.BigInteger)
    create("log_time_stamps", *head, blob("note"), blob("key_statement"), blob("time_stamp"), integer("at"))
    for table in ("standings", "holds"):
        op.drop_column(table, "logged")
        op.add_column(table, sa.Column("logged", sa.LargeBinary, nullable=False, server_default=""))


def _accesses() -> None:
    create("accesses", key("patient_key"), key("sequence", sa.BigInteger), _generation())
    index("accesses", "sequence")
    for table, *more in (("budgets",), ("budget_patients", "patient_key")):
        create(
            table,
            key("who_key"),
            key("budget", sa.Text),
            key("begins_at", sa.BigInteger),
            *map(key, more),
            *([] if more else [sa.Column("spent", sa.BigInteger, nullable=False)]),
            integer("ends_at"),
        )
        index(table, "ends_at")


def _index_and_revocations() -> None:
    op.drop_table("index_rows")
    create(
        "index_rows",
        key("bucket", sa.Integer),
        key("row_key"),
        key("row_id"),
        blob("hospital_key"),
        blob("level"),
        blob("sealed"),
        _generation(),
    )
    index("index_rows", "bucket", "hospital_key")
    op.execute("DELETE FROM revocations WHERE kind = 'grant'")
    op.add_column("revocations", integer("before", nullable=True))
    op.add_column("revocations", _counted("revision"))
    op.add_column("revocations", integer("ended_at", nullable=True))
    index("revocations", "revision")
    index("revocations", "ended_at")
    op.add_column("revocation_version", _counted("entries"))
    op.add_column("revocation_version", _counted("forgotten"))
    op.execute("UPDATE revocation_version SET entries = (SELECT COUNT(*) FROM revocations)")
    create(
        "revocation_shards",
        key("prefix", sa.Integer),
        integer("sequence"),
        blob("entries"),
        blob("sweeps"),
        clustered=False,
    )
    index("revocation_shards", "sequence")
    op.add_column("authority_certificates", text("crl_url", nullable=True))


def _counted(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def _generation() -> sa.Column[int]:
    return sa.Column("generation", sa.BigInteger, nullable=False, server_default="1")


def _hospital() -> None:
    op.add_column("records", sa.Column("sensitivity", sa.Text, nullable=False, server_default="normal"))
    op.create_index("records_patient_class", "records", ["patient_key", "department_class", "sensitivity"])
    create("record_blobs", key("name", sa.Text))
    create(
        "shifts",
        key("shift_id"),
        text("doctor_id"),
        text("department_classes"),
        integer("not_before"),
        integer("not_after"),
        integer("ended_at", nullable=True),
        integer("told_at", nullable=True),
        blob("duty_statement", nullable=True),
        blob("duty_signature", nullable=True),
        clustered=False,
    )
    index("shifts", "doctor_id", "not_after")
    index("shifts", "not_after", "shift_id")
    create(
        "guardianships",
        key("guardianship_id"),
        blob("sealed"),
        integer("not_after"),
        integer("ended_at", nullable=True),
        integer("told_at", nullable=True),
        clustered=False,
    )
    index("guardianships", "not_after")
    create(
        "emergencies",
        key("emergency_digest"),
        blob("sealed"),
        integer("declared_at"),
        blob("logged"),
        sa.Column("accesses", sa.BigInteger, nullable=False),
        integer("reviewed_at", nullable=True),
        blob("sealed_review", nullable=True),
        clustered=False,
    )
    index("emergencies", "reviewed_at", "declared_at")


def _restrictions() -> None:
    create("restrictions", key("patient_key"), integer("number"), blob("sealed"), _generation(), clustered=False)
    create(
        "restriction_deliveries",
        key("patient_key"),
        key("hospital_id", sa.Text),
        integer("due", nullable=True),
        integer("handed_out_at"),
    )
    index("restriction_deliveries", "hospital_id", "due")


def _witnessed() -> None:
    create(
        "witnessed",
        key("node_id", sa.Text),
        text("origin"),
        integer("size"),
        blob("root"),
        blob("note"),
        blob("key_statement"),
        integer("at"),
        clustered=False,
    )
    create("followed_logs", key("node_id", sa.Text), text("origin"), integer("size"), integer("at"), clustered=False)
    create(
        "log_findings",
        key("finding_id"),
        text("node_id"),
        text("kind"),
        blob("held_note"),
        blob("held_key_statement"),
        blob("shown_note"),
        blob("shown_key_statement"),
        integer("at"),
        integer("settled_at", nullable=True),
        clustered=False,
    )
    index("log_findings", "at", "finding_id")
