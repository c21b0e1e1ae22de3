"""Every message of one run through the in-memory federation, with the state that takes it."""

import pytest

from tests.properties.exchange import Steps, recorded
from tests.simulator import Federation


@pytest.fixture(scope="session")
def federation(shared_federation: Federation) -> Federation:
    """Give the shared federation as it is: its states are frozen, every example may start from them."""
    return shared_federation


@pytest.fixture(scope="session")
def steps(federation: Federation) -> Steps:
    """Give every message of a registration and a visit, by its name."""
    return recorded(federation)
