"""Signing keys in a token: what pyca/cryptography and an independent library expect of them."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.signing import VerifyKey

from hsm import Token, errors
from tests.contract.token_backends import Capability, needs
from tests.contract.token_known_keys import store_ed25519
from tests.published import RFC_8032


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
@needs(Capability.ED25519_IMPORT)
def test_rfc_8032_signatures_come_out_of_the_token(
    token: Token, seed: str, public: str, message: str, signature: str
) -> None:
    store_ed25519(token, "known", bytes.fromhex(seed), bytes.fromhex(public))
    assert token.ed25519("known").sign(bytes.fromhex(message)).hex() == signature


@needs(Capability.ED25519)
def test_signature_verifies_under_the_cached_public_key(token: Token) -> None:
    key = token.generate_ed25519("signing")
    assert isinstance(key, Ed25519PrivateKey)
    key.public_key().verify(key.sign(b"message"), b"message")
    assert token.ed25519("signing").public_key() == key.public_key()


@needs(Capability.ED25519_IMPORT)
def test_signature_that_does_not_verify_is_withheld(token: Token) -> None:
    seed, _, _, _ = RFC_8032[0]
    store_ed25519(token, "mismatched", bytes.fromhex(seed), bytes.fromhex(RFC_8032[1][1]))
    with pytest.raises(errors.TokenFailed, match="wrong signature"):
        token.ed25519("mismatched").sign(b"message")


@needs(Capability.ED25519)
def test_token_key_signs_a_certificate_and_a_request(token: Token) -> None:
    key = token.generate_ed25519("ca")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, None)
    )
    certificate.verify_directly_issued_by(certificate)
    assert x509.CertificateSigningRequestBuilder(name).sign(key, None).is_signature_valid


@needs(Capability.ED25519)
def test_public_key_is_verified_by_an_independent_library(token: Token) -> None:
    key = token.generate_ed25519("signing")
    public: Ed25519PublicKey = key.public_key()
    VerifyKey(public.public_bytes_raw()).verify(b"message", key.sign(b"message"))
