"""docs/consent.md: every article and template is met by rows of the decision table, and every row that it names is there."""

import re

import pytest

from tests.decision_table import Row, rows
from tests.documents.conftest import ROOT

PAGE = (ROOT / "docs" / "consent.md").read_text()
MAPPED = re.compile(r"^\| (?P<source>(?:EHDS|EPD|ePA)-[\w-]+): [^|]+ \| [^|]+ \| (?P<rows>[^|]+) \|$", re.MULTILINE)
ROWS = {row.name: row for row in rows()}
SOURCES = [
    *(f"EHDS-{number}" for number in range(3, 12)),
    *(f"EPD-{number}" for number in (201, 202, 203, 301, 302, 303, 304)),
    *sorted({row.source for row in ROWS.values() if row.source.startswith("ePA-")}),
]


def mapped() -> dict[str, list[str]]:
    return {found["source"]: re.findall(r"`([^`]+)`", found["rows"]) for found in MAPPED.finditer(PAGE)}


def test_every_article_template_and_rule_is_mapped_once_in_order() -> None:
    found = [found["source"] for found in MAPPED.finditer(PAGE)]
    assert found[:16] == SOURCES[:16]
    assert sorted(found[16:]) == SOURCES[16:]


@pytest.mark.parametrize("source", SOURCES)
def test_rows_of_a_source_exist_and_some_are_named_after_it(source: str) -> None:
    named = mapped()[source]
    assert [name for name in named if name not in ROWS] == []
    assert sum(ROWS[name].source == source for name in named) >= 2


def test_what_is_mapped_is_both_allowed_and_refused() -> None:
    def expected(source: str) -> set[bool]:
        return {is_allowed(ROWS[name]) for name in mapped()[source]}

    assert {source for source in SOURCES if expected(source) != {True, False}} == set()


def is_allowed(row: Row) -> bool:
    """Return whether it ends well for who asks: "not-on-file" does not."""
    return row.expect in {"consent", "own", "deputy", "emergency"}
