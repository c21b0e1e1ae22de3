"""The run that switches checks off tells a check that a test misses from one that none does, and from one that never fires."""

import subprocess
import sys

from tests.mutants.checks import ROOT, checks_below

SAMPLE = "tests/mutants/sample.py"


def test_checks_are_found_with_their_functions() -> None:
    assert [(check.function, check.source) for check in checks_below(ROOT / SAMPLE)] == [
        ("halved", "if number % 2:"),
        ("halved", "_require_small(number)"),
        ("halved", "if isinstance(number, bool):"),
        ("_require_small", "if number > 99:"),
    ]


def test_survivors_are_told_from_what_a_test_misses() -> None:
    words = [
        sys.executable,
        "-m",
        "tests.mutants",
        SAMPLE,
        "--tests",
        "tests/mutants/sample_tests.py",
        "--processes",
        "1",
    ]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    said = [line for line in ended.stdout.splitlines() if SAMPLE in line or "checks," in line]
    assert said == [
        f"{SAMPLE}:8: no test fails without it: _require_small(number)",
        f"{SAMPLE}:9: fires in no test: if isinstance(number, bool):",
        f"{SAMPLE}:15: no test fails without it: if number > 99:",
        "4 checks, 3 survive, 3 of them without a reason",
    ], ended.stderr
    assert ended.returncode == 1
