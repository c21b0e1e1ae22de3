"""`medunion trust`: a bundle in words, and the digest that pins it."""

import json
from pathlib import Path

from demo.stage import free_address, make_token, run


def test_a_bundle_is_shown_verified_and_refused_by_its_digest(tmp_path: Path) -> None:
    cloud, file = tmp_path / "cloud", tmp_path / "trust.json"
    pin = make_token(cloud, "cloud")
    addresses = "--address", free_address(), "--peer-address", free_address()
    run(
        "public-cloud",
        "init",
        "--directory",
        cloud,
        "--identity",
        "C:union",
        "--realm",
        "demo",
        *addresses,
        "--pin-file",
        pin,
    )
    run("public-cloud", "trust", "--directory", cloud, "--output", file)
    shown = run("trust", "show", file)
    assert "number 1 of demo, by C:union" in shown
    digest = json.loads(run("trust", "show", "--json", file))["digest"]
    assert f"Digest: {digest}" in shown
    assert "it is the one" in run("trust", "verify", file, digest.upper())
    other = ("0" if digest[0] != "0" else "1") + digest[1:]
    assert "BUNDLE_UNPINNED" in run("trust", "verify", file, other, expect=1)


def test_a_bundle_whose_readable_part_says_something_else_is_refused(tmp_path: Path) -> None:
    cloud, file = tmp_path / "cloud", tmp_path / "trust.json"
    pin = make_token(cloud, "cloud")
    addresses = "--address", free_address(), "--peer-address", free_address()
    run(
        "public-cloud",
        "init",
        "--directory",
        cloud,
        "--identity",
        "C:union",
        "--realm",
        "demo",
        *addresses,
        "--pin-file",
        pin,
    )
    run("public-cloud", "trust", "--directory", cloud, "--output", file)
    document = json.loads(file.read_text())
    document["bundle"]["cloud_address"] = "elsewhere.example:443"
    file.write_text(json.dumps(document))
    assert "not what is signed" in run("trust", "show", file, expect=1)
