"""A hospital over TLS for each attack that needs one, on the members of the federation that all tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hospital_lab import Client, HospitalLab
from tests.simulator import Federation


@pytest.fixture
def lab(federation: Federation, tmp_path: Path) -> Iterator[HospitalLab]:
    """Give a hospital that is not served yet."""
    lab = HospitalLab(federation, tmp_path)
    yield lab
    lab.database.close()


@pytest.fixture
def client(lab: HospitalLab) -> Iterator[Client]:
    """Serve it, and give a client."""
    with lab.serving() as client:
        yield client
