"""What tests of single parts may use."""

from collections.abc import Iterator

import pytest

from federation.store.database import Database
from tests.sqlite_stores import new_database


@pytest.fixture
def database() -> Iterator[Database]:
    """Give a database of the test's own, empty."""
    with new_database() as made:
        yield made
