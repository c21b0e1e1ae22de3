"""What consent asks for: how sensitive a record is, who is on duty, who stands for whom; what is taken back, who read what."""

import sqlalchemy as sa
from alembic import op

from federation.store.migrations.tables import blob, create, index, integer, key, text

revision = "0006"
down_revision = "0005"
# Code of before would give out what is secret, too (docs/adr/0006, rule 3).
compatible_from = "0006"


def upgrade() -> None:
    """Add what is new; a record on file is of normal sensitivity, for nobody said otherwise.

    Hospitals publish their rows of the index again: none of before says how sensitive its record is.
    """
    _accesses()
    _index_and_revocations()
    _hospital()
    _restrictions()


def _accesses() -> None:
    create("accesses", key("patient_key"), key("sequence", sa.BigInteger), _generation())
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


def _generation() -> sa.Column[int]:
    return sa.Column("generation", sa.BigInteger, nullable=False, server_default="1")


def _hospital() -> None:
    op.add_column("records", sa.Column("sensitivity", sa.Text, nullable=False, server_default="normal"))
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
        integer("logged"),
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
