"""How SQLite goes about evidence of a kind: by its index, in the order in which it is told, whatever else a node holds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from federation.store.database import Database, open_database
from federation.store.party import Evidence


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path / 'store.sqlite'}") as opened:
        yield opened


def plans(database: Database, kind: str | None) -> list[str]:
    """Read evidence, and return the steps of every statement that did."""
    said: list[tuple[str, Any]] = []

    def heard(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            said.append((statement, parameters))

    sa.event.listen(database.engine, "before_cursor_execute", heard)
    assert list(Evidence(database).all(kind)) == []
    sa.event.remove(database.engine, "before_cursor_execute", heard)
    with database.engine.connect() as connection:
        explained = (connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", given) for words, given in said)
        return [step[3] for steps in explained for step in steps]


def test_evidence_of_a_kind_is_found_by_the_kind_and_not_sorted(database: Database) -> None:
    (step,) = plans(database, "grant")
    assert step.startswith("SEARCH")
    assert "evidence_kind (kind=?" in step


def test_all_evidence_is_read_in_its_order(database: Database) -> None:
    (step,) = plans(database, None)
    assert "evidence_at" in step
