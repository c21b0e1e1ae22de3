"""Bringing a database to the schema of this code."""

import threading

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from federation.store.errors import StoreUnavailable

# Alembic keeps the migration that runs in module globals: one at a time in a process.
_alembic = threading.Lock()


def upgrade(connection: sa.Connection, *, revision: str = "head") -> None:
    """Apply the migrations that are missing, inside the connection's transaction.

    The caller sees to it that of several processes that do the same, one does it. Raises StoreUnavailable for a database that was
    written by a newer release, which this one might damage.
    """
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "federation.store:migrations")
    config.set_main_option("path_separator", "os")
    with _alembic:
        scripts = ScriptDirectory.from_config(config)
        present = set(MigrationContext.configure(connection).get_current_heads())
        if not present <= {script.revision for script in scripts.walk_revisions()}:
            raise StoreUnavailable("the database was written by a newer release of medunion: upgrade this one first")
        if present != set(scripts.get_heads()):
            command.upgrade(config, revision)
