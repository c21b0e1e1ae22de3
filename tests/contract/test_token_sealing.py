"""Secret keys in a token: what is sealed opens, and only that; the code of a message is HMAC's."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from pkcs11 import Attribute, GeneralError, ObjectClass

from hsm import Token, errors
from hsm.keys import open_sealed
from hsm.policy import MAC, SEALING
from hsm.raw import template
from hsm.sessions import Session
from tests.contract.token_backends import Capability, needs


@pytest.mark.parametrize("size", [0, 1, 1000, 200_000])
@needs(Capability.AES_GCM)
def test_sealed_data_opens(token: Token, size: int) -> None:
    key = token.generate_aes("sealing")
    blob = key.seal(bytes(size), b"context")
    assert len(blob) == 12 + size + 16
    assert key.open(blob, b"context") == bytes(size)


@needs(Capability.AES_GCM)
def test_sealing_draws_a_new_nonce_each_time(token: Token) -> None:
    key = token.generate_aes("sealing")
    assert len({key.seal(b"same", b"")[:12] for _ in range(50)}) == 50


@needs(Capability.AES_GCM)
def test_any_flipped_bit_of_sealed_data_is_refused(token: Token) -> None:
    key = token.generate_aes("sealing")
    blob = key.seal(b"word", b"context")
    for bit in range(len(blob) * 8):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(errors.AuthenticationFailed):
            key.open(flipped, b"context")


@needs(Capability.AES_GCM)
def test_sealed_data_in_another_context_under_another_key_or_too_short_is_refused(token: Token) -> None:
    key, other = token.generate_aes("sealing"), token.generate_aes("other")
    blob = key.seal(b"plaintext", b"context")
    for wrong in (lambda: key.open(blob, b""), lambda: other.open(blob, b"context"), lambda: key.open(blob[:27], b"")):
        with pytest.raises(errors.AuthenticationFailed):
            wrong()
    assert key.open(blob, b"context") == b"plaintext"


class BrokenCryptoki:
    """A module that fails at every operation with the code that SoftHSM 2.6.1 also has for a wrong tag."""

    def operate(self, *_args: object) -> bytes:
        raise GeneralError


@needs(Capability.AES_GCM)
def test_fault_of_the_token_does_not_pass_as_a_forgery(token: Token) -> None:
    token.generate_aes("sealing")

    def open_on_broken_token(session: Session) -> bytes:
        return open_sealed(replace(session, cryptoki=BrokenCryptoki()), session.key("sealing", SEALING), bytes(40), b"")

    with pytest.raises(errors.TokenFailed):
        token._sessions.run(open_on_broken_token, doing="open")


@needs(Capability.HMAC)
def test_mac_is_deterministic_and_32_bytes(token: Token) -> None:
    key = token.generate_mac("index")
    assert len(key.mac(b"")) == 32
    assert key.mac(b"patient") == token.mac("index").mac(b"patient") != key.mac(b"other")


@needs(Capability.HMAC_IMPORT)
def test_mac_equals_hmac_sha256_of_a_known_key(token: Token) -> None:
    secret = bytes(range(32))

    def store(session: Session) -> None:
        shape = {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: MAC.kind.key_type(session.quirks),
            Attribute.LABEL: "known",
            Attribute.VALUE: secret,
        }
        session.raw.create_object(template(shape, MAC.secret_template(session.quirks)))

    token._sessions.run(store, doing="store", writable=True)
    software = hmac.HMAC(secret, hashes.SHA256())
    software.update(b"message")
    assert token.mac("known").mac(b"message") == software.finalize()
