"""How SQLite goes about the statements of a search: by the key of the table, however many rows it has."""

from pathlib import Path

import pytest

from federation.store import index
from federation.store.database import Database, open_database
from federation.store.rows import Unwanted, Wanted

KEY, LEVEL = bytes(32), bytes(8)
PLAIN = Wanted(1, [KEY], [LEVEL])
NARROW = Wanted(2, [KEY, b"k" * 32], [LEVEL], hospital_keys=[KEY], but=[Unwanted(KEY, KEY, [KEY]), Unwanted()])


@pytest.fixture
def database(tmp_path: Path):
    with open_database(f"sqlite:///{tmp_path / 'store.sqlite'}") as opened:
        yield opened


def plan_of(database: Database, prepared: index.Prepared) -> list[str]:
    """Return the steps of a statement that touch the table."""

    def explained(connection):
        composed = prepared._of(connection)
        steps = connection.connection.driver_connection.execute(
            f"EXPLAIN QUERY PLAN {composed.words}", [None] * len(composed.order)
        )
        return [step[3] for step in steps if "index_rows" in step[3]]

    return database.look(explained)


@pytest.mark.parametrize("wanted", [[PLAIN], [NARROW], [PLAIN, NARROW]], ids=["plain", "narrow", "two generations"])
@pytest.mark.parametrize("which", ["page", "next page", "first of each", "older"])
def test_search_goes_by_the_key(database: Database, wanted: list[Wanted], which: str) -> None:
    shapes = index._shapes(wanted)
    prepared = {
        "page": lambda: index._page_of(shapes, 64, is_first=True),
        "next page": lambda: index._page_of(shapes, 64, is_first=False),
        "first of each": lambda: index._first_of_each(shapes),
        "older": lambda: index._older_of(shapes),
    }[which]()
    steps = plan_of(database, prepared)
    assert steps
    assert not [step for step in steps if step.startswith("SCAN")], steps
