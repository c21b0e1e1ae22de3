"""What a command costs before it does anything."""

import os
import resource
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import safefiles
from benchmarks.machine import ROOT
from benchmarks.rows import Bench, Row, Section

HELP_SECONDS = 0.15
TOKEN_SECONDS = 0.5
COMMAND = "from federation.cli.main import main; main()"


def rows(bench: Bench) -> Iterator[Row]:
    """Yield CPU and memory of `medunion --help`, CPU of TAB and of a command with a token, and what Python takes of it."""
    rounds = bench.pick(3, 9)
    helped, python = _seconds(["-c", COMMAND, "--help"], rounds), _seconds(["-c", "pass"], rounds)
    yield Row("medunion --help", "s CPU", helped, target=HELP_SECONDS)
    tab = {"_MEDUNION_COMPLETE": "bash_complete", "COMP_WORDS": "medunion hospital records list --", "COMP_CWORD": "4"}
    prompt = "from federation.cli.main import main; main(prog_name='medunion')"
    yield Row("TAB", "s CPU", _seconds(["-c", prompt], rounds, tab), target=HELP_SECONDS)
    log_help = _seconds(["-c", COMMAND, "hospital", "log", "--help"], rounds)
    yield Row("medunion hospital log --help", "s CPU", log_help)
    yield Row("medunion token keys", "s CPU", _with_token(rounds), target=TOKEN_SECONDS)
    yield Row("Python alone", "s CPU", python)
    yield Row("import federation.cli.main", "s CPU", _seconds(["-c", "import federation.cli.main"], rounds))
    yield Row("import federation.cloud.node", "s CPU", _seconds(["-c", "import federation.cloud.node"], rounds))
    yield Row("medunion --help: memory", "MiB", [_peak_mib(["-c", COMMAND, "--help"])])


def _with_token(rounds: int) -> list[float]:
    """Return what a command costs that opens a token and looks at it: one that is new, and has no key."""
    with tempfile.TemporaryDirectory() as place:
        pin = Path(place) / "pin"
        safefiles.create(pin, secrets.token_urlsafe(18).encode())
        command = "-c", COMMAND, "token"
        _child([*command, "init-softhsm", "--directory", place, "--label", "startup", "--pin-file", str(pin)], {})
        uri, softhsm = Path(place, "tokens", "token.uri").read_text().strip(), Path(place, "tokens", "softhsm2.conf")
        named = "--token", uri, "--softhsm-configuration", str(softhsm), "--pin-file", str(pin)
        return _seconds([*command, "keys", *named], rounds)


def _seconds(words: Sequence[str], rounds: int, environment: Mapping[str, str] | None = None) -> list[float]:
    return [_child(words, environment or {}) for _ in range(rounds + 1)][1:]  # the first reads the disk


def _child(words: Sequence[str], environment: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    around = {**os.environ, **environment}
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=around)
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
