"""Nodes made on the keys of a ceremony: `medunion init` checks the transcript, and that they are the ones in the token."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from federation.cli.main import main
from federation.party.node_directory import NodeDirectory
from hsm import Pin, TokenUri, open_token, pin_from_value
from keystore.ceremony.verify import verify
from keystore.party import CloudKeys
from keystore.quorum import Share, combine_pin
from tests.ceremony.hall import OFFICERS, Hall, rehearse

Halls = Callable[[str], Hall]


def init(hall: Hall, *words: object, token: TokenUri | None = None, code: int = 0) -> str:
    """Type `init` for the node of a ceremony."""
    given = [
        *words,
        "--ceremony",
        hall.transcript,
        "--token",
        token or hall.token,
        "--pin-file",
        hall.directory / ("pin" if token else "officers-pin"),
    ]
    result = CliRunner().invoke(main, list(map(str, given)))
    assert result.exit_code == code, result.output
    return result.output


def held(hall: Hall) -> Hall:
    """Hold the ceremony; the officers put the PIN that it made into a file again."""
    result = hall.run()
    assert result.exit_code == 0, result.output
    shares = [Share.parse((hall.shares / f"{name}.share").read_text()) for name in OFFICERS[:2]]
    (hall.directory / "officers-pin").touch(mode=0o600)
    (hall.directory / "officers-pin").write_text(combine_pin(shares).reveal())
    return hall


def cloud(hall: Hall, name: str = "cloud") -> list[object]:
    addresses = "--address", "127.0.0.1:1", "--peer-address", "127.0.0.1:2"
    return [
        "public-cloud",
        "init",
        "--directory",
        hall.directory / name,
        "--identity",
        "C:union",
        "--realm",
        "union",
        *addresses,
    ]


def wanda(hall: Hall) -> tuple[str, str]:
    return "--participant", f"Wanda={hall.people.keys['Wanda']}"


def test_cloud_takes_the_keys_and_the_tls_ca_of_its_ceremony(hall: Halls) -> None:
    root = held(hall("public-cloud-root"))
    assert "C:union is founded" in init(root, *cloud(root), *wanda(root))
    bundle = NodeDirectory(root.directory / "cloud").trust().content
    assert bundle.tls_ca_certificates[0] == (root.directory / "tls-ca.der").read_bytes()


def test_hospital_takes_the_keys_of_its_enrolment(
    hall: Halls, tmp_path: Path, make_token_uri: Callable[..., TokenUri]
) -> None:
    enrolment = held(hall("hospital-enrolment"))
    trust = ["--identity", "C:union", "--realm", "union", "--address", "127.0.0.1:1", "--peer-address", "127.0.0.1:2"]
    made = [
        "public-cloud",
        "init",
        "--directory",
        tmp_path / "cloud",
        *trust,
        "--make-keys",
        "--token",
        make_token_uri("cloud"),
    ]
    assert CliRunner().invoke(main, list(map(str, [*made, "--pin-file", enrolment.directory / "pin"]))).exit_code == 0
    names = "--identity", "H:st-anna", "--trust", tmp_path / "cloud" / "trust.json", "--listen", "127.0.0.1:3"
    said = init(enrolment, "hospital", "init", "--directory", tmp_path / "st-anna", *names, *wanda(enrolment))
    assert "H:st-anna is made" in said


def test_ceremony_of_another_kind_a_rehearsal_and_unknown_people_are_refused(hall: Halls) -> None:
    enrolment = held(hall("hospital-enrolment"))
    assert "of another kind" in init(enrolment, *cloud(enrolment), *wanda(enrolment), code=1)
    assert "at least one participant" in init(enrolment, *cloud(enrolment), code=1)
    assert "PARTICIPANT_NOT_PINNED" in init(enrolment, *cloud(enrolment), "--participant", f"Wanda={'02' * 33}", code=1)
    made = [
        enrolment.transcript,
        *enrolment.shares.iterdir(),
        *enrolment.directory.glob("*.pem"),
        *enrolment.directory.glob("*.csr"),
    ]
    for path in made:
        path.unlink()
    rehearse(enrolment.file, enrolment.transcript)
    thrown_away = verify(enrolment.transcript.read_bytes()).signers["Wanda"]
    said = init(enrolment, *cloud(enrolment), "--participant", f"Wanda={thrown_away}", code=1)
    assert "transcript of a rehearsal" in said


def test_token_with_other_keys_than_the_ceremony_s_is_refused(
    hall: Halls, make_token_uri: Callable[..., TokenUri], user_pin: Pin
) -> None:
    root, other = held(hall("public-cloud-root")), make_token_uri("other")
    with open_token(other, pin_from_value(user_pin.reveal())) as token:
        CloudKeys.create(token)
    assert "is not the one of" in init(root, *cloud(root), *wanda(root), token=other, code=1)
    assert not (root.directory / "cloud" / "medunion.toml").exists()


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
