"""HMAC keys in a token: the code of a message is HMAC-SHA256's."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes, hmac

from hsm import Token, errors
from hsm.agreement import hmac_sha256
from hsm.policy import MAC
from hsm.sessions import Session
from tests.contract.token_backends import Capability, needs
from tests.contract.token_support import answering


@needs(Capability.HMAC)
def test_mac_is_deterministic_and_32_bytes(token: Token) -> None:
    key = token.generate_mac("index")
    assert len(key.mac(b"")) == 32
    assert key.mac(b"patient") == token.mac("index").mac(b"patient") != key.mac(b"other")


@needs(Capability.HMAC_IMPORT)
def test_mac_equals_hmac_sha256_of_a_known_key(token: Token) -> None:
    secret = bytes(range(32))
    token.import_key("known", MAC, bytearray(secret))
    software = hmac.HMAC(secret, hashes.SHA256())
    software.update(b"message")
    assert token.mac("known").mac(b"message") == software.finalize()


@pytest.mark.parametrize("size", [0, 16, 31])
@needs(Capability.HMAC)
def test_short_code_is_withheld(token: Token, size: int) -> None:
    token.generate_mac("index")

    def authenticate(session: Session) -> bytes:
        return hmac_sha256(answering(session, bytes(size)), session.key("index", MAC).handle, b"message")

    with pytest.raises(errors.TokenFailed, match="wrong size"):
        token._sessions.run(authenticate, doing="authenticate")


@needs(Capability.HMAC)
def test_key_is_held_against_each_policy_under_which_it_is_asked_for_in_one_session(token: Token) -> None:
    key = token.generate_mac("index")
    for policy in (replace(MAC, usages=frozenset({"SIGN", "VERIFY"})), replace(MAC, extractable=True)):
        with pytest.raises(errors.KeyPolicyViolation):
            token.mac("index", policy)
        assert len(key.mac(b"message")) == 32
