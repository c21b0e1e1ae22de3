"""What every source file of the distribution keeps to."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("federation", "keystore", "hsm")
GENERATED = ROOT / "federation" / "v1"
MODULES = sorted(
    path
    for path in (*ROOT.glob("*.py"), *(it for package in PACKAGES for it in (ROOT / package).rglob("*.py")))
    if GENERATED not in path.parents
)
TEXTS = sorted(
    {*MODULES}
    | {
        path
        for folder in (*PACKAGES, "protos", "ci", "docs")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in {".gz", ".pyc", ".png"}
    }
)
FRONT = [
    path for path in ROOT.iterdir() if path.suffix in {".md", ".toml", ".yaml"} or path.name in {"LICENSE", "NOTICE"}
]
MOST_LINES = 600
REASON = re.compile(r"\bLong because \w")
"""So begins the sentence in a module's docstring that says why it has more lines."""
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


def is_too_long(source: str) -> bool:
    """Say whether a module is longer than a subject is without a reason, and gives none."""
    if len(source.splitlines()) <= MOST_LINES:
        return False
    return REASON.search(ast.get_docstring(ast.parse(source)) or "") is None


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_as_long_as_its_subject(path: Path) -> None:
    assert not is_too_long(path.read_text())


@pytest.mark.parametrize(
    ("head", "lines", "found"),
    [
        ('"""A subject."""\n', 599, False),
        ('"""A subject."""\n', 600, True),
        ('"""A subject. Long because its table is one."""\n', 600, False),
        ('"""A subject."""\n# Long because nobody looked.\n', 600, True),
        ("# Long because it has no head.\n", 600, True),
    ],
    ids=["short", "long", "with its reason", "with a comment", "without a head"],
)
def test_module_without_a_reason_to_be_long_is_found(head: str, lines: int, found: bool) -> None:
    assert is_too_long(head + "x = 1\n" * lines) is found


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
