"""Ceremonies of a medical authority entered in its ledger: its next list goes on where the ceremony ended."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.cli.main import main
from hsm import open_token, pin_from_value
from keystore.x509 import create_authority, issue_crl
from tests.ceremony.hall import EXAMPLES, Hall, rehearse

Halls = Callable[[str], Hall]
LOST = 0x1F2E3D


class Board:
    """A medical authority whose key and certificate came from a ceremony, and its commands."""

    def __init__(self, hall: Hall, token: str = "", certificate: bytes = b"") -> None:
        self.hall, self.path = hall, hall.directory / "board"
        self.certificate = hall.directory / "board-ca.der"
        self.certificate.write_bytes(certificate or hall.people.certificate)
        self.token = token or str(hall.people.authority)
        self.pin = hall.directory / "board-pin"
        self.pin.touch(0o600)
        self.pin.write_text(hall.people.pin)

    def medunion(self, *words: object, code: int = 0) -> str:
        given = ["authority", *words, "--directory", self.path]
        result: Result = CliRunner().invoke(main, list(map(str, given)))
        assert result.exit_code == code, result.output
        return result.output

    def init(self, identity: str = "M:beispielland", code: int = 0) -> str:
        output = self.hall.directory / "written.der"
        options = ("--output", output, "--certificate", self.certificate, "--token", self.token)
        return self.medunion("init", "--identity", identity, *options, "--pin-file", self.pin, code=code)

    def take(self, *options: str, code: int = 0, name: str = "Wanda", key: str = "") -> str:
        pin = f"{name}={key or self.hall.people.keys[name]}"
        return self.medunion("import-ceremony", self.hall.transcript, "--participant", pin, *options, code=code)

    def crl(self) -> tuple[int, set[int]]:
        output = self.hall.directory / "board.crl"
        self.medunion("crl", "--output", output, "--pin-file", self.pin)
        crl = x509.load_der_x509_crl(output.read_bytes())
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        return number, {entry.serial_number for entry in crl}

    @property
    def ledger(self) -> bytes:
        return (self.path / "issued.json").read_bytes()


def held(hall: Hall) -> Board:
    result = hall.run()
    assert result.exit_code == 0, result.output
    board = Board(hall)
    board.init()
    return board


def test_next_list_goes_on_where_a_re_issue_ended(hall: Halls) -> None:
    board = held(hall("re-issue"))
    said = board.take()
    assert "newest list has number 42" in said
    assert "revoked: 1f2e3d" in said
    assert board.crl() == (43, {7, LOST})


def test_doctor_who_was_certified_at_a_ceremony_can_be_revoked(hall: Halls) -> None:
    board = held(hall("doctor-card"))
    certificate = x509.load_der_x509_certificate((board.hall.directory / "weber.der").read_bytes())
    assert f"issued: {certificate.serial_number:x}" in board.take()
    board.medunion("revoke", "D:weber", "--pin-file", board.pin)
    assert board.crl() == (1, {certificate.serial_number})


def test_authority_begins_with_the_ceremony_that_made_it(hall: Halls) -> None:
    done = hall("medical-authority")
    done.change("[quorum]\nthreshold = 2\n", "")
    assert done.run().exit_code == 0
    board = Board(done, str(done.token), (done.directory / "authority.der").read_bytes())
    board.init()
    assert "newest list has number 1" in board.take()
    assert board.crl() == (2, set())
    added = x509.load_der_x509_certificate((done.directory / "written.der").read_bytes())
    assert added.public_bytes(Encoding.DER) == (done.directory / "authority.der").read_bytes()


def test_import_refused_twice(hall: Halls) -> None:
    board = held(hall("doctor-card"))
    board.take()
    before = board.ledger
    assert "is in the ledger already" in board.take(code=1)
    assert board.ledger == before


def test_import_refused_for_a_list_that_is_not_newer_and_its_revocations_are_entered_when_asked(hall: Halls) -> None:
    board = held(hall("re-issue"))
    (board.path / "issued.json").write_text('{"crl_number": 42, "certificates": []}')
    before = board.ledger
    assert "[IMPORT_REFUSED]" in board.take(code=1)
    assert board.ledger == before
    board.take("--take-stale-list")
    assert board.crl() == (43, {7, LOST})


def test_revocation_that_the_ceremonys_list_forgot_is_told_and_kept(hall: Halls) -> None:
    board = held(hall("re-issue"))
    end = int((datetime.now(UTC) + timedelta(days=9)).timestamp() * 1000)
    entry = f'{{"serial": "abc", "doctor_id": "D:x", "not_after": {end}, "revoked_at": 1}}'
    (board.path / "issued.json").write_text(f'{{"crl_number": 3, "certificates": [{entry}]}}')
    assert "lacks abc, revoked here" in board.take()
    assert board.crl() == (43, {7, LOST, 0xABC})


def test_import_refused_for_another_authoritys_ceremony(hall: Halls) -> None:
    board = held(hall("doctor-card"))
    with open_token(board.hall.people.authority, pin_from_value(board.hall.people.pin)) as token:
        again = create_authority(token.signing("medical-authority"), "M:beispielland", now=datetime.now(UTC))
    (board.path / "authority.der").write_bytes(again.public_bytes(Encoding.DER))
    assert "not held with this authority's certificate" in board.take(code=1)


@pytest.mark.parametrize("kind", ["federation-tls-ca", "destruction"])
def test_import_refused_for_a_ceremony_of_no_authority(kind: str, hall: Halls) -> None:
    board = held(hall(kind))
    assert "[IMPORT_REFUSED]" in board.take(code=1)


def test_import_refused_for_a_rehearsal(hall: Halls) -> None:
    board = held(hall("doctor-card"))
    board.hall.transcript.unlink()
    rehearse(EXAMPLES / "doctor-card.toml", board.hall.transcript)
    opened = board.hall.entries()[0].data
    assert "[IMPORT_REFUSED]" in board.take(code=1, key=opened["participants"]["Wanda"])


def test_participant_not_pinned_is_refused_and_one_has_to_be_named(hall: Halls) -> None:
    board = held(hall("doctor-card"))
    assert "[PARTICIPANT_NOT_PINNED]" in board.take(code=1, key="02" + "0" * 64)
    assert "--participant" in board.medunion("import-ceremony", board.hall.transcript, code=2)


def test_authority_is_not_made_with_a_certificate_of_another_key_or_name(
    hall: Halls, others_certificate: bytes
) -> None:
    prepared = hall("doctor-card")
    assert "not that of a key in the token" in Board(prepared, certificate=others_certificate).init(code=1)
    assert "names M:beispielland, not M:else" in Board(prepared).init("M:else", code=1)
    assert not (prepared.directory / "board" / "medunion.toml").exists()


@pytest.mark.parametrize("hours", [1, 25])
def test_certificate_rejected_before_a_key_is_made_if_the_newest_list_has_ended(hall: Halls, hours: int) -> None:
    card = hall("re-issue")
    authority = x509.load_der_x509_certificate(card.people.certificate)
    with open_token(card.people.authority, pin_from_value(card.people.pin)) as token:
        key = token.signing("medical-authority")
        old = issue_crl(authority, key, [], 41, now=datetime.now(UTC) - timedelta(hours=hours))
    (card.directory / "newest.crl").write_bytes(old.public_bytes(Encoding.DER))
    result = card.run()
    ended = hours > 24
    assert (result.exit_code, "has ended" in result.output) == (int(ended), ended), result.output
    assert ("key" in [entry.event for entry in card.entries()]) is not ended


def test_transcript_says_which_list_a_re_issue_went_on_from(hall: Halls) -> None:
    done = hall("re-issue")
    assert done.run().exit_code == 0
    facts = next(entry.data for entry in done.entries() if entry.event == "issuer")
    assert facts["previous_crl_number"] == "41"
    assert len(str(facts["previous_crl_sha256"])) == 64


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("medical-authority", "M:beispielland", "A:beispielland"),
        ("doctor-card", "D:weber", "weber"),
        ("hospital-enrolment", "H:st-anna", "H:St. Anna"),
    ],
)
def test_ceremony_file_invalid_for_an_identity_that_no_cloud_takes(
    kind: str, right: str, wrong: str, hall: Halls
) -> None:
    prepared = hall(kind)
    prepared.change(right, wrong)
    result = prepared.run()
    assert (result.exit_code, "[CEREMONY_FILE_INVALID]" in result.output) == (2, True), result.output
