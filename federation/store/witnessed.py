"""What a server keeps of others' logs: the newest head of each, and heads that contradict each other.

A head is public and signed, so that it lies here in clear. The row of a log only goes forward, by comparing and setting: of two
processes that look at once, or of one that was cut off, none cosigns a fork of what the other kept.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.portable import insert_if_absent, replaced
from federation.store.schema import log_findings, witnessed

DOUBTED = 0
"""The time of a head that was restored from a backup: newer ones may have been cosigned since."""


@dataclass(frozen=True)
class WitnessedHead:
    """The newest head of a node's log that is kept here, as its node signed it; `key_statement` is empty for the cloud's."""

    node_id: str
    origin: str
    size: int
    root: bytes
    note: bytes
    key_statement: bytes
    at: int

    @property
    def is_doubted(self) -> bool:
        """Return whether newer heads may have been cosigned here than this one."""
        return self.at == DOUBTED


class Witnessed:
    """The heads of others' logs, one a node."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, node_id: str) -> WitnessedHead | None:
        """Return the newest head of a node's log."""
        query = sa.select(witnessed).where(witnessed.c.node_id == node_id)
        row = self._database.look(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else WitnessedHead(**row)

    def all(self) -> Sequence[WitnessedHead]:
        """Return every node's, by its name."""
        query = sa.select(witnessed).order_by(witnessed.c.node_id)
        rows = self._database.look(lambda connection: connection.execute(query).mappings().all())
        return [WitnessedHead(**row) for row in rows]

    def advance(self, head: WitnessedHead, held: WitnessedHead | None) -> bool:
        """Keep a head in place of the one that it was compared with, and say whether that one was there still."""
        if held is None:
            values = asdict(head)
            return self._database.write_by_key(lambda connection: insert_if_absent(connection, witnessed, **values))
        here = (
            witnessed.c.node_id == held.node_id,
            witnessed.c.origin == held.origin,
            witnessed.c.size == held.size,
            witnessed.c.root == held.root,
        )
        return replaced(self._database, sa.update(witnessed).where(*here).values(**asdict(head)))

    def doubt(self) -> None:
        """Doubt every head, as in a database that was put back: nothing is cosigned before its log has been looked at."""
        doubted = sa.update(witnessed).values(at=DOUBTED)
        self._database.write_by_key(lambda connection: connection.execute(doubted), repeatable=True)


@dataclass(frozen=True)
class LogFinding:
    """Two heads of one node's log that can't both be honest: the one that was held, and the one that was shown.

    `settled_at` is when an operator has seen to it.
    """

    node_id: str
    kind: str
    held_note: bytes
    held_key_statement: bytes
    shown_note: bytes
    shown_key_statement: bytes
    at: int
    settled_at: int | None = None

    @property
    def finding_id(self) -> bytes:
        """Return the 16 bytes by which it is kept: the same two heads are one finding, however often they are met."""
        parts = (self.kind.encode(), self.held_note, self.shown_note)
        return hashlib.sha256(b"".join(len(it).to_bytes(4, "big") + it for it in parts)).digest()[:16]


class LogFindings:
    """What was found of others' logs, and of the own one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, finding: LogFinding) -> bool:
        """Keep a finding unless it is there, and say whether it is new."""
        values = asdict(finding) | {"finding_id": finding.finding_id}
        return self._database.write_by_key(
            lambda connection: insert_if_absent(connection, log_findings, **values), repeatable=True
        )

    def all(self) -> Sequence[LogFinding]:
        """Return every finding, the oldest first."""
        query = sa.select(log_findings).order_by(log_findings.c.at, log_findings.c.finding_id)
        rows = self._database.look(lambda connection: connection.execute(query).mappings().all())
        return [_finding(row) for row in rows]

    def settle(self, finding_id: bytes, *, at: int) -> bool:
        """Note that an operator has seen to a finding; say whether it was open. It stays as evidence."""
        here = (log_findings.c.finding_id == finding_id, log_findings.c.settled_at.is_(None))
        return replaced(self._database, sa.update(log_findings).where(*here).values(settled_at=at))

    def open_by_kind(self) -> dict[str, int]:
        """Count the findings that nobody has seen to, by kind."""
        query = (
            sa.select(log_findings.c.kind, sa.func.count())
            .where(log_findings.c.settled_at.is_(None))
            .group_by(log_findings.c.kind)
        )
        rows = self._database.look(lambda connection: connection.execute(query).all())
        return {row[0]: row[1] for row in rows}


def _finding(row: Any) -> LogFinding:  # noqa: ANN401 - a row of the table
    return LogFinding(**{name: value for name, value in row.items() if name != "finding_id"})
