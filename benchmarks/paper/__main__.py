"""Count a visit anew: `python -m benchmarks.paper` says what has changed, `--write` keeps it in the data file and the page."""

import difflib
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.paper import tables
from benchmarks.paper.counting import Counting, Step
from benchmarks.paper.visit import Visit
from benchmarks.rows import Bench, Mode
from benchmarks.world import PIN, softhsm_maker
from hsm import Token, open_token, pin_from_value
from tests.simulator import Federation


def counted(visit: Visit, opened: list[Token]) -> dict[str, list[Step]]:
    """Return the steps of a visit with memories full, and with memories emptied before each step."""
    visit.phases(Counting(opened))  # of whatever is done once
    steps = {}
    for number, memories in enumerate((tables.FULL, tables.EMPTY)):
        counting = Counting(opened, forgetting=memories == tables.EMPTY)
        visit.register(counting, number)
        visit.phases(counting)
        steps[memories] = counting.steps
    return steps


def main() -> int:
    """Print the difference, or write what was counted."""
    opened: list[Token] = []
    with tempfile.TemporaryDirectory() as directory, Bench(Mode.QUICK, Path(directory)) as bench:
        make = softhsm_maker(bench)

        def made(prefix: str) -> Token:
            opened.append(open_token(make(prefix), pin_from_value(PIN)))
            return opened[-1]

        steps = counted(Visit.prepared(Federation(made, os.urandom)), opened)
    text = tables.written(steps)
    if "--write" in sys.argv[1:]:
        tables.COUNTED.write_text(text)
        tables.PAGE.write_text(tables.with_parts(tables.PAGE.read_text(), tables.parts(tables.read())))
        return 0
    before = tables.COUNTED.read_text()
    sys.stdout.writelines(difflib.unified_diff(before.splitlines(True), text.splitlines(True), "kept", "counted", n=0))
    return int(before != text)


if __name__ == "__main__":
    sys.exit(main())
