"""promtool, where it is: tests that ask for it are left out where it can't be had, as ci/install-monitoring has said loudly."""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
REQUIRED = os.environ.get("MEDUNION_REQUIRE_MONITORING") == "1"


@cache
def find_promtool() -> str | None:
    """Give the promtool that ci/install-monitoring fetched, or this machine's."""
    fetched = ROOT / ".venv" / "monitoring" / "promtool"
    return str(fetched) if fetched.exists() else shutil.which("promtool")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs promtool, unless it must be there: then it fails."""
    left_out = [item for item in items if "promtool" in getattr(item, "fixturenames", ())]
    if left_out and not REQUIRED and find_promtool() is None:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def promtool() -> Callable[..., str]:
    """Give a function that runs promtool in deploy/monitoring, requires it to succeed and gives what it said."""
    program = find_promtool()
    assert program is not None, "promtool is not here; run ci/install-monitoring"

    def run(*words: object, expect: int = 0) -> str:
        done = subprocess.run(
            [program, *map(str, words)], cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run
