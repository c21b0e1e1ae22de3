"""Signing keys in a token: what pyca/cryptography and an independent library expect of them."""

import datetime as dt
import hashlib

import Crypto.Hash.SHA256
import pytest
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512_256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm import Token, errors
from hsm.keys import sign_p256, verified
from hsm.policy import SIGNING
from hsm.sessions import Session
from tests.contract.token_backends import Capability, needs
from tests.contract.token_known_keys import ALICE, BOB, public_of, store_p256
from tests.contract.token_support import answering

ECDSA = ec.ECDSA(SHA256())


@needs(Capability.ECDSA)
def test_signature_verifies_under_the_cached_public_key(token: Token) -> None:
    key = token.generate_signing("signing")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert key.key_size == 256
    key.public_key().verify(key.sign(b"message", ECDSA), b"message", ECDSA)
    assert token.signing("signing").public_key() == key.public_key()


@needs(Capability.ECDSA)
def test_digest_is_signed_as_the_message_is(token: Token) -> None:
    key, digest = token.generate_signing("signing"), hashlib.sha256(b"message").digest()
    key.public_key().verify(key.sign(digest, ec.ECDSA(Prehashed(SHA256()))), b"message", ECDSA)
    with pytest.raises(ValueError, match="32 bytes"):
        key.sign(digest[:-1], ec.ECDSA(Prehashed(SHA256())))


@pytest.mark.parametrize(
    "algorithm",
    [
        ec.ECDSA(SHA384()),
        ec.ECDSA(Prehashed(SHA384())),
        ec.ECDSA(SHA512_256()),
        ec.ECDSA(SHA256(), deterministic_signing=True),
    ],
)
@needs(Capability.ECDSA)
def test_other_algorithm_is_refused(token: Token, algorithm: ec.ECDSA) -> None:
    key = token.generate_signing("signing")
    with pytest.raises(UnsupportedAlgorithm):
        key.sign(b"message", algorithm)


@needs(Capability.ECDSA)
def test_signing_is_one_operation_of_the_token(token: Token) -> None:
    key = token.generate_signing("signing")
    for _ in range(3):
        key.sign(b"message", ECDSA)
    assert token.metrics().operations["ECDSA"].count == 3


@needs(Capability.IMPORT)
def test_imported_key_signs_under_its_own_public_half(token: Token) -> None:
    token.import_key("known", SIGNING, bytearray(ALICE))
    key = token.signing("known")
    assert key.public_key() == public_of(ALICE)
    public_of(ALICE).verify(key.sign(b"message", ECDSA), b"message", ECDSA)


@needs(Capability.IMPORT)
def test_signature_that_does_not_verify_is_withheld(token: Token) -> None:
    store_p256(token, "mismatched", ALICE, public_of(BOB))
    with pytest.raises(errors.TokenFailed, match="wrong signature"):
        token.signing("mismatched").sign(b"message", ECDSA)


# Any DER signature is of another size, but for one in thousands: that one does not verify.
ANOTHER_FORM = [bytes(63), bytes(65), bytes.fromhex("3044") + bytes(68), b""]


@pytest.mark.parametrize("signature", ANOTHER_FORM, ids=["short", "long", "der", "empty"])
@needs(Capability.ECDSA)
def test_signature_of_another_form_is_withheld(token: Token, signature: bytes) -> None:
    token.generate_signing("signing")

    def sign(session: Session) -> bytes:
        return sign_p256(answering(session, signature), session.key("signing", SIGNING), bytes(32))

    with pytest.raises(errors.TokenFailed, match="64 bytes"):
        token._sessions.run(sign, doing="sign")


@pytest.mark.parametrize("signature", [bytes(64), bytes.fromhex("303e021d") + bytes(60), b"\xff" * 64])
def test_64_bytes_that_are_no_signature_are_withheld(signature: bytes) -> None:
    with pytest.raises(errors.TokenFailed, match="wrong signature"):
        verified(public_of(ALICE), signature, bytes(32))


@needs(Capability.ECDSA)
def test_token_key_signs_a_certificate_and_a_request(token: Token) -> None:
    key = token.generate_signing("ca")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, SHA256())
    )
    certificate.verify_directly_issued_by(certificate)
    assert certificate.signature_algorithm_oid == x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256
    assert x509.CertificateSigningRequestBuilder(name).sign(key, SHA256()).is_signature_valid


@needs(Capability.ECDSA)
def test_signature_is_verified_by_an_independent_library(token: Token) -> None:
    key = token.generate_signing("signing")
    other = ECC.import_key(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    signature = key.sign(b"message", ECDSA)
    DSS.new(other, "fips-186-3", encoding="der").verify(Crypto.Hash.SHA256.new(b"message"), signature)


@needs(Capability.ECDSA)
def test_signing_key_agrees_on_nothing(token: Token) -> None:
    key = token.generate_signing("signing")
    with pytest.raises(errors.KeyPolicyViolation):
        key.exchange(ec.ECDH(), public_of(ALICE))
