"""Files are opened, synced and locked in `safefiles` alone, and that leaf stands on the standard library alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEAF = ROOT / "safefiles.py"
RUFF = Path(sys.executable).with_name("ruff")

VIOLATIONS = [
    "import os\nos.open(__file__, os.O_RDONLY)",
    "import os\nos.fsync(0)",
    'import os\nos.replace("a", "b")',
    'from os import open as opened\nopened("a", 0)',
    "import fcntl\nfcntl.flock(0, 0)",
    "import tempfile\ntempfile.NamedTemporaryFile()",
]


def _judged(source: str, name: str) -> str:
    command = [str(RUFF), "check", "--select", "TID251", "--output-format", "concise", "--stdin-filename", name, "-"]
    return subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True, check=False).stdout


def imports_of(source: str) -> set[str]:
    """Give the top-level packages that a source imports."""
    nodes = list(ast.walk(ast.parse(source)))
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in named}


@pytest.mark.parametrize("source", VIOLATIONS)
@pytest.mark.parametrize("package", ["federation", "keystore", "hsm"])
def test_opening_or_locking_a_file_elsewhere_is_found(package: str, source: str) -> None:
    assert "TID251" in _judged(f"{source}\n", f"{package}/new.py")


def test_the_leaf_may_do_it() -> None:
    assert "TID251" not in _judged(f"{VIOLATIONS[0]}\n", LEAF.name)


def test_the_leaf_imports_nothing_of_ours_and_nothing_that_has_to_be_installed() -> None:
    assert imports_of(LEAF.read_text()) <= sys.stdlib_module_names
    assert not imports_of("from keystore.errors import KeystoreError") <= sys.stdlib_module_names
