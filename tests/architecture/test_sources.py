"""What every source file of the distribution keeps to."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("federation", "keystore", "hsm")
GENERATED = ROOT / "federation" / "v1"
MODULES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if GENERATED not in path.parents
)
TEXTS = sorted(
    path
    for folder in (*PACKAGES, "protos", "ci", "docs")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and path.suffix not in {".gz", ".pyc", ".png"}
)
FRONT = [
    path for path in ROOT.iterdir() if path.suffix in {".md", ".toml", ".yaml"} or path.name in {"LICENSE", "NOTICE"}
]
MOST_LINES = 400
# Put together here, so that this file does not find itself.
MACHINE = re.compile(
    "|".join(
        (r"(?<![\w.])/" + "work" + r"\b", "/" + r"root\b", r"\b" + "shared" + "/", "/home/" + r"\w", "/" + r"tmp\b")
    )
)
PROTOCOL = ROOT / "federation" / "protocol"
CLOCKS = {"now", "utcnow", "today"}


def name_of(path: Path) -> str:
    """Give a path as it reads in the repository."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_says_what_it_is(path: Path) -> None:
    source = path.read_text()
    assert not source.strip() or ast.get_docstring(ast.parse(source))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_short_enough_to_be_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_no_machine_is_named() -> None:
    named = {name_of(path): MACHINE.findall(path.read_text(errors="replace")) for path in (*TEXTS, *FRONT)}
    assert {name: found for name, found in named.items() if found} == {}


def test_generated_code_alone_is_in_its_package() -> None:
    expected = re.compile(r"\w+_pb2(_grpc)?\.pyi?|__init__\.py")
    assert [path.name for path in GENERATED.iterdir() if path.is_file() and not expected.fullmatch(path.name)] == []


@pytest.mark.parametrize("path", sorted(PROTOCOL.glob("*.py")), ids=name_of)
def test_protocol_reads_no_clock_and_opens_nothing(path: Path) -> None:
    """Imports are import-linter's; what builtins and datetime could do is seen here."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            is_builtin = isinstance(node.func, ast.Name)
            assert not (called in CLOCKS and not is_builtin), f"line {node.lineno} reads a clock"
            assert not (is_builtin and called in {"open", "print", "input", "exec", "eval", "__import__"})


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_secrets_are_not_compared_by_equality(path: Path) -> None:
    """Names of secrets and of what proves them: `hmac.compare_digest` takes no time that depends on them."""
    secret = re.compile(r"key_confirmation|\bproof\b|registration_secret|(?<!sealed_)shared_key\b|\bpin\b|session_key")
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            for side in (node.left, *node.comparators):
                assert not (isinstance(side, ast.Name | ast.Attribute) and secret.search(ast.unparse(side))), (
                    f"line {node.lineno}: {ast.unparse(node)}"
                )
