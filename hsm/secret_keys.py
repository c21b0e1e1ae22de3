"""Symmetric keys in a token: authenticated encryption and message authentication."""

from typing import Final

from cryptography.utils import Buffer
from pkcs11 import Mechanism

from hsm import errors
from hsm.operations import TAG_SIZE_BYTES, decrypt_gcm, encrypt_gcm, hmac_sha256
from hsm.policy import KeyPolicy
from hsm.raw import RawKey
from hsm.sessions import Session, Sessions

_NONCE_SIZE_BYTES: Final = 12
_CANARY: Final = b"canary"


class _SecretKeyInToken:
    def __init__(self, sessions: Sessions, label: str, policy: KeyPolicy) -> None:
        self.label = label
        self._sessions, self._policy = sessions, policy

    def __repr__(self) -> str:
        """Show the label alone."""
        return f"<{type(self).__name__} {self.label!r}>"


class AeadKey(_SecretKeyInToken):
    """AES-256-GCM (NIST SP 800-38D) in the token.

    Nonces are 96 random bits of the token's, so one key seals at most 2^32 messages (section 8.3 there).
    """

    def seal(self, plaintext: Buffer, associated_data: Buffer) -> bytes:
        """Return nonce (12 bytes), ciphertext and tag (16 bytes); `associated_data` is authenticated, not included."""
        message, bound = bytes(plaintext), bytes(associated_data)
        return self._sessions.run(
            lambda session: seal(session, session.key(self.label, self._policy), message, bound),
            doing="seal",
            mechanism=Mechanism.AES_GCM.name,
        )

    def open(self, blob: Buffer, associated_data: Buffer) -> bytes:
        """Return the plaintext; raises `AuthenticationFailed` unless blob, data and key are those of the sealing."""
        sealed, bound = bytes(blob), bytes(associated_data)
        if len(sealed) < _NONCE_SIZE_BYTES + TAG_SIZE_BYTES:
            raise errors.AuthenticationFailed("The sealed data is too short.")
        return self._sessions.run(
            lambda session: open_sealed(session, session.key(self.label, self._policy), sealed, bound),
            doing="open",
            mechanism=Mechanism.AES_GCM.name,
        )


class MacKey(_SecretKeyInToken):
    """HMAC-SHA256 (RFC 2104) in the token."""

    def mac(self, message: Buffer) -> bytes:
        """Return the 32-byte code of the message."""
        data = bytes(message)
        return self._sessions.run(
            lambda session: hmac_sha256(session, session.key(self.label, self._policy), data),
            doing="authenticate a message",
            mechanism=Mechanism.SHA256_HMAC.name,
        )


def seal(session: Session, key: RawKey, message: bytes, bound: bytes) -> bytes:
    """Return nonce, ciphertext and tag."""
    nonce = session.random(_NONCE_SIZE_BYTES)
    return nonce + encrypt_gcm(session, key, nonce, message, bound)


def open_sealed(session: Session, key: RawKey, sealed: bytes, bound: bytes) -> bytes:
    """Return the plaintext; raises `AuthenticationFailed` if the key works and the tag is wrong."""
    nonce, ciphertext = sealed[:_NONCE_SIZE_BYTES], sealed[_NONCE_SIZE_BYTES:]
    try:
        return decrypt_gcm(session, key, nonce, ciphertext, bound)
    except session.quirks.tag_failures as error:
        _prove_alive(session, key)
        raise errors.AuthenticationFailed("The sealed data, its associated data or the key is wrong.") from error


def _prove_alive(session: Session, key: RawKey) -> None:
    """Raise python-pkcs11's error if the key opens nothing at all.

    SoftHSM 2.6.1 has one code for a wrong tag and for a fault of its own; a fault must not pass as a forgery.
    """
    sealed = seal(session, key, _CANARY, b"")
    decrypt_gcm(session, key, sealed[:_NONCE_SIZE_BYTES], sealed[_NONCE_SIZE_BYTES:], b"")
