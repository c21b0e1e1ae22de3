"""The time stamps over heads of the own log: a few bytes each hour, kept as long as the log."""

from dataclasses import asdict

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.portable import insert_if_absent
from federation.store.rows import StoredTimeStamp
from federation.store.schema import log_time_stamps

_C = log_time_stamps.c


class TimeStamps:
    """Time stamps by the log's number and the size of the head that was stamped."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, stamp: StoredTimeStamp) -> bool:
        """Keep a stamp, and say whether it is new: the first of a head stays."""
        values = asdict(stamp)
        return self._database.write_by_key(lambda connection: insert_if_absent(connection, log_time_stamps, **values))

    def newest(self) -> StoredTimeStamp | None:
        """Return the stamp over the newest head that has one."""
        return self._first(sa.select(log_time_stamps).order_by(_C.number.desc(), _C.size.desc()))

    def covering(self, number: int, size: int) -> StoredTimeStamp | None:
        """Return the first stamp over a head of this log that has at least so many leaves."""
        return self._first(sa.select(log_time_stamps).where(_C.number == number, _C.size >= size).order_by(_C.size))

    def _first(self, query: "sa.Select[tuple[object, ...]]") -> StoredTimeStamp | None:
        row = self._database.look(lambda connection: connection.execute(query.limit(1)).mappings().first())
        return None if row is None else StoredTimeStamp(**row)
