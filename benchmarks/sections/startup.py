"""What a command costs before it does anything."""

import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence

from benchmarks.machine import ROOT
from benchmarks.rows import Bench, Row, Section

HELP_SECONDS = 0.15
COMMAND = "from federation.cli.main import main; main()"


def rows(bench: Bench) -> Iterator[Row]:
    """Yield CPU and memory of `medunion --help`, and what Python takes of it."""
    rounds = bench.pick(3, 9)
    helped, python = _seconds(["-c", COMMAND, "--help"], rounds), _seconds(["-c", "pass"], rounds)
    yield Row("medunion --help", "s CPU", helped, target=HELP_SECONDS)
    yield Row("Python alone", "s CPU", python)
    yield Row("import federation.cli.main", "s CPU", _seconds(["-c", "import federation.cli.main"], rounds))
    yield Row("import federation.cloud.node", "s CPU", _seconds(["-c", "import federation.cloud.node"], rounds))
    yield Row("medunion --help: memory", "MiB", [_peak_mib(["-c", COMMAND, "--help"])])


def _seconds(words: Sequence[str], rounds: int) -> list[float]:
    return [_child(words) for _ in range(rounds + 1)][1:]  # the first reads the disk


def _child(words: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _peak_mib(words: Sequence[str]) -> float:
    """Return the most memory that a command had, as it tells itself in the end."""
    told = (
        "import atexit, sys; atexit.register(lambda: print(open('/proc/self/status').read(), file=sys.stderr));"
        f"sys.argv[1:] = {list(words[2:])!r}; {words[1]}"
    )
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, check=True, capture_output=True, text=True)
    return int(next(line for line in done.stderr.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


SECTION = Section(
    "startup",
    "Starting",
    "A command is a process: what it imports is paid for each time. CPU of the child, from the operating system.",
    rows,
)
