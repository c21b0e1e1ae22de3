"""A node that takes the keys which its token holds already, as a ceremony or a restore left them."""

from pathlib import Path

from demo.stage import make_token, run
from federation.party.node_directory import NodeDirectory

ADDRESSES = "--address", "127.0.0.1:1", "--peer-address", "127.0.0.1:2"


def found(directory: Path, first: Path, *options: str, expect: int = 0) -> str:
    """Found a cloud in a directory, on the token that was made in the first one."""
    token = "--token", (first / "tokens" / "token.uri").read_text().strip()
    configuration = "--softhsm-configuration", first / "tokens" / "softhsm2.conf"
    names = "--identity", "C:union", "--realm", "keys", *ADDRESSES
    words = "public-cloud", "init", "--directory", directory, *names, *token, *configuration
    return run(*words, "--pin-file", first / "pin", *options, expect=expect)


def public_keys(directory: Path) -> tuple[bytes, bytes]:
    bundle = NodeDirectory(directory).trust().content
    return bundle.issuers[0].verifying_key, bundle.cloud_keys[0].verifying_key


def test_a_cloud_is_founded_on_the_keys_that_are_in_its_token(tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    make_token(first, "cloud")
    assert "KEY_NOT_FOUND" in found(first, first, "--keys-in-token", expect=1)
    found(first, first, "--make-keys")
    assert "KEY_EXISTS" in found(again, first, "--make-keys", expect=1)
    assert not (again / "medunion.toml").exists()
    found(again, first, "--keys-in-token")
    assert public_keys(again) == public_keys(first)


def test_a_hospital_is_made_on_the_keys_that_are_in_its_token(tmp_path: Path) -> None:
    cloud, first, again = tmp_path / "cloud", tmp_path / "first", tmp_path / "again"
    make_token(cloud, "cloud")
    found(cloud, cloud, "--make-keys")
    pin = make_token(first, "alpha")
    names = "--identity", "H:alpha", "--trust", cloud / "trust.json", "--listen", "127.0.0.1:3", "--pin-file", pin
    run("hospital", "init", "--directory", first, *names, "--make-keys")
    token = "--token", (first / "tokens" / "token.uri").read_text().strip()
    configuration = "--softhsm-configuration", first / "tokens" / "softhsm2.conf"
    assert "KEY_EXISTS" in run(
        "hospital", "init", "--directory", again, *names, *token, *configuration, "--make-keys", expect=1
    )
    run("hospital", "init", "--directory", again, *names, *token, *configuration, "--keys-in-token")
