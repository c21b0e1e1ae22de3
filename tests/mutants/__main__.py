"""Switches single checks off, one at a time, and runs the tests in which that check fired (ci/mutants).

First one run of the tests records which checks fire in which. A check that fires nowhere, or whose tests all pass without it, is
a survivor: it needs a test, or it can go, or tests/mutants/survivors.toml says why it may stay.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mutants.checks import ROOT, Changes, Check, checks_below, without

SURVIVORS = Path(__file__).with_name("survivors.toml")
TESTS = {
    "federation/protocol": ["tests/unit/protocol", "tests/attacks", "tests/vectors", "tests/properties"],
    "federation/cloud": ["tests/e2e", "tests/attacks"],
    "federation/hospital": ["tests/e2e", "tests/attacks"],
    "federation/wire": ["tests/unit/wire", "tests/attacks"],
}
PATIENCE_SECONDS = 170
_ALONE = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
HEAVY = (
    "cryptography.x509",
    "google.protobuf.message",
    "grpc.aio",
    "grpc_status.rpc_status",
    "hypothesis",
    "pkcs11",
    "sqlalchemy",
)
"""Read once, before the processes that try one check each are forked."""


@dataclass(frozen=True)
class Recording:
    """Which tests a check fired in, the quickest first."""

    tests: dict[str, list[str]]

    @classmethod
    def read(cls, directory: Path) -> "Recording":
        """Put together what each process of the recording run wrote down."""
        fired: dict[str, set[str]] = defaultdict(set)
        durations: dict[str, float] = {}
        for path in directory.glob("*.json"):
            written = json.loads(path.read_text())
            durations |= written["durations"]
            for place, tests in written["fired"].items():
                fired[place] |= set(tests)
        return cls({place: sorted(tests, key=lambda it: durations.get(it, 0.0)) for place, tests in fired.items()})


def record(below: Sequence[Path], tests: Sequence[str], processes: int) -> Recording:
    """Run the tests once, with every check telling when it fires. Ends the program if they fail."""
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {"MUTANTS_BELOW": os.pathsep.join(map(str, below)), "MUTANTS_INTO": directory}
        words = [sys.executable, "-m", "pytest", "-q", "-p", "tests.mutants.recorder", "-n", str(processes), *tests]
        if subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode:
            sys.exit("the tests fail with every check in place: there is nothing to compare with")
        return Recording.read(Path(directory))


def try_without(check: Check, tests: Sequence[str]) -> int:
    """Begin to run the tests of a check without it, and give the process: its exit code is pytest's, 0 if all of them pass."""
    child = os.fork()
    if not child:
        _run_and_end(check, tests)
    return child


def _run_and_end(check: Check, tests: Sequence[str]) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    # A check that ended something may be missed by what never ends.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(pytest.ExitCode.TESTS_FAILED))
    signal.alarm(PATIENCE_SECONDS)
    Changes([ROOT / check.path], without(check.place)).install()
    code = int(pytest.ExitCode.INTERNAL_ERROR)
    try:
        code = int(pytest.main([*_ALONE, *tests]))
    finally:
        os._exit(code)


def reasons() -> dict[tuple[str, str, str], str]:
    """Read why some survivors may stay."""
    entries = tomllib.loads(SURVIVORS.read_text()).get("survivor", []) if SURVIVORS.exists() else []
    return {(entry["file"], entry["function"], entry["check"]): entry["why"] for entry in entries}


def run(checks: Sequence[Check], recording: Recording, processes: int) -> list[Check]:
    """Try every check, several at a time, and give the survivors. Ends the program where tests can't be run."""
    survivors: list[Check] = []
    running: dict[int, Check] = {}
    waiting = list(reversed(checks))
    while waiting or running:
        while waiting and len(running) < processes:
            check = waiting.pop()
            tests = recording.tests.get(check.place, [])
            if tests:
                running[try_without(check, tests)] = check
            else:
                survivors.append(check)
                print(f"{check.place}: fires in no test: {check.source}")
        if not running:
            break
        ended, status = os.wait()
        check, code = running.pop(ended), os.waitstatus_to_exitcode(status)
        if code == pytest.ExitCode.OK:
            survivors.append(check)
            print(f"{check.place}: no test fails without it: {check.source}", flush=True)
        elif code != pytest.ExitCode.TESTS_FAILED:
            sys.exit(f"{check.place}: its tests can't be run; pytest ended with {code}")
        if sys.stdout.isatty():
            print(f"  {len(checks) - len(waiting) - len(running)} of {len(checks)}", end="\r", flush=True)
    return survivors


def chosen(below: Sequence[Path], only: str | None) -> Iterator[Check]:
    """Give the checks to try."""
    for check in (it for path in below for it in checks_below(path)):
        if only is None or only in check.place:
            yield check


def main() -> int:
    """Try the checks, and say which survive without a reason, and which reasons are for nothing."""
    parser = argparse.ArgumentParser(prog="ci/mutants", description=__doc__)
    parser.add_argument("below", nargs="*", help="directories or modules; without any: " + ", ".join(TESTS))
    parser.add_argument(
        "--tests", action="append", help="tests to run in place of those that belong to the directories"
    )
    parser.add_argument("--only", help="only the checks whose file:line contains this")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    below = [ROOT / path for path in arguments.below or TESTS]
    tests = arguments.tests or sorted({it for path in below for it in _tests_of(path)})
    checks = list(chosen(below, arguments.only))
    recording = record(below, tests, arguments.processes)
    for name in HEAVY:
        __import__(name)
    survivors, known = run(checks, recording, arguments.processes), reasons()
    unknown = [check for check in survivors if check.name not in known]
    obsolete = known.keys() & {check.name for check in checks} - {check.name for check in survivors}
    print(f"{len(checks)} checks, {len(survivors)} survive, {len(unknown)} of them without a reason")
    for path, function, source in sorted(obsolete):
        print(f"{path}: {function}: a test fails without it now; take its reason out of {SURVIVORS.name}: {source}")
    return 1 if unknown or obsolete else 0


def _tests_of(path: Path) -> list[str]:
    relative = str(path.relative_to(ROOT))
    return next((tests for directory, tests in TESTS.items() if relative.startswith(directory)), ["tests/unit"])


if __name__ == "__main__":
    sys.exit(main())
