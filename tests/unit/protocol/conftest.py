"""The in-memory federation, on real tokens."""

import os
from collections.abc import Callable

import pytest

from hsm import Token
from tests.simulator import Federation


@pytest.fixture
def federation(make_token: Callable[[str], Token]) -> Federation:
    """Give a federation in which everybody is registered."""
    return Federation(make_token, os.urandom)
