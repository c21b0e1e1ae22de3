"""What retention needs: until when a record is kept, where it stands, what holds it, which blobs are still to go."""

import sqlalchemy as sa
from alembic import op

from federation.store.migrations.columns import create, index, integer, key, text

revision = "0005"
down_revision = "0004"
compatible_from = "0004"


def upgrade() -> None:
    """Add the column, without a value: a server of the release before may still write beside this one's."""
    op.add_column("records", sa.Column("keep_until", sa.BigInteger, nullable=True))
    index("records", "keep_until", "handle")
    create("standings", key("handle"), text("standing"), integer("changed_at"), integer("logged"))
    create("holds", key("handle"), key("hold_id"), integer("placed_at"), integer("logged"))
    create("condemned_blobs", key("name", sa.Text), integer("condemned_at"))
