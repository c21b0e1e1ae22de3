"""The in-memory federation, on real tokens: made once, lent to each test, and one that a test may wear out."""

import os
from collections.abc import Callable, Iterator

import pytest

from hsm import Token, TokenUri, open_token, pin_from_value
from tests.conftest import USER_PIN
from tests.simulator import Federation, lent


@pytest.fixture(scope="session")
def shared_federation(make_token_uri: Callable[..., TokenUri]) -> Iterator[Federation]:
    """Give the federation of all tests here."""
    opened: list[Token] = []

    def make(label_prefix: str) -> Token:
        opened.append(open_token(make_token_uri(label_prefix), pin_from_value(USER_PIN)))
        return opened[-1]

    yield Federation(make, os.urandom)
    for token in opened:
        token.close()


@pytest.fixture
def federation(shared_federation: Federation) -> Iterator[Federation]:
    """Give a federation in which everybody is registered. What a test changes of clock and lists is put back."""
    with lent(shared_federation) as federation:
        yield federation


@pytest.fixture
def own_federation(make_token: Callable[[str], Token]) -> Federation:
    """Give a federation of the test's own."""
    return Federation(make_token, os.urandom)
