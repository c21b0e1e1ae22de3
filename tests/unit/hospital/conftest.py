"""A hospital's parts on real stores and tokens, not serving."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsm import TokenUri
from tests.hospital_lab import HospitalLab, simulated
from tests.simulator import Federation, lent


@pytest.fixture(scope="module")
def shared_federation(make_token_uri: Callable[..., TokenUri]) -> Iterator[Federation]:
    with simulated(make_token_uri) as federation:
        yield federation


@pytest.fixture
def federation(shared_federation: Federation) -> Iterator[Federation]:
    with lent(shared_federation) as federation:
        yield federation


@pytest.fixture
def lab(federation: Federation, tmp_path: Path) -> Iterator[HospitalLab]:
    lab = HospitalLab(federation, tmp_path)
    yield lab
    lab.database.close()
