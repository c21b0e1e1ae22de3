"""Bringing a database to the schema of this code, and working on one that a newer release has expanded.

Every migration says by `compatible_from` the oldest revision whose code works beside it; where one says nothing, that is its own.
The database keeps the newest one's word, so that a release which does not know that migration knows whether it may serve: old and
new processes stand side by side while an upgrade rolls (docs/adr/0006).
"""

import threading
from functools import cache

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory

from federation.store.errors import StoreUnavailable
from federation.store.schema import settings

COMPATIBLE_FROM = "schema-compatible-from"
"""The name of the setting that holds the oldest revision whose code may use the schema."""

# Alembic keeps the migration that runs in module globals: one at a time in a process.
_alembic = threading.Lock()


def upgrade(connection: sa.Connection, *, revision: str = "head") -> None:
    """Apply the migrations that are missing, inside the connection's transaction.

    The caller sees to it that of several processes that do the same, one does it. A database that a newer release has only added
    to is left as it is. Raises StoreUnavailable for one that this code might damage.
    """
    config = _config()
    config.attributes["connection"] = connection
    with _alembic:
        scripts = _scripts()
        present, known = present_and_known(connection)
        if not present <= known:
            require_compatible(connection)
        elif present != set(scripts.get_heads()):
            command.upgrade(config, revision)
            _keep_compatibility(connection, scripts.get_revision(revision))


def present_and_known(connection: sa.Connection) -> tuple[set[str], set[str]]:
    """Return the revision that a database has, none if it is empty, and those that this code knows."""
    known = {script.revision for script in _scripts().walk_revisions()}
    return set(MigrationContext.configure(connection).get_current_heads()), known


def compatible_from(script: Script) -> str:
    """Return the oldest revision whose code works on the schema that this migration leaves."""
    return str(getattr(script.module, "compatible_from", script.revision))


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "federation.store:migrations")
    config.set_main_option("path_separator", "os")
    return config


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _keep_compatibility(connection: sa.Connection, script: Script) -> None:
    oldest = compatible_from(script)
    connection.execute(sa.delete(settings).where(settings.c.name == COMPATIBLE_FROM))
    connection.execute(sa.insert(settings).values(name=COMPATIBLE_FROM, value=oldest.encode()))


def require_compatible(connection: sa.Connection) -> None:
    """Require a schema that a newer release has made to be one that this code may use. Raises StoreUnavailable."""
    # Revisions are numbers of four digits, so their order is that of their names.
    ours = str(_scripts().get_current_head())
    kept = connection.scalar(sa.select(settings.c.value).where(settings.c.name == COMPATIBLE_FROM))
    if kept is None or ours < kept.decode():
        raise StoreUnavailable(
            f"the database was changed by a newer release of medunion, and this one, of schema {ours}, can't work beside it:"
            " upgrade this one"
        )
