"""`medunion trust`: a bundle in words, and the digest that pins it."""

import json
from pathlib import Path

import pytest

from demo.stage import free_address, make_token, run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The trust bundle of a new federation."""
    cloud, file = tmp_path / "cloud", tmp_path / "trust.json"
    pin = make_token(cloud, "cloud")
    names = "--identity", "C:union", "--realm", "demo", "--address", free_address(), "--peer-address", free_address()
    run("public-cloud", "init", "--directory", cloud, *names, "--pin-file", pin)
    run("public-cloud", "trust", "--directory", cloud, "--output", file)
    return file


def test_a_bundle_is_shown_verified_and_refused_by_its_digest(file: Path) -> None:
    shown = run("trust", "show", file)
    assert "number 1 of demo, by C:union" in shown
    digest = json.loads(run("trust", "show", "--json", file))["digest"]
    assert f"Digest: {digest}" in shown
    assert "it is the one" in run("trust", "verify", file, digest.upper())
    other = ("0" if digest[0] != "0" else "1") + digest[1:]
    assert "BUNDLE_UNPINNED" in run("trust", "verify", file, other, expect=1)


def test_a_bundle_whose_readable_part_says_something_else_is_refused(file: Path) -> None:
    document = json.loads(file.read_text())
    document["bundle"]["cloud_address"] = "elsewhere.example:443"
    file.write_text(json.dumps(document))
    assert "not what is signed" in run("trust", "show", file, expect=1)
