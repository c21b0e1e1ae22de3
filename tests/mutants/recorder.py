"""The recording run, as a plugin of pytest: which checks fire in which tests. `MUTANTS_BELOW` and `MUTANTS_INTO` say where."""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutants.checks import Changes, recording

_fired: dict[str, set[str]] = defaultdict(set)
_durations: dict[str, float] = defaultdict(float)
_current = [""]


def _fire(place: str) -> None:
    if _current[0]:
        _fired[place].add(_current[0])


Changes([Path(path) for path in os.environ["MUTANTS_BELOW"].split(os.pathsep)], recording).install(_fire)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note which test is under way, its fixtures included."""
    _current[0] = item.nodeid
    try:
        return (yield)
    finally:
        _current[0] = ""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how long a test takes: the quick ones are tried first."""
    _durations[report.nodeid] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write down what fired in this process."""
    worker = getattr(session.config, "workerinput", {"workerid": "main"})["workerid"]
    content = {"fired": {place: sorted(tests) for place, tests in _fired.items()}, "durations": _durations}
    (Path(os.environ["MUTANTS_INTO"]) / f"{worker}.json").write_text(json.dumps(content))
