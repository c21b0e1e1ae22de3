"""Ceremonies under test."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from hsm import Pin, TokenUri, open_token, pin_from_value
from keystore.x509 import create_authority, issue_crl
from tests.ceremony.hall import Hall, People, gather


@pytest.fixture(scope="session")
def people(make_token_uri: Callable[..., TokenUri], user_pin: Pin) -> People:
    """Give everybody's tokens."""
    return gather(make_token_uri, user_pin.reveal())


@pytest.fixture
def hall(
    people: People, make_token_uri: Callable[..., TokenUri], user_pin: Pin, tmp_path: Path
) -> Callable[[str], Hall]:
    """Give a function that prepares a ceremony of a kind, on a fresh token."""
    return lambda kind: Hall(tmp_path, people, make_token_uri("c"), make_token_uri("d"), user_pin.reveal(), kind)


@pytest.fixture(scope="session")
def other_authority(make_token_uri: Callable[..., TokenUri], user_pin: Pin) -> tuple[bytes, bytes]:
    """Give the certificate and a list of another authority of the same name."""
    with open_token(make_token_uri("other"), pin_from_value(user_pin.reveal())) as token:
        key, now = token.generate_signing("medical-authority"), datetime.now(UTC)
        certificate = create_authority(key, "M:beispielland", now=now)
        crl = issue_crl(certificate, key, [], 41, now=now)
    return certificate.public_bytes(Encoding.DER), crl.public_bytes(Encoding.DER)


@pytest.fixture
def others_certificate(other_authority: tuple[bytes, bytes]) -> bytes:
    """Give its certificate."""
    return other_authority[0]


@pytest.fixture
def others_list(other_authority: tuple[bytes, bytes]) -> bytes:
    """Give its list."""
    return other_authority[1]
