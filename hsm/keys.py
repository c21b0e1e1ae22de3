"""Keys in a token, as pyca/cryptography knows keys; and those that seal and authenticate.

A subclass of `Ed25519PrivateKey` or `X25519PrivateKey` is taken by pyca's own X.509 and HPKE code, so certificates are
signed and messages opened with keys that never leave the token. Whatever the token returns is checked in software
before it is released: a faulty signature can give the key away (Boneh, DeMillo, Lipton 1997).

python-pkcs11 asks the token for the size of each result first, and believes the answer. That is a round trip more to a
network HSM, and NSS answers wrongly: 132 bytes for an Ed25519 signature, which it then refuses to write into anything
but 64, and no room for GCM's tag. We know the sizes, so each operation is one call here.
"""

import ctypes
from typing import Final, Generic, NoReturn, Self, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.utils import Buffer
from pkcs11 import KDF, Attribute, KeyType, Mechanism

from hsm import errors
from hsm.cryptoki import Function, MechanismStructure
from hsm.policy import KEY_SIZE_BYTES, KeyPolicy
from hsm.raw import NO_CAPABILITIES, RawKey, template
from hsm.sessions import Session, Sessions

SIGNATURE_SIZE_BYTES: Final = 64  # RFC 8032, section 5.1.6
MAC_SIZE_BYTES: Final = 32  # HMAC-SHA256
TAG_SIZE_BYTES: Final = 16
_SIGN: Final = (Function.C_SignInit, Function.C_Sign)
_ENCRYPT: Final = (Function.C_EncryptInit, Function.C_Encrypt)
_DECRYPT: Final = (Function.C_DecryptInit, Function.C_Decrypt)


class _GcmParameters(ctypes.Structure):
    """CK_GCM_PARAMS, as in PKCS#11's header file."""

    _fields_ = (
        ("nonce", ctypes.c_char_p),
        ("nonce_size_bytes", ctypes.c_ulong),
        ("nonce_size_bits", ctypes.c_ulong),
        ("associated_data", ctypes.c_char_p),
        ("associated_data_size_bytes", ctypes.c_ulong),
        ("tag_size_bits", ctypes.c_ulong),
    )


def sign_ed25519(session: Session, key: RawKey, message: bytes) -> bytes:
    """Sign by CKM_EDDSA without parameters, which is pure Ed25519."""
    mechanism = MechanismStructure(Mechanism.EDDSA)
    return session.cryptoki.operate(_SIGN, session.raw.handle, key.handle, mechanism, message, SIGNATURE_SIZE_BYTES)


def hmac_sha256(session: Session, key: RawKey, message: bytes) -> bytes:
    """Authenticate by CKM_SHA256_HMAC."""
    mechanism = MechanismStructure(Mechanism.SHA256_HMAC)
    return session.cryptoki.operate(_SIGN, session.raw.handle, key.handle, mechanism, message, MAC_SIZE_BYTES)


def encrypt_gcm(session: Session, key: RawKey, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
    """Return ciphertext and tag."""
    parameters = _gcm(nonce, associated_data)
    size_bytes = len(plaintext) + TAG_SIZE_BYTES
    return session.cryptoki.operate(_ENCRYPT, session.raw.handle, key.handle, _with(parameters), plaintext, size_bytes)


def decrypt_gcm(session: Session, key: RawKey, nonce: bytes, sealed: bytes, associated_data: bytes) -> bytes:
    """Return the plaintext; raises one of `Quirks.tag_failures` unless the tag is right."""
    parameters = _gcm(nonce, associated_data)
    # SoftHSM wants room for the tag too.
    return session.cryptoki.operate(_DECRYPT, session.raw.handle, key.handle, _with(parameters), sealed, len(sealed))


def _gcm(nonce: bytes, associated_data: bytes) -> _GcmParameters:
    # Some tokens take a pointer to nothing amiss.
    return _GcmParameters(
        nonce, len(nonce), len(nonce) * 8, associated_data or None, len(associated_data), TAG_SIZE_BYTES * 8
    )


def _with(parameters: _GcmParameters) -> MechanismStructure:
    """Point to parameters, which the caller keeps alive."""
    return MechanismStructure(Mechanism.AES_GCM, ctypes.addressof(parameters), ctypes.sizeof(parameters))


_Public = TypeVar("_Public", Ed25519PublicKey, X25519PublicKey)

# Clamping makes every private key a multiple of 8, so any one of them maps exactly the low-order points to zero.
_LOW_ORDER_PROBE: Final = X25519PrivateKey.from_private_bytes(bytes(KEY_SIZE_BYTES))
_TOP_BIT: Final = 2**255  # RFC 7748, section 5: masked
_PRIME: Final = 2**255 - 19
_READABLE_ONCE: Final = template(
    {
        Attribute.TOKEN: False,
        Attribute.PRIVATE: True,
        Attribute.SENSITIVE: False,
        Attribute.EXTRACTABLE: True,
    }
)


class _KeyInToken(Generic[_Public]):
    """What the private keys share: a label, the public half known beforehand, and no way out."""

    def __init__(self, sessions: Sessions, label: str, policy: KeyPolicy, public: _Public) -> None:
        self.label = label
        self._sessions, self._policy = sessions, policy
        self._public: _Public = public

    def public_key(self) -> _Public:
        """Return the public half, without asking the token."""
        return self._public

    def private_bytes(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Raise `KeyNotExtractable`."""
        raise errors.KeyNotExtractable(f"The key {self.label!r} is in a token and does not leave it.")

    def private_bytes_raw(self) -> NoReturn:
        """Raise `KeyNotExtractable`."""
        self.private_bytes()

    def __copy__(self) -> Self:
        """Return the key itself: there is one key in the token, however many objects name it."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """Return the key itself."""
        return self

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: the key stays where it is."""
        raise TypeError("A key in a token is not pickled.")

    def __repr__(self) -> str:
        """Show the label alone."""
        return f"<{type(self).__name__} {self.label!r}>"


class TokenEd25519Key(_KeyInToken[Ed25519PublicKey], Ed25519PrivateKey):
    """An Ed25519 key that signs in the token."""

    def sign(self, data: Buffer) -> bytes:
        """Sign as RFC 8032, section 5.1.6: pure Ed25519, by CKM_EDDSA without parameters.

        (Tokens treat its context differently, SoftHSM drops it: domains are separated inside the message.)
        Raises `TokenFailed` if the signature does not verify, and what `Sessions.run` raises.
        """
        message = bytes(data)
        signature = self._sessions.run(
            lambda session: sign_ed25519(session, session.key(self.label, self._policy), message),
            doing="sign",
            mechanism=Mechanism.EDDSA.name,
        )
        try:
            self._public.verify(signature, message)
        except InvalidSignature as error:
            raise errors.TokenFailed(f"The token gave a wrong signature by {self.label!r}: withheld.") from error
        return signature

    def random(self, size_bytes: int) -> bytes:
        """Return bytes from the random number generator of the key's token: for the serial numbers of what it signs."""
        return self._sessions.run(
            lambda session: session.random(size_bytes), doing="draw random bytes", mechanism="RANDOM"
        )


class TokenX25519Key(_KeyInToken[X25519PublicKey], X25519PrivateKey):
    """An X25519 key that agrees in the token."""

    def exchange(self, peer_public_key: X25519PublicKey) -> bytes:
        """Return the 32-byte shared secret of RFC 7748, section 6.1.

        Raises `PeerKeyInvalid` for a low-order point, before the token is asked; what `Sessions.run` raises.
        """
        peer = peer_public_key.public_bytes_raw()
        refuse_low_order(peer_public_key)
        return self._sessions.run(
            lambda session: agree(session, session.key(self.label, self._policy), peer),
            doing="agree on a secret",
            mechanism=Mechanism.ECDH1_DERIVE.name,
        )


def refuse_low_order(peer: X25519PublicKey) -> None:
    """Raise `PeerKeyInvalid` for a point with which everyone's shared secret is zero (RFC 7748, section 6.1)."""
    try:
        _LOW_ORDER_PROBE.exchange(peer)
    except ValueError as error:
        raise errors.PeerKeyInvalid("The peer's X25519 key has low order.") from error


def canonical(point: bytes) -> bytes:
    """Write a point in the one way that is below the prime, which RFC 7748, section 5, takes it for anyway.

    NSS refuses two other ways, so that a peer could make the token look faulty.
    """
    u = int.from_bytes(point, "little") % _TOP_BIT % _PRIME
    return u.to_bytes(KEY_SIZE_BYTES, "little")


def agree(session: Session, key: RawKey, peer: bytes) -> bytes:
    """Derive a shared secret as a session object, read it and destroy it, whatever happens.

    Raises `TokenFailed` if the token returns anything but 32 bytes that aren't all zero.
    """
    derived = key.derive_key(
        KeyType.GENERIC_SECRET,
        KEY_SIZE_BYTES * 8,
        capabilities=NO_CAPABILITIES,
        mechanism=Mechanism.ECDH1_DERIVE,
        mechanism_param=(KDF.NULL, None, session.quirks.peer_value(canonical(peer))),
        template=_READABLE_ONCE,
    )
    try:
        secret: bytes = derived[Attribute.VALUE]
    finally:
        derived.destroy()
    if len(secret) != KEY_SIZE_BYTES or not any(secret):
        raise errors.TokenFailed("The token gave a shared secret of the wrong size or of zeros: withheld.")
    return secret


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
