"""No reason without a test: every error that protocol code raises is expected, by name, by some test beside this one."""

import ast
import re
from pathlib import Path

import pytest

from federation import errors

ROOT = Path(__file__).parents[3]
SOURCES = [
    *sorted((ROOT / "federation" / "protocol").glob("*.py")),
    ROOT / "federation/party/member.py",
    ROOT / "federation/party/epochs.py",
]
HERE = Path(__file__).parent
ATTACKS = Path(__file__).parents[2] / "attacks"
HOW_A_TEST_EXPECTS = re.compile(r"(?:refused|rejected|raises)\(\(?([A-Z]\w+)")
FAMILIES = {"FederationError", "Authentication", "Authorization", "NotFound", "Conflict", "Unavailable"}


def names_of_errors() -> set[str]:
    return {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.FederationError)
    }


def raised_by_protocol_code() -> set[str]:
    """Give every error class that is called, or looked up for a raise, in protocol code."""
    known, found = names_of_errors(), set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Raise) and node.exc is not None:
                found |= {part.id for part in ast.walk(node.exc) if isinstance(part, ast.Name) and part.id in known}
            if isinstance(node, ast.Dict):
                found |= {value.id for value in node.values if isinstance(value, ast.Name) and value.id in known}
    return found - FAMILIES


def expected_by_tests() -> set[str]:
    found: set[str] = set()
    for test in (*HERE.rglob("test_*.py"), *ATTACKS.rglob("test_*.py")):
        found |= set(HOW_A_TEST_EXPECTS.findall(test.read_text()))
        found |= parametrized(test)
    return found


def parametrized(test: Path) -> set[str]:
    """Give the errors that a parametrize list names."""
    known, found = names_of_errors(), set()
    for node in ast.walk(ast.parse(test.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.parametrize":
            found |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and part.id in known}
    return found


@pytest.mark.parametrize("name", sorted(raised_by_protocol_code()))
def test_a_reason_that_protocol_code_raises_is_expected_by_a_test(name):
    assert name in expected_by_tests()


def test_reasons_are_one_vocabulary():
    """A reason names one class, and is UPPER_SNAKE."""
    reasons = [getattr(errors, name).reason for name in names_of_errors()]
    assert len(reasons) == len(set(reasons))
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", reason) for reason in reasons)
