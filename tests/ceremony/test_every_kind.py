"""Every kind of ceremony, run from its own example file on real tokens, and rehearsed as a newcomer types it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from demo.stage import run
from federation.cli.main import main
from hsm import TokenUri, open_token, pin_from_value
from keystore.backup import BackupCard, RecoverableKeys
from keystore.ceremony.kinds import KINDS
from keystore.curve import compressed
from keystore.quorum import Share, combine_pin
from tests.ceremony.hall import EXAMPLES, OFFICERS, Hall, rehearse
from tests.conftest import USER_PIN

Halls = Callable[[str], Hall]
CLOUD_KEYS = {"identity", "sealing", "issuer", "index", "tls-ca"}


def held(hall: Hall) -> Hall:
    result = hall.run()
    assert result.exit_code == 0, result.output
    assert not hall.state.exists()
    return hall


def new_pin(hall: Hall, names: tuple[str, ...] = ("Omar", "Otto")) -> str:
    shares = [Share.parse((hall.shares / f"{name}.share").read_text()) for name in names]
    return combine_pin(shares).reveal()


def test_every_kind_has_an_example() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.toml")} == set(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_example_is_held_and_its_transcript_verifies(kind: str, hall: Halls) -> None:
    done = held(hall(kind))
    pins = [option for name, key in done.people.keys.items() for option in ("--participant", f"{name}={key}")]
    result = done.verify(*pins)
    assert result.exit_code == 0, result.output
    assert "REHEARSAL" not in result.output
    facts = next(entry.data for entry in done.entries() if entry.event == "token")
    assert facts["serial"] == done.token.serial
    assert facts["firmware"] == "2.6" or facts["firmware"]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_example_is_rehearsed_and_every_line_says_so(kind: str, tmp_path: Path) -> None:
    transcript = tmp_path / "transcript"
    said = rehearse(EXAMPLES / f"{kind}.toml", transcript)
    assert all(line.startswith("REHEARSAL") for line in said.splitlines())
    assert "REHEARSAL" in run("ceremony", "verify", transcript)
    page = tmp_path / "page.html"
    run("ceremony", "render", transcript, "--output", page)
    assert "REHEARSAL" in page.read_text()


def test_public_cloud_root_makes_its_keys_and_no_others(hall: Halls) -> None:
    done = held(hall("public-cloud-root"))
    pin = new_pin(done)
    assert done.labels(pin) == CLOUD_KEYS
    secret = [info for info in done.objects(pin) if info.object_class != "PUBLIC_KEY"]
    assert all(info.sensitive and not info.extractable and info.never_extractable and info.local for info in secret)
    issuer = load_pem_public_key((done.directory / "issuer.pem").read_bytes())
    recorded = {entry.data["label"]: entry.data["public_key"] for entry in done.entries() if entry.event == "key"}
    assert compressed(issuer).hex() == recorded["issuer"]
    ca = x509.load_der_x509_certificate((done.directory / "tls-ca.der").read_bytes())
    ca.verify_directly_issued_by(ca)
    assert compressed(ca.public_key()).hex() == recorded["tls-ca"]


def test_any_two_officers_shares_give_the_tokens_pin_and_nothing_keeps_it(hall: Halls) -> None:
    done = held(hall("public-cloud-root"))
    pins = {new_pin(done, (one, other)) for one in OFFICERS for other in OFFICERS if one != other}
    assert len(pins) == 1
    kept = done.transcript.read_bytes()
    assert pins.pop().encode() not in kept
    for name in OFFICERS:
        words = (done.shares / f"{name}.share").read_text().partition(":")[2].split()
        assert " ".join(words[:6]).encode() not in kept


def test_doctor_certificate_is_of_the_card_and_by_the_authority(hall: Halls) -> None:
    done = held(hall("doctor-card"))
    authority = x509.load_der_x509_certificate(done.people.certificate)
    certificate = x509.load_der_x509_certificate((done.directory / "weber.der").read_bytes())
    certificate.verify_directly_issued_by(authority)
    recorded = next(
        entry.data for entry in done.entries() if entry.event == "key" and entry.data["label"] == "identity"
    )
    assert compressed(certificate.public_key()).hex() == recorded["public_key"]


def test_re_issue_keeps_what_was_revoked_before(hall: Halls) -> None:
    done = held(hall("re-issue"))
    crl = x509.load_der_x509_crl((done.directory / "next.crl").read_bytes())
    assert {entry.serial_number for entry in crl} == {7, 0x1F2E3D}
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 42


def test_rotation_leaves_the_old_key_beside_its_successor(hall: Halls) -> None:
    done = held(hall("rotation"))
    assert done.labels() == {"identity", "tls-ca", "tls-ca.2"}


def test_destruction_destroys_what_is_named_and_nothing_else(hall: Halls) -> None:
    done = held(hall("destruction"))
    assert done.labels() == {"identity"}


def test_restored_issuing_key_has_the_same_public_key(hall: Halls) -> None:
    done = held(hall("restore"))
    recorded = {entry.data["label"]: entry.data["public_key"] for entry in done.entries() if entry.event == "key"}
    assert recorded["issuer"] == done.lost
    assert done.labels() == CLOUD_KEYS


def test_backup_is_restored_from_its_card_and_any_two_shares(hall: Halls) -> None:
    done = held(hall("backup"))
    card = BackupCard.from_json((done.directory / "card.json").read_text())
    shares = [Share.parse((done.shares / f"{name}.share").read_text()) for name in ("Olga", "Otto")]
    with RecoverableKeys.restore(lambda: open_token(done.dead, pin_from_value(done.pin)), shares, card) as token:
        card.verify(token)
    assert done.labels() == CLOUD_KEYS
    for name in OFFICERS:
        words = (done.shares / f"{name}.share").read_text().partition(":")[2].split()
        assert " ".join(words[:6]).encode() not in done.transcript.read_bytes()


def test_interrupted_when_the_input_ends(tmp_path: Path) -> None:
    options = ("--rehearsal", "--output", tmp_path / "transcript")
    said = run("ceremony", "run", EXAMPLES / "rotation.toml", *options, stdin="Yes\nYe", expect=1)
    assert "[INTERRUPTED]" in said


def test_participant_command_makes_a_key_once(make_token_uri: Callable[..., TokenUri], tmp_path: Path) -> None:
    (tmp_path / "pin").write_text(USER_PIN)
    (tmp_path / "pin").chmod(0o600)
    words = ["ceremony", "participant", "--token", str(make_token_uri("wanda")), "--pin-file", str(tmp_path / "pin")]
    first, again = CliRunner().invoke(main, words), CliRunner().invoke(main, words)
    assert (first.exit_code, len(first.output.strip())) == (0, 66)
    assert first.output == again.output


def test_outputs_are_public_and_the_transcript_private(hall: Halls) -> None:
    done = held(hall("medical-authority"))
    assert (done.directory / "authority.der").stat().st_mode & 0o777 == 0o644
    assert done.transcript.stat().st_mode & 0o777 == 0o600


def test_ceremonies_are_chained_by_the_previous_transcript(hall: Halls) -> None:
    first = held(hall("federation-tls-ca"))
    previous = first.transcript.rename(first.directory / "first.transcript")
    first.change('kind = "federation-tls-ca"', 'kind = "federation-tls-ca"\nprevious = "first.transcript"')
    (first.directory / "tls-ca.der").unlink()
    result = first.run()
    assert result.exit_code == 3  # its PIN is another now; the chain is on record all the same
    opened = first.entries()[0].data
    assert opened["previous_sha256"] == hashlib.sha256(previous.read_bytes()).hexdigest()


def test_run_sheet_is_the_same_for_the_same_file_and_names_every_step() -> None:
    for kind in KINDS:
        path = EXAMPLES / f"{kind}.toml"
        sheet = run("ceremony", "script", path)
        assert sheet == run("ceremony", "script", path)
        assert "[file]" in sheet
        assert "[sign]" in sheet


def test_transcript_is_readable_json_lines(hall: Halls) -> None:
    done = held(hall("medical-authority"))
    lines = [json.loads(line) for line in done.transcript.read_text().splitlines()]
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
