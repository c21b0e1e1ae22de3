"""docs/findings.md is true: every finding has a row, and every test and every file that a row names exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" | ")]
    for line in (ROOT / "docs" / "findings.md").read_text().splitlines()
    if re.match(r"\| [XABCDEF]\d", line)
]
COUNTS = {"X": 15, "A": 10, "B": 16, "C": 10, "D": 4, "E": 12, "F": 8}
TESTS = sorted({name for row in ROWS for name in re.findall(r"`(\S+::\w+)`", row[3])})
FILES = sorted({name for row in ROWS for name in re.findall(r"`([\w/.-]+/[\w.-]*)`", row[2])})


@cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_finding_has_one_row_and_a_test():
    expected = [f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)]
    assert [row[0].split()[0] for row in ROWS] == expected
    assert all(len(row) == 4 and "`" in row[3] for row in ROWS)


@pytest.mark.parametrize("name", TESTS)
def test_a_test_that_the_table_names_exists(name):
    path, function = name.split("::")
    assert function in functions_of(path)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_the_table_names_exists(name):
    assert (ROOT / name).exists()


def test_every_critical_and_high_finding_is_attacked_by_name():
    grave = [row for row in ROWS if re.search(r"\((C|H)\)", row[0])]
    assert len(grave) == 32
    for row in grave:
        finding = row[0].split()[0].lower()
        assert f"::test_{finding}_" in row[3]
