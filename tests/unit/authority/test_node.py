"""A medical authority: certificates and lists, with its key in a real token."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from federation.authority.node import MedicalAuthority, found_authority, open_authority
from federation.cli.doctor import read_certificate as read_certificate_of_doctor
from federation.clock import system_clock
from federation.errors import FieldInvalid, NotFound
from federation.party.certificates import authority_id_of, read_certificate, read_crl, read_request
from federation.party.node_directory import NodeDirectory
from federation.person.errors import WrongFile
from federation.settings import ConfigError, MemberSettings, TokenSettings
from hsm import pin_from_value
from keystore.errors import CertificateRejected
from keystore.x509 import create_authority, crl_number, request_certificate


@pytest.fixture
def directory(tmp_path: Path, make_token_uri, user_pin) -> NodeDirectory:
    """Give the directory of an authority."""
    made = NodeDirectory(tmp_path / "board")
    found_authority(made, "M:board", TokenSettings(str(make_token_uri("board"))), pin_from_value(user_pin.reveal()))
    return made


@pytest.fixture
def authority(directory: NodeDirectory, user_pin):
    """Give the authority, opened."""
    with open_authority(directory, pin_from_value(user_pin.reveal())) as opened:
        yield opened


@pytest.fixture
def request_of_ben(make_token) -> bytes:
    """Give a request of D:ben."""
    return request_certificate(make_token().generate_signing("identity"), "D:ben")


def test_certificate_names_the_authority_and_is_signed_by_it(
    authority: MedicalAuthority, request_of_ben: bytes
) -> None:
    assert authority_id_of(authority.certificate) == "M:board"
    authority.issue(request_of_ben, "D:ben").verify_directly_issued_by(authority.certificate)


def test_request_that_names_another_doctor_is_refused(authority: MedicalAuthority, request_of_ben: bytes) -> None:
    with pytest.raises(CertificateRejected):
        authority.issue(request_of_ben, "D:ann")
    with pytest.raises(FieldInvalid):
        authority.issue(request_of_ben, "ben")


def test_revoked_certificate_is_on_the_next_list_and_numbers_grow(
    authority: MedicalAuthority, request_of_ben: bytes
) -> None:
    certificate = authority.issue(request_of_ben, "D:ben")
    first = authority.crl()
    assert first.get_revoked_certificate_by_serial_number(certificate.serial_number) is None
    assert authority.revoke("D:ben") == [f"{certificate.serial_number:x}"]
    second = authority.crl()
    assert second.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    numbers = [crl_number(crl, authority.certificate) for crl in (first, second)]
    assert numbers == [1, 2]


def test_doctor_without_a_certificate_cannot_be_revoked(authority: MedicalAuthority) -> None:
    with pytest.raises(NotFound):
        authority.revoke("D:nobody")


def test_list_of_another_authority_is_refused(
    authority: MedicalAuthority, tmp_path: Path, make_token_uri, user_pin
) -> None:
    other = NodeDirectory(tmp_path / "other")
    pin = pin_from_value(user_pin.reveal())
    certificate = found_authority(other, "M:board", TokenSettings(str(make_token_uri("other"))), pin)
    with pytest.raises(CertificateRejected):
        crl_number(authority.crl(), certificate)


def test_certificate_that_is_no_authority_is_refused(authority: MedicalAuthority, request_of_ben: bytes) -> None:
    with pytest.raises(CertificateRejected):
        authority_id_of(authority.issue(request_of_ben, "D:ben"))


def test_directory_has_one_node(directory: NodeDirectory, make_token_uri) -> None:
    with pytest.raises(ConfigError):
        found_authority(directory, "M:again", TokenSettings(str(make_token_uri())), None)


def test_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"-----BEGIN NOTHING-----")
    for read in (read_request, read_crl):
        with pytest.raises(CertificateRejected):
            read(file)


def test_certificate_of_a_version_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    certificate = create_authority(ec.generate_private_key(ec.SECP256R1()), "M:chamber", now=datetime.now(UTC))
    third, sixth = bytes.fromhex("a003020102"), bytes.fromhex("a003020105")
    file = tmp_path / "file"
    file.write_bytes(certificate.public_bytes(Encoding.DER).replace(third, sixth, 1))
    with pytest.raises(CertificateRejected):
        read_certificate(file)
    with pytest.raises(WrongFile):
        read_certificate_of_doctor(file)


def test_certificate_expires(authority: MedicalAuthority, request_of_ben: bytes) -> None:
    certificate: x509.Certificate = authority.issue(request_of_ben, "D:ben")
    life = certificate.not_valid_after_utc.timestamp() * 1000 - system_clock()
    assert 0 < life <= timedelta(days=731) // timedelta(milliseconds=1)


def test_a_successor_certifies_beside_the_older_key_and_each_signs_its_own_list(
    directory: NodeDirectory, request_of_ben: bytes, tmp_path: Path, user_pin
) -> None:
    pin, second = pin_from_value(user_pin.reveal()), NodeDirectory(tmp_path / "board-2")
    settings = directory.settings(MemberSettings).token
    made = found_authority(second, "M:board", settings, pin, successor=True)
    with open_authority(second, pin) as newer:
        newer.issue(request_of_ben, "D:ben").verify_directly_issued_by(made)
        newer.revoke("D:ben")
        assert [len(newer.crl()), crl_number(newer.crl(), made)] == [1, 2]
    with open_authority(directory, pin) as older:  # its key is found among the generations
        assert older.certificate.subject == made.subject
        assert older.certificate.public_key() != made.public_key()
        older.issue(request_of_ben, "D:ben").verify_directly_issued_by(older.certificate)
        assert [len(older.crl()), crl_number(older.crl(), older.certificate)] == [0, 2]


def test_a_successor_without_a_predecessor_is_refused(tmp_path: Path, make_token_uri, user_pin) -> None:
    pin, settings = pin_from_value(user_pin.reveal()), TokenSettings(str(make_token_uri("empty")))
    with pytest.raises(ConfigError):
        found_authority(NodeDirectory(tmp_path / "first"), "M:board", settings, pin, successor=True)
