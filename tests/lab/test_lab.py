"""The lab, briefly: it runs, says plainly where it can't, and leaves nothing behind. `ci/lab` plays all of it."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.stage import environment
from lab.__main__ import LOCK, PREFIX, remove_leftovers
from lab.privilege import LACKING, choose
from lab.scenario import Finding, Outcome, Scenario
from lab.scenarios import SCENARIOS
from tests.waiting import until

ROOT = Path(__file__).parents[2]
BRIEF = ("visit", "hospital-away", "patient-cut-off")


@pytest.fixture
def place() -> Iterator[Path]:
    """Where a lab's directory may be: under the name of a test, its sockets' paths would be too long."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as directory:
        yield Path(directory)


def lab(directory: Path, *words: str) -> subprocess.Popen[str]:
    """Start the lab with its temporary files there."""
    return subprocess.Popen(
        [sys.executable, "-m", "lab", *words],
        cwd=ROOT,
        env=environment() | {"TMPDIR": str(directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def set_up_began(directory: Path) -> bool:
    """Say whether the cloud's server has been started: by then all kinds of processes run."""
    return any(directory.glob(f"{PREFIX}*/cloud/serve.log"))


def all_ended(directory: Path) -> bool:
    """Say whether no process of a lab lives: each holds the lock, whoever started it."""
    (lock,) = directory.glob(f"{PREFIX}*/{LOCK}")
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


@pytest.mark.lab
@pytest.mark.timeout(400)
def test_visits_hold_across_hosts_and_cut_links(place: Path) -> None:
    names = [word for name in BRIEF for word in ("--scenario", name)]
    running = lab(place, *names)
    said, _ = running.communicate()
    assert running.returncode == 0, said
    assert f"{len(BRIEF)} of {len(BRIEF)} scenarios held" in said
    assert list(place.iterdir()) == []


@pytest.mark.lab
def test_interrupted_lab_leaves_nothing(place: Path) -> None:
    running = lab(place)
    until(lambda: set_up_began(place))
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=30)
    assert running.returncode == 130, said
    assert list(place.iterdir()) == []


@pytest.mark.lab
def test_killed_lab_ends_all_its_processes_and_the_next_run_removes_its_files(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = lab(place)
    until(lambda: set_up_began(place))
    running.kill()
    running.communicate(timeout=10)
    until(lambda: all_ended(place), seconds=10)
    monkeypatch.setattr("tempfile.tempdir", str(place))
    remove_leftovers(choose())
    assert list(place.iterdir()) == []


@pytest.mark.lab
def test_files_of_a_lab_that_runs_are_not_removed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = place / f"{PREFIX}other"
    directory.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    with (directory / LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_leftovers(choose())
    assert directory.exists()


@pytest.mark.lab
def test_machine_that_gives_no_namespaces_is_told_plainly(place: Path) -> None:
    """In a user namespace that may make no network namespaces, as a container's host may have it."""
    command = f"echo 0 > /proc/sys/user/max_net_namespaces && exec {sys.executable} -m lab"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", command],
        cwd=ROOT,
        env=environment() | {"TMPDIR": str(place)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == LACKING, done.stderr
    assert "The lab needs network namespaces, and this machine gives none" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.lab
def test_directory_too_long_for_sockets_is_said(place: Path) -> None:
    running = lab(place, "--directory", str(place / ("long" * 30)))
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "is too long for the sockets in it: 82 bytes at most" in said


def test_program_missing_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab"],
        cwd=ROOT,
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == LACKING
    assert re.search(r"The lab needs ip, .*ci/install-lab", done.stderr)


def test_scenario_that_claims_nothing_has_not_held() -> None:
    scenario = Scenario("name", "title", "expected", lambda _world, _found: None)
    assert not Outcome(scenario, [], 1.0).held
    assert Outcome(scenario, [Finding("one", held=True)], 1.0).held
    assert not Outcome(scenario, [Finding("one", held=True), Finding("other", held=False)], 1.0).held


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_is_told_in_the_page(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs" / "lab.md").read_text()
