"""Watches every log of a test run: none may name anybody or hold a key or a PIN. A line that does fails the run.

Logs are what test processes log, what the files of their temporary directories hold that servers wrote, and what the programs
that they ran wrote to pipes. Each xdist worker watches its own and tells the one that started it.
"""

import contextlib
import json
import logging
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.disclosures import disclosure, disclosures
from demo.forks import Forks
from federation.wire import operations

DATA = Path(__file__).parent / "data"
RECORDS = (DATA / "synthea-johnnie679.json",)
PINS = ("user-pin-4711", "officer-pin-0815", "hunter2 of PostgreSQL")
OPERATIONS = "medunion.operations"
PIN_FILES = "pin", "*.pin"
LOG_FILES = ("*.log",)
_NAME = "log-watch"
_FINDINGS = "log_watch"
_LARGEST_LOG_BYTES = 50_000_000
_SHORTEST_SECRET = 6
"""A PIN of four digits is in every other line by chance: in its time, or in a line number."""
_MOST_SHOWN = 20


def watch(config: pytest.Config) -> None:
    """Watch the run of this configuration."""
    config.pluginmanager.register(LogWatch(config), _NAME)


def prune(config: pytest.Config, directory: Path) -> None:
    """Remove what a test left there that passed, but for what is looked at in the end."""
    watching: LogWatch = config.pluginmanager.get_plugin(_NAME)
    if watching.has_failed:
        return
    for parent, _, named in os.walk(directory):
        for path in (Path(parent) / name for name in named):
            if not any(path.match(pattern) for pattern in (*PIN_FILES, *LOG_FILES)):
                with contextlib.suppress(OSError):  # another user's, or gone already
                    path.unlink()


def names() -> Iterator[str]:
    """Give the names of the patients in the tests' records."""
    for path in RECORDS:
        for entry in json.loads(path.read_text())["entry"]:
            if entry["resource"]["resourceType"] == "Patient":
                for name in entry["resource"]["name"]:
                    yield from (name["family"], *name["given"])


class LogWatch:
    """The watch of one process."""

    def __init__(self, config: pytest.Config) -> None:
        self.findings: list[str] = []
        self.has_failed = False
        self._config = config
        self._test = "before the first test"
        self._secrets = {*PINS, *names()}
        self._formatter = operations._JsonLines()
        self._communicate, self._run = subprocess.Popen.communicate, Forks.run
        self._handler = _Handler(self)

    @property
    def _is_controller(self) -> bool:
        """Whether others run the tests: they look at the files."""
        return not hasattr(self._config, "workerinput") and bool(self._config.getoption("numprocesses", None))

    def pytest_sessionstart(self) -> None:
        logger = logging.getLogger(OPERATIONS)
        logger.setLevel(logging.INFO)
        logger.addFilter(self._looked_at)
        logging.getLogger().addHandler(self._handler)
        communicate, run, see = self._communicate, self._run, self._see_output

        def watched(process: Any, *words: Any, **more: Any) -> Any:
            said = communicate(process, *words, **more)
            see(said)
            return said

        def watched_run(forks: Forks, *words: Any) -> Any:
            done = run(forks, *words)
            see((done.stdout, done.stderr))
            return done

        subprocess.Popen.communicate, Forks.run = watched, watched_run

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._test, self.has_failed = item.nodeid, False
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.has_failed |= report.failed
        for title, content in report.sections:
            if title.startswith(("Captured stdout", "Captured stderr")):
                self.note(disclosures(content, self._secrets), report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        subprocess.Popen.communicate, Forks.run = self._communicate, self._run
        logging.getLogger(OPERATIONS).removeFilter(self._looked_at)
        logging.getLogger().removeHandler(self._handler)
        if not self._is_controller:
            self._see_files(Path(session.config._tmp_path_factory.getbasetemp()))
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[_FINDINGS] = self.findings
        elif self.findings:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.findings += getattr(node, "workeroutput", {}).get(_FINDINGS, ())

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.findings:
            terminalreporter.section("logs that disclose something", red=True, bold=True)
            for finding in list(dict.fromkeys(self.findings))[:_MOST_SHOWN]:
                terminalreporter.write_line(finding, red=True)

    def note(self, found: Iterable[str], where: str | None = None) -> None:
        """Keep what was found, with where."""
        self.findings += (f"{where or self._test}: {what}" for what in found)

    def see(self, line: str) -> None:
        """Look at one line of a log."""
        what = disclosure(line, self._secrets)
        if what is not None:
            self.note([f"{what}: {line}"])

    def _looked_at(self, record: logging.LogRecord) -> bool:
        self.see(self._formatter.format(record))
        return True

    def _see_output(self, said: Iterable[str | bytes | None]) -> None:
        for stream in said:
            text = stream.decode(errors="replace") if isinstance(stream, bytes) else stream or ""
            self.note(disclosures(text, self._secrets))

    def _see_files(self, root: Path) -> None:
        """Look at what servers wrote to files, for the PINs in files beside them too."""
        pins = {path.read_text(errors="replace").strip() for path in files(root, PIN_FILES)}
        pins = {pin for pin in pins if len(pin) >= _SHORTEST_SECRET}
        for path in files(root, LOG_FILES):
            if path.stat().st_size < _LARGEST_LOG_BYTES:
                found = disclosures(path.read_text(errors="replace"), self._secrets | pins)
                self.note(found, str(path.relative_to(root)))


def files(root: Path, patterns: Iterable[str]) -> Iterator[Path]:
    """Give the files below that have such names."""
    for pattern in patterns:
        yield from (path for path in root.rglob(pattern) if path.is_file() and not path.is_symlink())


class _Handler(logging.Handler):
    """What libraries log goes to standard error in a server, too."""

    def __init__(self, seer: LogWatch) -> None:
        super().__init__(logging.WARNING)
        self._seer = seer

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != OPERATIONS:
            self._seer.see(self.format(record))
