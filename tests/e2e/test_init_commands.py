"""`init`: from nothing to a node that can serve, through the command line; what was cut off goes on."""

import shlex
import stat
from pathlib import Path

import pytest

from demo.stage import Running, free_address, make_token, run, ticket_in
from federation.party.node_directory import NodeDirectory
from federation.settings import CloudSettings, HospitalSettings, MemberSettings, read_settings
from tests.e2e.test_unfinished_init import killed_at

PLACES = [
    "hsm.softhsm.SoftHsm.create_token",
    "federation.cli.init.try_token",
    "hsm.token.Token.generate_mac",
    "federation.store.directory.TrustChain.put",
    "federation.cloud.node.PublicCloudNode.add_authority",
]


def cloud_words(directory: Path, *more: object, identity: str = "C:union") -> list[object]:
    names = "--identity", identity, "--realm", "keys", "--address", free_address(), "--peer-address", free_address()
    return ["public-cloud", "init", "--directory", directory, *names, *more]


def hospital_words(directory: Path, trust: Path, *more: object) -> list[object]:
    names = "--identity", "H:alpha", "--trust", trust, "--listen", "127.0.0.1:3"
    return ["hospital", "init", "--directory", directory, *names, *more]


def token_of(directory: Path) -> list[object]:
    """Make a token beside a directory, as an HSM is beside its machine; return the options that name it."""
    pin = make_token(directory, "real")
    uri = (directory / "tokens" / "token.uri").read_text().strip()
    return ["--token", uri, "--softhsm-configuration", directory / "tokens" / "softhsm2.conf", "--pin-file", pin]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Return the options that name a medical authority's certificate and list."""
    root = tmp_path_factory.mktemp("board")
    pin = make_token(root / "board", "board")
    names = "--identity", "M:board", "--output", root / "board.der", "--pin-file", pin
    run("authority", "init", "--directory", root / "board", *names)
    run("authority", "crl", "--directory", root / "board", "--output", root / "board.crl")
    return ["--authority", root / "board.der", "D:*", "--crl", root / "board.crl"]


def test_authority_leaves_its_pin_to_a_credential(tmp_path: Path) -> None:
    directory = tmp_path / "board"
    pin = make_token(directory, "board")
    names = "--identity", "M:board", "--output", tmp_path / "board.der", "--pin-file", pin
    run("authority", "init", "--directory", directory, *names, "--pin-credential", "pin")
    settings = NodeDirectory(directory).settings(MemberSettings).token
    assert (settings.pin_credential, settings.pin_file) == ("pin", None)
    run("authority", "crl", "--directory", directory, "--output", tmp_path / "board.crl", "--pin-file", pin)


def tasks(said: str) -> list[str]:
    """Return the numbered list of what is left to do."""
    lines = said.partition("What is left to do:\n")[2].partition("\n\n")[0].splitlines()
    numbered = [line for line in lines if line.lstrip()[:1].isdigit()]
    assert [line.split(".")[0].strip() for line in numbered] == [str(n + 1) for n in range(len(numbered))]
    return [line.split(". ", 1)[1] for line in numbered]


def test_cloud_is_founded_from_nothing_and_serves(tmp_path: Path, board: list[object]) -> None:
    directory = tmp_path / "cloud"
    words = cloud_words(directory, "--development-token")
    said = run(*words)
    assert "done  C:union is founded" in said
    assert tasks(said)[0].startswith("Recognise a medical authority")
    assert "This is a development token" in said
    assert (directory / "pin").read_text() not in said
    trust = (directory / "trust.json").read_bytes()

    again = run(*words, *board)
    assert "M:board is recognised" in again
    assert "List 1 of M:board is taken" in again
    assert not any("authority" in task for task in tasks(again))
    assert any(task.startswith("Back it up") for task in tasks(again))
    assert (directory / "trust.json").read_bytes() != trust
    assert run(*words, *board).count("done") == 4

    settings = directory / "medunion.toml"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert (
        "# Delta T: how old a message may be when it comes, in seconds. 1 to 600. Default: 30.\n"
        in settings.read_text()
    )
    assert read_settings(settings, CloudSettings).protocol.freshness_seconds == 30


def test_hospital_is_made_and_registers_as_soon_as_it_has_a_ticket(tmp_path: Path, board: list[object]) -> None:
    cloud, hospital = tmp_path / "cloud", tmp_path / "alpha"
    said = run(*cloud_words(cloud, "--development-token", *board))
    digest = next(word for word in said.split() if len(word) == 64)
    trust = cloud / "trust.json"
    words = hospital_words(hospital, trust, "--development-token", "--digest", f"{digest[:32]} {digest[32:].upper()}")
    said = run(*words)
    assert "Ask the operator of C:union for a ticket" in tasks(said)[0]
    assert tasks(said)[1].startswith("Register with it")
    assert "Nobody compared" not in said

    ticket = ticket_in(run("public-cloud", "invite", "--directory", cloud, "H:alpha"))
    licence = tmp_path / "licence"
    licence.write_text("4711")
    server = Running(
        tmp_path / "log", "public-cloud", "serve", "--directory", cloud, "--ready-file", tmp_path / "ready"
    )
    try:
        server.wait_for(tmp_path / "ready")
        register = *words, "--licence", licence, "--ticket-file", "-"
        said = run(*register, stdin=f"{ticket}\n")
        assert "done  H:alpha is registered" in said
        assert tasks(said)[0].startswith("Look whether everything")
        assert ticket not in said
        assert "is registered" in run(*register, stdin="\n")
    finally:
        server.stop()


@pytest.mark.parametrize("place", PLACES)
def test_cloud_that_was_cut_off_goes_on_where_it_was(place: str, tmp_path: Path, board: list[object]) -> None:
    words = cloud_words(tmp_path / "cloud", "--development-token", *board)
    killed_at(place, *words)
    assert "List 1 of M:board is taken" in run(*words)
    assert "0 findings" in run("token", "keys", "--directory", tmp_path / "cloud")


def test_bundle_unpinned_if_the_digest_differs_and_nothing_is_made(tmp_path: Path) -> None:
    cloud, hospital = tmp_path / "cloud", tmp_path / "alpha"
    run(*cloud_words(cloud, "--development-token"))
    words = hospital_words(hospital, cloud / "trust.json", "--development-token")
    said = run(*words, "--digest", "ab" * 32, expect=1)
    assert "BUNDLE_UNPINNED" in said
    assert not hospital.exists()
    assert "Nobody compared the trust bundle's digest yet" in run(*words)


def test_real_token_needs_a_word_on_where_its_keys_come_from(tmp_path: Path) -> None:
    token, words = token_of(tmp_path / "hsm"), cloud_words(tmp_path / "cloud")
    said = run(*words, *token, expect=2)
    for choice in ("--ceremony TRANSCRIPT", "public-cloud-root", "--keys-in-token", "--make-keys"):
        assert choice in said
    assert not (tmp_path / "cloud").exists()
    assert "KEY_NOT_FOUND" in run(*words, *token, "--keys-in-token", expect=1)
    assert "before no witness" in run(*words, *token, "--make-keys")


def test_directory_of_another_node_is_refused(tmp_path: Path) -> None:
    run(*cloud_words(tmp_path / "cloud", "--development-token"))
    said = run(*cloud_words(tmp_path / "cloud", "--development-token", identity="C:other"), expect=1)
    assert "is C:union's: C:other needs a directory of its own" in said
    said = run(*hospital_words(tmp_path / "cloud", tmp_path / "cloud" / "trust.json", "--development-token"), expect=1)
    assert "another kind of node" in said


def test_init_typed_again_with_something_else_is_refused_and_says_how_it_is_changed(tmp_path: Path) -> None:
    directory, words = tmp_path / "cloud", cloud_words(tmp_path / "cloud", "--development-token")
    run(*words)
    trust, settings = (directory / "trust.json").read_bytes(), (directory / "medunion.toml").read_bytes()
    others = list(words)
    others[others.index("--address") + 1] = "elsewhere.example:7001"
    said = run(*others, "--listen", "0.0.0.0:7001", "--pin-credential", "pin", expect=1)
    assert "not elsewhere.example:7001 (`medunion public-cloud move`" in said
    assert "not 0.0.0.0:7001 (change public_listen in medunion.toml, and restart)" in said
    assert "--pin-credential is not set, not pin (change token.pin_credential" in said
    assert "--peer-address" not in said
    assert "done" not in said
    assert "--realm is keys, not other" in run(*[{"keys": "other"}.get(str(it), it) for it in words], expect=1)

    hospital = hospital_words(tmp_path / "alpha", directory / "trust.json", "--development-token")
    run(*hospital)
    changed = (
        "--address",
        "a.example:3",
        "--department",
        "cardiology",
        "--database",
        f"sqlite:///{tmp_path}/other.sqlite",
    )
    said = run(*hospital, *changed, expect=1)
    for name in ("--address is 127.0.0.1:3, not a.example:3", "--department is ", "--database is not set"):
        assert name in said
    assert "--listen" not in said
    assert "done  H:alpha is made" in run(*hospital)
    assert trust == (directory / "trust.json").read_bytes()
    assert settings == (directory / "medunion.toml").read_bytes()


def test_init_typed_again_with_the_bundle_of_another_federation_is_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        run(*cloud_words(tmp_path / name, "--development-token", identity=f"C:{name}"))
    run(*hospital_words(tmp_path / "alpha", tmp_path / "one" / "trust.json", "--development-token"))
    said = run(*hospital_words(tmp_path / "alpha", tmp_path / "other" / "trust.json", "--development-token"), expect=1)
    assert "--trust is keys by C:one, not keys by C:other" in said


def test_settings_may_name_a_credential_in_place_of_the_pin_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, credentials = tmp_path / "cloud", tmp_path / "credentials"
    words = cloud_words(directory, "--development-token", "--pin-credential", "pin")
    said = run(*words)
    assert read_settings(directory / "medunion.toml", CloudSettings).token.pin_file is None
    (check,) = [line for line in said.splitlines() if line.strip().startswith("medunion check")]
    assert "Nothing is wrong" in run(*shlex.split(check)[1:])
    log = "public-cloud", "log", "--directory", directory, "--verify"
    assert "the service's alone" in run(*log, expect=1)
    credentials.mkdir()
    (directory / "pin").rename(credentials / "pin")
    (credentials / "pin").chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert "the tree holds" in run(*log)
    assert "done  C:union is founded" in run(*words)


def test_hospital_s_storage_stands_in_its_settings(tmp_path: Path) -> None:
    run(*cloud_words(tmp_path / "cloud", "--development-token"))
    storage = "--database", f"sqlite:///{tmp_path}/a.sqlite", "--blobs", f"file://{tmp_path}/blobs"
    trust = tmp_path / "cloud" / "trust.json"
    run(*hospital_words(tmp_path / "a", trust, "--development-token", *storage))
    settings = read_settings(tmp_path / "a" / "medunion.toml", HospitalSettings)
    assert (settings.database.url, settings.blobs.url) == (storage[1], storage[3])
    assert (tmp_path / "a.sqlite").exists()


def test_files_that_an_init_needs_are_read_before_any_key_is_made(tmp_path: Path, board: list[object]) -> None:
    broken = tmp_path / "broken.crl"
    broken.write_bytes(b"no list")
    words = cloud_words(tmp_path / "cloud", "--development-token", *board, "--crl", broken)
    assert "is no certificate revocation list" in run(*words, expect=1)
    assert not (tmp_path / "cloud").exists()

    run(*cloud_words(tmp_path / "founded", "--development-token", *board))
    hospital = hospital_words(tmp_path / "alpha", tmp_path / "founded" / "trust.json", "--development-token")
    assert "TICKET_INVALID" in run(*hospital, "--licence", broken, "--ticket-file", "-", stdin="none\n", expect=1)
    assert not (tmp_path / "alpha").exists()


def test_output_that_cannot_be_written_is_told_before_an_authority_gives_a_number(board: list[object]) -> None:
    directory = Path(str(board[1])).with_name("board")
    before = (directory / "issued.json").read_bytes()
    said = run("authority", "crl", "--directory", directory, "--output", directory / "nowhere" / "list", expect=2)
    assert "there is no such directory" in said
    assert (directory / "issued.json").read_bytes() == before
