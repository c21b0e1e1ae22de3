"""`medunion trust`: a bundle in words, and the digest that pins it."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from demo.stage import Federation, free_address, make_token, run, write_pin
from federation.party.node_directory import NodeDirectory
from keystore.x509 import is_issued_by
from tests.waiting import until


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The trust bundle of a new federation."""
    cloud, file = tmp_path / "cloud", tmp_path / "trust.json"
    pin = make_token(cloud, "cloud")
    names = "--identity", "C:union", "--realm", "demo", "--address", free_address(), "--peer-address", free_address()
    run("public-cloud", "init", "--directory", cloud, *names, "--pin-file", pin, "--make-keys")
    run("public-cloud", "trust", "--directory", cloud, "--output", file)
    return file


def test_a_bundle_is_shown_verified_and_refused_by_its_digest(file: Path) -> None:
    shown = run("trust", "show", file)
    assert "number 1 of demo, by C:union" in shown
    digest = json.loads(run("trust", "show", "--json", file))["digest"]
    assert f"Digest: {digest}" in shown
    assert "it is the one" in run("trust", "verify", file, "--digest", digest.upper())
    other = ("0" if digest[0] != "0" else "1") + digest[1:]
    assert "BUNDLE_UNPINNED" in run("trust", "verify", file, "--digest", other, expect=1)


def test_a_bundle_whose_readable_part_says_something_else_is_refused(file: Path) -> None:
    document = json.loads(file.read_text())
    document["bundle"]["cloud_address"] = "elsewhere.example:443"
    file.write_text(json.dumps(document))
    assert "not what is signed" in run("trust", "show", file, expect=1)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Federation]:
    """A serving public cloud and a medical authority."""
    made = Federation(tmp_path)
    try:
        made.found()
        yield made
    finally:
        made.stop()


def new_doctor(made: Federation) -> tuple[Path, Path]:
    """A doctor who is not registered yet: the directory, and Cert_D."""
    directory, certificate = made.root / "house", made.root / "house.der"
    keys = ("--identity", "D:house", "--pin-file", write_pin(made.root / "house.pin"))
    run("doctor", "init", "--directory", directory, "--trust", made.trust, *keys)
    request = ("--doctor", "D:house", "--request", directory / "certificate-request.der")
    run("authority", "issue", "--directory", made.root / "authority", *request, "--output", certificate)
    return directory, certificate


def register(directory: Path, certificate: Path, expect: int = 0) -> str:
    return run("doctor", "register", "--directory", directory, "--certificate", certificate, expect=expect)


def rotate_the_tls_ca(made: Federation) -> None:
    """Behind everybody's back; come back when the cloud shows a leaf of the new CA."""
    cloud = made.root / "cloud"
    bundle = NodeDirectory(cloud).trust().content
    (old,) = map(x509.load_der_x509_certificate, bundle.tls_ca_certificates)
    host, port = bundle.cloud_address.split(":")

    def shows_the_old() -> bool:
        leaf = ssl.get_server_certificate((host, int(port)))
        return is_issued_by(x509.load_pem_x509_certificate(leaf.encode()), old)

    assert shows_the_old()
    run("public-cloud", "rotate", "prepare", "tls-ca", "--make-keys", "--directory", cloud)
    run("public-cloud", "rotate", "activate", "tls-ca", "--now", "--directory", cloud)
    until(lambda: not shows_the_old(), "a leaf of the new CA")


def test_member_that_was_away_while_the_tls_ca_changed_comes_back_by_a_file(made: Federation, tmp_path: Path) -> None:
    directory, certificate = new_doctor(made)
    rotate_the_tls_ca(made)
    assert "UNAVAILABLE" in register(directory, certificate, expect=1)
    chain, forged = tmp_path / "chain.json", tmp_path / "forged.json"
    run("trust", "chain", "--directory", made.root / "cloud", "--output", chain)

    document = json.loads(chain.read_text())
    document["trust_bundles"][-1]["signature"] = document["trust_bundles"][0]["signature"]
    forged.write_text(json.dumps(document))
    assert "BUNDLE_SIGNER_UNKNOWN" in run("trust", "update", "--directory", directory, forged, expect=1)
    document = json.loads(chain.read_text())
    del document["trust_bundles"][-2]
    forged.write_text(json.dumps(document))
    assert "BUNDLE_OUT_OF_SEQUENCE" in run("trust", "update", "--directory", directory, forged, expect=1)
    wrong = (chain, "--digest", "00" * 32)
    assert "BUNDLE_UNPINNED" in run("trust", "update", "--directory", directory, *wrong, expect=1)

    assert "holds now" in run("trust", "update", "--directory", directory, chain)
    assert "at hand already" in run("trust", "update", "--directory", directory, chain)
    register(directory, certificate)
