"""Which migrations a database has, told without Alembic: most programs find all of them, and need not read it for that."""

from functools import cache
from importlib import resources

import sqlalchemy as sa


def is_current(connection: sa.Connection) -> bool:
    """Say whether the database has every migration of this code, and none that it does not know."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return False
    return list(connection.scalars(sa.text("SELECT version_num FROM alembic_version"))) == [_newest()]


@cache
def _newest() -> str:
    """Each migration is a file named after its revision, and they are numbered: r0005_retention.py is "0005"."""
    files = resources.files("federation.store.migrations").joinpath("versions").iterdir()
    return max(file.name for file in files if file.name.startswith("r0"))[1:5]
