"""A served cloud and its members, for all files of refusals."""

from collections.abc import Callable, Iterator

import pytest

from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from hsm import Pin, TokenUri, pin_from_value
from tests.e2e.cloud_lab import CloudLab, cloud_lab


@pytest.fixture(scope="package")
def lab(
    tmp_path_factory: pytest.TempPathFactory, make_token_uri: Callable[..., TokenUri], user_pin: Pin
) -> Iterator[CloudLab]:
    """Give a served cloud."""
    with cloud_lab(tmp_path_factory.mktemp("lab"), make_token_uri, pin_from_value(user_pin.reveal())) as made:
        yield made


@pytest.fixture(scope="package")
def hospital(lab: CloudLab) -> tuple[Member, CloudClient]:
    """Give a registered hospital."""
    return lab.hospital("H:good")


@pytest.fixture(scope="package")
def doctor(lab: CloudLab) -> Member:
    """Give a registered doctor."""
    return lab.doctor("D:good")


@pytest.fixture(scope="package")
def patient(lab: CloudLab, hospital: tuple[Member, CloudClient]) -> Member:
    """Give a registered patient."""
    return lab.patient("P:good", hospital)
