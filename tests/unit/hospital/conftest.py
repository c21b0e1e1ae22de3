"""A hospital's parts on real stores and tokens, not serving."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsm import TokenUri
from tests.conftest import USER_PIN
from tests.hospital_lab import HospitalLab
from tests.simulator import Federation, lent, simulated


@pytest.fixture(scope="module")
def shared_federation(make_token_uri: Callable[..., TokenUri]) -> Iterator[Federation]:
    with simulated(make_token_uri, USER_PIN) as federation:
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
