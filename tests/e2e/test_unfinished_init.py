"""An `init` that was killed while it made keys: run again, it goes on with its own keys and with nobody else's."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.stage import environment as surroundings
from demo.stage import make_token, run
from federation.party.key_provisioning import make_keys
from federation.party.node_directory import NodeDirectory
from federation.settings import ConfigError
from hsm import Token
from hsm.errors import KeyExists
from keystore.curve import compressed
from keystore.party import CloudKeys, PartyKeys

PLACES = [
    "federation.party.key_provisioning.generate",  # before any key
    "hsm.token.Token.generate_mac",  # between two keys
    "hsm.token.Token.generate_mac",
    "federation.store.party.Settings.advance",  # after the keys, before the database is claimed
    "federation.store.directory.TrustChain.put",
    "federation.party.node_directory.NodeDirectory.write_trust",
    "federation.party.node_directory.NodeDirectory.write_settings",
]


def killed_at(place: str, *words: object) -> None:
    """Type a command whose process is killed where it comes to this function."""
    owner, _, name = place.rpartition(".")
    code = f"""
import os, pkgutil
setattr(pkgutil.resolve_name({owner!r}), {name!r}, lambda *_a, **_k: os.kill(os.getpid(), {signal.SIGKILL:d}))
from federation.cli.main import main
main()
"""
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, env=surroundings(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def cloud_words(directory: Path, pin: Path) -> list[object]:
    names = "--identity", "C:union", "--realm", "keys", "--address", "127.0.0.1:1", "--peer-address", "127.0.0.1:2"
    return ["public-cloud", "init", "--directory", directory, *names, "--pin-file", pin, "--make-keys"]


@pytest.mark.parametrize("place", PLACES)
def test_cloud_whose_init_was_killed_is_founded_by_the_next_one(place: str, tmp_path: Path) -> None:
    directory = tmp_path / "cloud"
    words = cloud_words(directory, make_token(directory, "cloud"))
    killed_at(place, *words)
    assert not (directory / "medunion.toml").exists()
    assert "goes on with the keys that it made" in run(*words)
    assert not (directory / "unfinished.json").exists()
    assert (directory / "trust.json").exists()
    assert "0 findings" in run("token", "keys", "--directory", directory)


@pytest.mark.parametrize("place", [PLACES[1], PLACES[-1]])
def test_hospital_whose_init_was_killed_is_made_by_the_next_one(place: str, tmp_path: Path) -> None:
    cloud, hospital = tmp_path / "cloud", tmp_path / "hospital"
    run(*cloud_words(cloud, make_token(cloud, "cloud")))
    pin = make_token(hospital, "alpha")
    names = "--identity", "H:alpha", "--trust", cloud / "trust.json", "--listen", "127.0.0.1:3", "--pin-file", pin
    words = ["hospital", "init", "--directory", hospital, *names, "--make-keys"]
    killed_at(place, *words)
    assert "goes on with the keys that it made" in run(*words)
    assert (hospital / "medunion.toml").exists()
    assert "0 findings" in run("token", "keys", "--directory", hospital)


@pytest.fixture
def node(tmp_path: Path) -> NodeDirectory:
    """Return the directory of a node to be."""
    made = NodeDirectory(tmp_path / "node")
    made.create()
    return made


def cut_off(node: NodeDirectory, token: Token, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Stop after the first key; return its public half."""
    with monkeypatch.context() as patch:
        patch.setattr(Token, "generate_agreement", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            make_keys(node, token, PartyKeys)
    assert node.is_unfinished
    return compressed(token.signing("identity").public_key())


def test_whole_key_is_kept_and_the_rest_is_made(
    node: NodeDirectory, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cut_off(node, token, monkeypatch)
    keys = make_keys(node, token, PartyKeys)
    assert keys.signing_key.verifying_key.data == before


def test_half_a_pair_gives_way(node: NodeDirectory, token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    from pkcs11 import Attribute, ObjectClass  # noqa: PLC0415 - what a kill in the middle of a pair leaves

    before = cut_off(node, token, monkeypatch)
    half = {Attribute.LABEL: "identity", Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    token._sessions.run(lambda session: session.search(half)[0].destroy(), doing="halve it", writable=True)
    keys = make_keys(node, token, PartyKeys)
    assert keys.signing_key.verifying_key.data != before


def test_key_exists_if_somebody_else_made_one_and_nothing_is_made_beside_it(node: NodeDirectory, token: Token) -> None:
    token.generate_signing("tls-ca")
    with pytest.raises(KeyExists, match="tls-ca already"):
        make_keys(node, token, CloudKeys)
    assert {info.label for info in token.objects()} == {"tls-ca"}
    assert not node.is_unfinished


def test_another_token_is_refused_while_one_is_half_full(
    node: NodeDirectory, token: Token, make_token, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(node, token, monkeypatch)
    other = make_token("other")
    with pytest.raises(ConfigError, match=f"serial {token.serial}"):
        make_keys(node, other, PartyKeys)
    assert other.objects() == []
