"""Keys in a token, as pyca/cryptography knows keys.

A subclass of `Ed25519PrivateKey` or `X25519PrivateKey` is taken by pyca's own X.509 and HPKE code, so certificates are
signed and messages opened with keys that never leave the token. Whatever the token returns is checked in software
before it is released: a faulty signature can give the key away (Boneh, DeMillo, Lipton 1997).
"""

from typing import Final, Generic, NoReturn, Self, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.utils import Buffer
from pkcs11 import KDF, Attribute, KeyType, Mechanism

from hsm import errors
from hsm.operations import sign_ed25519
from hsm.policy import KEY_SIZE_BYTES, KeyPolicy
from hsm.raw import NO_CAPABILITIES, RawKey
from hsm.sessions import Session, Sessions
from hsm.templates import template

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
