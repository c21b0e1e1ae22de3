"""A federation on real tokens, and every message of one run through it with the state that takes it."""

import os
from collections.abc import Callable, Iterator

import pytest

from hsm import Token, TokenUri, open_token, pin_from_value
from tests.conftest import USER_PIN
from tests.properties.exchange import Steps, recorded
from tests.simulator import Federation


@pytest.fixture(scope="session")
def federation(make_token_uri: Callable[..., TokenUri]) -> Iterator[Federation]:
    """Give a federation in which everybody is registered. Its states are frozen: every example may start from them."""
    opened: list[Token] = []

    def make(label_prefix: str) -> Token:
        opened.append(open_token(make_token_uri(label_prefix), pin_from_value(USER_PIN)))
        return opened[-1]

    yield Federation(make, os.urandom)
    for token in opened:
        token.close()


@pytest.fixture(scope="session")
def steps(federation: Federation) -> Steps:
    """Give every message of a registration and a visit, by its name."""
    return recorded(federation)
