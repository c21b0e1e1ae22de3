"""Checks that the other files do not come to: clocks, inventories, answers, and the transcript read by other code than ours."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS

from federation.cli import ceremony as commands
from federation.cli.main import main
from keystore.ceremony import actions, outputs
from keystore.ceremony.console import Room
from keystore.ceremony.steps import Step
from tests.ceremony.hall import EXAMPLES, Hall

Halls = Callable[[str], Hall]
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture
def tls(hall: Halls) -> Hall:
    """Give the ceremony of a TLS CA whose PIN the administrator has."""
    prepared = hall("federation-tls-ca")
    prepared.change("[quorum]\nthreshold = 2\n", "")
    return prepared


def test_transcript_is_checked_by_code_that_knows_only_its_page(tls: Hall) -> None:
    """As docs/ceremonies/transcript.md says it, with another library's ECDSA."""
    assert tls.run().exit_code == 0
    digest, closed, keys, signed = bytes(32), b"", {}, 0
    for line in tls.transcript.read_bytes().splitlines():
        entry = json.loads(line)
        claimed = entry.pop("digest")
        body = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
        digest = hashlib.sha256(digest + body).digest()
        assert claimed == digest.hex()
        if entry["event"] == "opened":
            keys = entry["data"]["participants"]
        if entry["event"] == "closed":
            closed = digest
        if entry["event"] == "signed":
            key, signature = bytes.fromhex(keys[entry["by"]]), bytes.fromhex(entry["data"]["signature"])
            message = encoded(b"sig", key, encoded(b"ceremony", closed))
            verifier = DSS.new(ECC.import_key(key, curve_name="P-256"), "fips-186-3")
            verifier.verify(SHA256.new(message), signature)
            assert int.from_bytes(signature[32:], "big") <= ORDER // 2
            signed += 1
    assert signed == len(keys) == 6


def encoded(*fields: bytes) -> bytes:
    return b"medunion/v1\0" + b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def test_clock_implausible_if_the_previous_ceremony_is_in_the_future(
    tls: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(commands, "_now", lambda: datetime.now(UTC) + timedelta(minutes=4))
        assert tls.run().exit_code == 0
    tls.transcript.rename(tls.directory / "previous")
    (tls.directory / "tls-ca.der").unlink()
    tls.change('kind = "federation-tls-ca"', 'kind = "federation-tls-ca"\nprevious = "previous"')
    result = tls.run()
    assert (result.exit_code, "[CLOCK_IMPLAUSIBLE]" in result.output) == (1, True), result.output


def test_inventory_unexpected_if_something_else_came_into_the_token(tls: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    make = outputs.make

    def slip_in(name: str, room: Room) -> bytes:
        room.token.generate_mac("stowaway")
        return make(name, room)

    monkeypatch.setattr(outputs, "make", slip_in)
    result = tls.run()
    assert (result.exit_code, "[INVENTORY_UNEXPECTED]" in result.output) == (1, True)
    assert "stowaway" in result.output
    assert tls.labels() == {"stowaway"}


def test_content_wrong_if_an_output_was_changed_before_the_ceremony_went_on(
    tls: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Room, "confirm", _stop_at_the_output)
        assert tls.run().exit_code == 1
    (tls.directory / "tls-ca.der").write_bytes(b"another")
    result = tls.run("--resume")
    assert (result.exit_code, "[CONTENT_WRONG]" in result.output) == (1, True)
    assert tls.labels() == set()


def _stop_at_the_output(_room: Room, step: Step) -> None:
    if step.action == "write-output":
        raise KeyboardInterrupt


def test_output_that_somebody_else_made_meanwhile_is_left_alone(tls: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tls.directory / "tls-ca.der"
    make = outputs.make

    def be_overtaken(name: str, room: Room) -> bytes:
        theirs.write_bytes(b"theirs")
        return make(name, room)

    monkeypatch.setattr(outputs, "make", be_overtaken)
    result = tls.run()
    assert (result.exit_code, "[OUTPUT_EXISTS]" in result.output) == (1, True)
    assert theirs.read_bytes() == b"theirs"
    assert tls.labels() == set()


@pytest.mark.parametrize("text", ["[answers", 'surplus = "x"'])
def test_ceremony_file_invalid_for_an_answers_file_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "answers.toml"
    path.write_text(text)
    example = str(EXAMPLES / "rotation.toml")
    result = CliRunner().invoke(main, ["ceremony", "run", example, "--answers", str(path)])
    assert (result.exit_code, "[CEREMONY_FILE_INVALID]" in result.output) == (2, True)


def test_ceremony_file_invalid_for_a_pin_without_a_name(tls: Hall) -> None:
    assert tls.run().exit_code == 0
    assert tls.verify("--participant", "Wim").exit_code == 2
    assert tls.verify("--participant", f"Wim={'0' * 64}").exit_code == 1


def test_resume_refused_for_a_rehearsal(tls: Hall) -> None:
    result = tls.run("--rehearsal", "--resume")
    assert (result.exit_code, "[RESUME_REFUSED]" in result.output) == (1, True)


def test_pin_is_in_no_line_that_is_shown_or_kept(tls: Hall) -> None:
    result = tls.run()
    assert result.exit_code == 0
    assert tls.pin not in result.output
    assert tls.pin.encode() not in tls.transcript.read_bytes()


def test_every_action_of_the_script_is_there() -> None:
    assert set(actions._ACTIONS) == set(actions.Action.__args__)
