"""Keys from a seed in a token, their card and shares, and fresh tokens to restore them to."""

import pytest

from hsm import open_token, pin_from_value
from tests.conftest import USER_PIN
from tests.unit.keystore.backup.recoverable import make


@pytest.fixture
def made(token):
    return make(token)


@pytest.fixture
def fresh(make_token_uri):
    """Give a function that opens a fresh token and notes that it did: what `restore` is handed."""
    opened = []

    def open_it():
        opened.append(open_token(make_token_uri("restored"), pin_from_value(USER_PIN)))
        return opened[-1]

    open_it.opened = opened
    yield open_it
    for token in opened:
        token.close()
