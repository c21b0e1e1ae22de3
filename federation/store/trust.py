"""The federation's signed trust bundles, in SQL."""

from collections.abc import Sequence

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import AlreadyStored
from federation.store.portable import insert_if_absent
from federation.store.rows import StoredStatement
from federation.store.schema import trust_bundles


class TrustChain:
    """`TrustChain`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, sequence: int, bundle: StoredStatement) -> None:
        """Keep a bundle. Raises AlreadyStored if one of its number, or a newer one, is there."""
        newer = sa.select(trust_bundles.c.sequence).where(trust_bundles.c.sequence > sequence).limit(1)

        def step(connection: sa.Connection) -> None:
            if connection.scalar(newer) is not None or not insert_if_absent(
                connection, trust_bundles, sequence=sequence, **vars(bundle)
            ):
                raise AlreadyStored("a trust bundle of this number or a newer one is kept already")

        self._database.write(step)

    def newest(self) -> tuple[int, StoredStatement] | None:
        """The bundle of the highest sequence, with it."""
        found = self._bundles(sa.select(trust_bundles).order_by(trust_bundles.c.sequence.desc()).limit(1))
        return found[0] if found else None

    def after(self, sequence: int, *, limit: int) -> Sequence[tuple[int, StoredStatement]]:
        """The bundles whose sequence is above, in order, at most `limit`."""
        query = sa.select(trust_bundles).where(trust_bundles.c.sequence > sequence)
        return self._bundles(query.order_by(trust_bundles.c.sequence).limit(limit))

    def _bundles(self, query: sa.Select[tuple[int, bytes, bytes]]) -> list[tuple[int, StoredStatement]]:
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [(row["sequence"], StoredStatement(row["statement"], row["signature"])) for row in rows]
