"""The assurance case names functions and tests that are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    line.strip("| ").split(" | ")
    for line in (ROOT / "docs" / "assurance.md").read_text().splitlines()
    if line.startswith("|") and "`" in line
]
NAMED = sorted({name for row in ROWS for name in re.findall(r"`([\w/]+\.py::\w+)`", " ".join(row))})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_claim_has_an_argument_and_tests_both_ways(row: list[str]) -> None:
    _, argument, accepts, refuses = row
    assert re.fullmatch(r"`(hsm|keystore|federation)/[\w/]+\.py::\w+`", argument)
    assert re.fullmatch(r"`tests/[\w/]+\.py::test_\w+`", accepts)
    assert re.fullmatch(r"`tests/[\w/]+\.py::test_\w+`", refuses)
    assert accepts != refuses


@pytest.mark.parametrize("name", NAMED)
def test_what_the_assurance_case_names_is_there(name: str) -> None:
    path, _, function = name.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
