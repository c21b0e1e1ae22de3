"""What every test may use: a SoftHSM of the test process's own, tokens in it, and the in-memory federation on them."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from demo import stage
from hsm import Pin, Token, TokenUri, open_token, pin_from_value
from hsm.softhsm import SoftHsm
from tests.log_watch import prune, watch
from tests.simulator import Federation, lent, simulated

USER_PIN = "user-pin-4711"
SO_PIN = "officer-pin-0815"
_numbers = itertools.count(1)
_LONG = (
    "clients",
    "crash",
    "e2e",
    "browser",
    "lab",
    "contract/other_tokens",
    "benchmarks",
    "deploy",
    "mutants",
    "ceremony",
)
"""Directories of long tests. They begin first: whoever has ended its own takes others' last ones, and those are short then."""


def pytest_configure(config: pytest.Config) -> None:
    """Let no log of the run name anybody or hold a key or a PIN; let Ctrl-C reach what tests start.

    What a shell runs in the background ignores it, and so would its children.
    """
    watch(config)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put long tests first, each file's together and in its order."""
    tests = config.rootpath / "tests"
    long = [tests / name for name in _LONG]

    @cache
    def place(path: Path) -> int:
        return next((n for n, directory in enumerate(long) if path.is_relative_to(directory)), len(long))

    items.sort(key=lambda item: place(item.path))


@pytest.fixture
def tmp_path(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Give the test's directory. It is emptied after a test that passed: what all of them leave would fill a memory."""
    yield tmp_path
    prune(request.config, tmp_path)


@pytest.fixture(scope="session", autouse=True)
def forks() -> Iterator[None]:
    """Have commands and servers begin without their imports' second."""
    with stage.forked("tests.contract.store_worker"):
        yield


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    """Give a SoftHSM in a temporary directory, active in this process and its children; each xdist worker has its own."""
    soft_hsm = SoftHsm(tmp_path_factory.mktemp("softhsm"))
    soft_hsm.activate()
    return soft_hsm


@pytest.fixture(scope="session")
def user_pin() -> Pin:
    """Give the user PIN of every token that the fixtures here make."""
    return Pin(USER_PIN)


@pytest.fixture(scope="session")
def so_pin() -> Pin:
    """Give the security officer's PIN of those tokens."""
    return Pin(SO_PIN)


@pytest.fixture(scope="session")
def make_token_uri(softhsm: SoftHsm) -> Callable[..., TokenUri]:
    """Give a function that makes a fresh token, not opened: `make_token_uri(label_prefix="t") -> TokenUri`."""

    def make(label_prefix: str = "t") -> TokenUri:
        return softhsm.create_token(f"{label_prefix}-{next(_numbers)}", pin=Pin(USER_PIN), so_pin=Pin(SO_PIN))

    return make


@pytest.fixture
def make_token(make_token_uri: Callable[..., TokenUri]) -> Iterator[Callable[..., Token]]:
    """Give a function that makes and opens a fresh token, closed after the test: `make_token(label_prefix="t")`."""
    opened: list[Token] = []

    def make(label_prefix: str = "t") -> Token:
        opened.append(open_token(make_token_uri(label_prefix), pin_from_value(USER_PIN)))
        return opened[-1]

    yield make
    for token in opened:
        token.close()


@pytest.fixture
def token(make_token: Callable[..., Token]) -> Token:
    """Give one fresh token, open."""
    return make_token()


@pytest.fixture(scope="session")
def shared_federation(make_token_uri: Callable[..., TokenUri]) -> Iterator[Federation]:
    """Give the federation of all tests here."""
    with simulated(make_token_uri, USER_PIN) as federation:
        yield federation


@pytest.fixture
def federation(shared_federation: Federation) -> Iterator[Federation]:
    """Give a federation in which everybody is registered. What a test changes of clock and lists is put back."""
    with lent(shared_federation) as federation:
        yield federation


@pytest.fixture
def own_federation(make_token: Callable[[str], Token]) -> Federation:
    """Give a federation of the test's own."""
    return Federation(make_token, os.urandom)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests were skipped: a skipped test hides a missing tool, and `ci/test` has installed them all."""
    for report in terminalreporter.stats.get("skipped", ()):
        terminalreporter.write_line(f"skipped, and may not be: {report.nodeid}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which a test was skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
