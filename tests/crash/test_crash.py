"""What was acknowledged survives kill -9 of any process at any moment, once. Briefly: `ci/crash` kills hundreds of times."""

import secrets
from pathlib import Path

import pytest

from tests.crash.run import run

KILLS = 25
SECONDS = 90.0
"""A machine that is busy with other things kills fewer."""


@pytest.mark.timeout(500)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_was_acknowledged_is_there_once_after_processes_were_killed(tmp_path: Path, database: str) -> None:
    seed = secrets.randbelow(2**31)
    outcome = run(tmp_path, KILLS, seed, postgresql=database == "postgresql", tell=print, seconds=SECONDS)
    again = f"ci/crash --kills {KILLS} --database {database} --seed {seed}"
    assert not outcome.faults, f"{again}\n" + "\n".join(outcome.faults)
    # A run in which nothing was acknowledged, or nothing came a second time, would prove nothing.
    assert outcome.kills.total() >= KILLS // 5, again
    assert min(outcome.acknowledged[kind] for kind in ("registered", "deposited", "searched")) >= 1, again
    assert outcome.repeated.total() >= outcome.kills.total() // 4, again
