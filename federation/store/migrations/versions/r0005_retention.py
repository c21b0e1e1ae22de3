"""What retention needs: until when a record is kept, where it stands, what holds it, which blobs are still to go."""

import sqlalchemy as sa
from alembic import op

from federation.store.migrations.tables import create, index, integer, key, text

revision = "0005"
down_revision = "0004"
# It only adds; but code of before would go on giving out a record that is withdrawn (docs/adr/0006, rule 3).
compatible_from = "0005"


def upgrade() -> None:
    """Add the column, without a value: nobody said of the records that are there until when they are kept."""
    op.add_column("records", sa.Column("keep_until", sa.BigInteger, nullable=True))
    index("records", "keep_until", "handle")
    create("standings", key("handle"), text("standing"), integer("changed_at"), integer("logged"))
    create("holds", key("handle"), key("hold_id"), integer("placed_at"), integer("logged"))
    create("condemned_blobs", key("name", sa.Text), integer("condemned_at"))
