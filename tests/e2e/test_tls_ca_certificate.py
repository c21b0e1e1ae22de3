"""The TLS CA's certificate that a ceremony made, taken into a new cloud's trust bundle, or refused."""

import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from demo.stage import make_token
from keystore.errors import CertificateRejected
from keystore.x509 import create_tls_ca, issue_identity_ca, request_certificate, require_tls_ca
from tests.e2e.test_keys_in_token import found
from tests.keys import new_key


def tls_ca_of(directory: Path) -> bytes:
    """Return the first TLS CA's certificate of a cloud's trust bundle."""
    document = json.loads((directory / "trust.json").read_text())
    content = document.get("bundle", document)
    (certificate,) = content.get("tls_ca_certificates") or [content["tls_ca_certificate"]]
    return b64decode(certificate)


def test_the_ceremonys_tls_ca_certificate_goes_into_the_trust_bundle(tmp_path: Path) -> None:
    first, again, anew = tmp_path / "first", tmp_path / "again", tmp_path / "anew"
    make_token(first, "cloud")
    found(first, first, "--make-keys")
    ceremonys = tmp_path / "tls-ca.der"
    ceremonys.write_bytes(tls_ca_of(first))
    assert "NEW certificate" in found(anew, first, "--keys-in-token")
    assert tls_ca_of(anew) != tls_ca_of(first)
    assert "NEW certificate" not in found(again, first, "--keys-in-token", "--tls-ca-certificate", ceremonys)
    assert tls_ca_of(again) == tls_ca_of(first)
    assert "--keys-in-token" in found(tmp_path / "x", first, "--tls-ca-certificate", ceremonys, expect=2)


def test_certificate_rejected_at_init_if_it_is_another_keys(tmp_path: Path) -> None:
    first = tmp_path / "first"
    make_token(first, "cloud")
    found(first, first, "--make-keys")
    other = tmp_path / "other.der"
    key = new_key()
    other.write_bytes(create_tls_ca(key, "keys", now=datetime.now(UTC)).public_bytes(Encoding.DER))
    options = "--keys-in-token", "--tls-ca-certificate", other
    assert "[CERTIFICATE_REJECTED]" in found(tmp_path / "again", first, *options, expect=1)
    assert not (tmp_path / "again" / "medunion.toml").exists()


def test_certificate_rejected_as_a_tls_ca_unless_realm_profile_signature_and_time_fit() -> None:
    key, now = new_key(), datetime.now(UTC)
    sound = create_tls_ca(key, "keys", now=now)
    require_tls_ca(sound, key, "keys", now=now)
    der = bytearray(sound.public_bytes(Encoding.DER))
    der[-1] ^= 1
    identity_ca = issue_identity_ca(sound, key, request_certificate(key, "H:a"), "H:a", now=now)
    for certificate, realm, at, says in (
        (sound, "other", now, "realm"),
        (sound, "keys", now + timedelta(days=3651), "validity"),
        (x509.load_der_x509_certificate(bytes(der)), "keys", now, "not signed"),
        (identity_ca, "keys", now, "CERT"),
    ):
        with pytest.raises(CertificateRejected, match=says):
            require_tls_ca(certificate, key, realm, now=at)
