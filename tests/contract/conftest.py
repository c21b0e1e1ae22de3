"""The contract suite's fixtures: databases of each kind, tokens of the kind under test, and the choice of what that can do."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from federation.store.database import Database
from hsm import Pin, Token, TokenUri, open_token, pin_from_value
from tests.contract.store_support import IMPLEMENTATIONS, opened, url_of
from tests.contract.token_backends import Capability, TokenUnderTest, chosen
from tests.contract.token_support import CountingPin

_left_out: dict[Capability, int] = {}
_backend = cache(chosen)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the token under test cannot do."""
    chosen_items, left_out = [], []
    for item in items:
        lacking = {need for mark in item.iter_markers("needs") for need in mark.args} - _backend().can
        for capability in lacking:
            _left_out[capability] = _left_out.get(capability, 0) + 1
        (left_out if lacking else chosen_items).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = chosen_items


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the matrix of capabilities."""
    terminalreporter.section(f"token under test: {_backend().name}")
    for capability in Capability:
        left_out = _left_out.get(capability, 0)
        consequence = f"; {left_out} tests left out" if left_out else ""
        answer = "yes" if capability in _backend().can else "no"
        terminalreporter.write_line(f"{answer:4}{capability.name:16} {capability.value}{consequence}")


@pytest.fixture(scope="session")
def token_under_test(request: pytest.FixtureRequest) -> TokenUnderTest:
    """Give the kind of token under test, started."""
    _backend().start(request)
    return _backend()


@pytest.fixture(scope="session")
def user_pin(token_under_test: TokenUnderTest) -> Pin:
    """Give the user PIN of every token under test."""
    return Pin(token_under_test.user_pin)


@pytest.fixture(scope="session")
def so_pin(token_under_test: TokenUnderTest) -> Pin:
    """Give the security officer's PIN of those tokens."""
    return Pin(token_under_test.so_pin)


@pytest.fixture(scope="session")
def make_token_uri(token_under_test: TokenUnderTest) -> Callable[..., TokenUri]:
    """Give a function that gives a token without objects, not opened."""
    return lambda label_prefix="t": token_under_test.make(label_prefix)


@pytest.fixture
def right_pin(user_pin: Pin) -> CountingPin:
    """Give the user PIN as a provider that counts."""
    return CountingPin(user_pin.reveal())


@pytest.fixture
def make_token(make_token_uri: Callable[..., TokenUri], user_pin: Pin) -> Iterator[Callable[..., Token]]:
    """Give a function that gives a token without objects, open until the test ends."""
    opened: list[Token] = []

    def make(label_prefix: str = "t") -> Token:
        opened.append(open_token(make_token_uri(label_prefix), pin_from_value(user_pin.reveal())))
        return opened[-1]

    yield make
    for token in opened:
        token.close()


@pytest.fixture(params=IMPLEMENTATIONS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Give a database of each kind, migrated."""
    yield from opened(request.param, tmp_path)


@pytest.fixture(params=IMPLEMENTATIONS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a database of each kind, empty as yet."""
    return url_of(request.param, tmp_path)
