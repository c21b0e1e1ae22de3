"""What consent asks of a hospital: how sensitive a record is, who is on duty, who stands for whom."""

import sqlalchemy as sa
from alembic import op

from federation.store.migrations.tables import blob, create, index, integer, key, text

revision = "0006"
down_revision = "0005"
# It only adds; but code of before would give out what is secret (docs/adr/0006, rule 3).
compatible_from = "0006"


def upgrade() -> None:
    """Add the column and the tables; what is on file is of normal sensitivity, for nobody said otherwise."""
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
