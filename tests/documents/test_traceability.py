"""docs/traceability.md is true: 50 equations and what goes beyond them, each with a function and a test that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "traceability.md"
ROW = re.compile(r"^\| (\d+|-) \| .+? \| `([^`]+)`.*? \| `([^`]+)` \|$", re.MULTILINE)


def _names(path: Path) -> set[str]:
    """Give the functions and methods of a file, methods as Class.method."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found.update(f"{node.name}.{child.name}" for child in node.body if isinstance(child, ast.FunctionDef))
    return found


def test_every_equation_of_the_paper_is_there_once() -> None:
    numbers = [int(row[0]) for row in ROW.findall(PAGE.read_text()) if row[0] != "-"]
    assert numbers == list(range(1, 51))


def test_every_function_that_carries_an_equation_exists() -> None:
    for _, function, _ in ROW.findall(PAGE.read_text()):
        path, _, name = function.partition("::")
        assert name in _names(ROOT / path), f"{function} is gone"


def test_every_test_that_is_named_exists() -> None:
    for _, _, test in ROW.findall(PAGE.read_text()):
        path, _, name = test.partition("::")
        assert (ROOT / path).is_file(), f"{path} is gone"
        assert not name or name in _names(ROOT / path), f"{test} is gone"
