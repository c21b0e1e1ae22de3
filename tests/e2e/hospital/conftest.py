"""A hospital over TLS for each test, on the members of one federation, which is theirs alone: some let a day pass."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsm import TokenUri
from tests.conftest import USER_PIN
from tests.hospital_lab import Client, HospitalLab
from tests.simulator import Federation, simulated


@pytest.fixture(scope="session")
def shared_federation(make_token_uri: Callable[..., TokenUri]) -> Iterator[Federation]:
    with simulated(make_token_uri, USER_PIN) as federation:
        yield federation


@pytest.fixture
def lab(federation: Federation, tmp_path: Path) -> Iterator[HospitalLab]:
    lab = HospitalLab(federation, tmp_path)
    yield lab
    lab.database.close()


@pytest.fixture
def client(lab: HospitalLab) -> Iterator[Client]:
    with lab.serving() as client:
        yield client
