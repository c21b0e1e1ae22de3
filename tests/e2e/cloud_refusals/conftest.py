"""A served cloud and its members, for all files of refusals."""

from collections.abc import Iterator

import pytest

from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from tests.e2e.cloud_lab import CloudLab, Serve


@pytest.fixture(scope="package")
def lab(serve_cloud: Serve) -> Iterator[CloudLab]:
    """Yield a served cloud."""
    with serve_cloud() as made:
        yield made


@pytest.fixture(scope="package")
def hospital(lab: CloudLab) -> tuple[Member, CloudClient]:
    """Return a registered hospital."""
    return lab.hospital("H:good")


@pytest.fixture(scope="package")
def doctor(lab: CloudLab) -> Member:
    """Return a registered doctor."""
    return lab.doctor("D:good")


@pytest.fixture(scope="package")
def patient(lab: CloudLab, hospital: tuple[Member, CloudClient]) -> Member:
    """Return a registered patient."""
    return lab.patient("P:good", hospital)
