"""What was acknowledged survives kill -9 of any process at any moment, once. Briefly: `ci/crash` kills hundreds of times."""

import secrets
from pathlib import Path

import pytest

from tests.crash.run import run

KILLS = 50


@pytest.mark.timeout(500)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_was_acknowledged_is_there_once_after_processes_were_killed(tmp_path: Path, database: str) -> None:
    seed = secrets.randbelow(2**31)
    outcome = run(tmp_path, KILLS, seed, postgresql=database == "postgresql", tell=print)
    again = f"ci/crash --kills {KILLS} --database {database} --seed {seed}"
    assert not outcome.faults, f"{again}\n" + "\n".join(outcome.faults)
    # A run in which hardly anything was acknowledged, or nothing came a second time, would prove nothing.
    assert outcome.kills.total() >= KILLS
    assert min(outcome.acknowledged[kind] for kind in ("registered", "deposited", "searched", "released")) >= 2, again
    assert outcome.repeated.total() >= KILLS // 2, again
