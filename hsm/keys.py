"""Keys in a token, as pyca/cryptography knows keys; and those that authenticate.

A subclass of `EllipticCurvePrivateKey` is taken by pyca's own X.509 code, so certificates are signed with keys that never
leave the token. A signature is checked in software before it is released: a faulty one can give the key away (Boneh,
DeMillo, Lipton 1997).

python-pkcs11 asks the token for the size of each result first, and believes the answer. That is a round trip more to a
network HSM, and NSS answers wrongly for some mechanisms. We know the sizes, so each operation is one call here.
"""

import hashlib
from typing import Final, NoReturn, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.utils import Buffer
from pkcs11 import Mechanism

from hsm import errors
from hsm.agreement import Way, derive_x, hmac_sha256, point_of_peer, prf, ways_of
from hsm.policy import KeyPolicy
from hsm.raw import RawKey
from hsm.sessions import Lending, Session

SIGNATURE_SIZE_BYTES: Final = 64  # r || s (PKCS#11 3.0, section 2.3.1)
DIGEST_SIZE_BYTES: Final = 32
_HALF: Final = SIGNATURE_SIZE_BYTES // 2


def sign_p256(session: Session, key: RawKey, digest: bytes) -> bytes:
    """Sign a digest by CKM_ECDSA: r || s; raises `TokenFailed` for a signature of another form, such as DER."""
    signature = session.cryptoki.sign(session.raw.handle, key.handle, Mechanism.ECDSA, digest, SIGNATURE_SIZE_BYTES)
    if len(signature) != SIGNATURE_SIZE_BYTES:
        raise errors.TokenFailed("The token gave a signature that is not r || s of 64 bytes: withheld.")
    return signature


def split(signature: bytes) -> tuple[int, int]:
    """Return r and s of r || s."""
    return int.from_bytes(signature[:_HALF], "big"), int.from_bytes(signature[_HALF:], "big")


def verified(public: ec.EllipticCurvePublicKey, signature: bytes, digest: bytes) -> bytes:
    """Return r || s as pyca writes signatures; raises `TokenFailed` unless it verifies."""
    encoded = encode_dss_signature(*split(signature))
    try:
        public.verify(encoded, digest, ec.ECDSA(Prehashed(SHA256())))
    except InvalidSignature as error:
        raise errors.TokenFailed("The token gave a wrong signature: withheld.") from error
    return encoded


class StaysInToken:
    """What the private keys share: a label, and no way out."""

    def __init__(self, sessions: Lending, label: str, policy: KeyPolicy) -> None:
        """Name the key."""
        self.label = label
        self._sessions, self._policy = sessions, policy

    def private_bytes(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Raise `KeyNotExtractable`."""
        raise errors.KeyNotExtractable(f"The key {self.label!r} is in a token and does not leave it.")

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


class _KeyInToken(StaysInToken, ec.EllipticCurvePrivateKey):
    """What the P-256 keys share: the public half, known beforehand."""

    def __init__(
        self, sessions: Lending, label: str, policy: KeyPolicy, public: ec.EllipticCurvePublicKey | None
    ) -> None:
        super().__init__(sessions, label, policy)
        self._public = public

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public half, without asking the token; raises `KeyNotExtractable` for a key that shows none."""
        if self._public is None:
            raise errors.KeyNotExtractable(f"The public half of the key {self.label!r} stands nowhere.")
        return self._public

    @property
    def curve(self) -> ec.SECP256R1:
        """Return P-256."""
        return ec.SECP256R1()

    @property
    def key_size(self) -> int:
        """Return the bits of a scalar."""
        return self.curve.key_size

    def private_numbers(self) -> NoReturn:
        """Raise `KeyNotExtractable`."""
        self.private_bytes()


class TokenSigningKey(_KeyInToken):
    """A P-256 key that signs in the token, by ECDSA with SHA-256."""

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Return an ECDSA signature of the data in DER, as pyca does, or of its SHA-256 for Prehashed(SHA256()).

        The token signs the digest that is computed here. Raises `UnsupportedAlgorithm` for another hash; `TokenFailed` if
        the signature has another form than r || s or does not verify; and what `Sessions.run` raises.
        """
        digest = _digest(bytes(data), signature_algorithm)
        public = self.public_key()
        signature = self._sessions.run(
            lambda session: sign_p256(session, session.key(self.label, self._policy), digest),
            doing="sign",
            mechanism=Mechanism.ECDSA.name,
        )
        return verified(public, signature, digest)

    def random(self, size_bytes: int) -> bytes:
        """Return bytes from the random number generator of the key's token: for the serial numbers of what it signs."""
        return self._sessions.run(
            lambda session: session.random(size_bytes), doing="draw random bytes", mechanism="RANDOM"
        )

    def exchange(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Raise `KeyPolicyViolation`: no key signs and agrees."""
        raise errors.KeyPolicyViolation(f"The key {self.label!r} is for signatures alone.")


def _digest(data: bytes, algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
    if not isinstance(algorithm, ec.ECDSA) or algorithm.deterministic_signing:
        raise UnsupportedAlgorithm("A key in a token signs by ECDSA, with nonces of the token's.")
    if isinstance(algorithm.algorithm, SHA256):
        return hashlib.sha256(data).digest()
    # pyca keeps the hash of Prehashed to itself; a digest of another size is another hash's.
    if not isinstance(algorithm.algorithm, Prehashed) or algorithm.algorithm.digest_size != DIGEST_SIZE_BYTES:
        raise UnsupportedAlgorithm("A key in a token signs by ECDSA with SHA-256.")
    if len(data) != DIGEST_SIZE_BYTES:
        raise ValueError("A SHA-256 digest has 32 bytes.")
    return data


class TokenAgreementKey(_KeyInToken):
    """A P-256 key that agrees in the token."""

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Return the x-coordinate of the shared point, 32 bytes.

        Raises `PeerKeyInvalid` for a key of another curve, before the token is asked; `MechanismMissing` where the token
        does not let x out; `TokenFailed` if x is short or zero; and what `Sessions.run` raises.
        """
        if not isinstance(algorithm, ec.ECDH):
            raise UnsupportedAlgorithm("A key in a token agrees by ECDH.")
        point = point_of_peer(peer_public_key)

        def agree(session: Session) -> bytes:
            if Way.NULL not in ways_of(session):
                raise errors.MechanismMissing("The token does not let a shared secret out.")
            return derive_x(session, session.key(self.label, self._policy), point)

        return self._sessions.run(agree, doing="agree on a secret", mechanism=Mechanism.ECDH1_DERIVE.name)

    def prf(self, peer: ec.EllipticCurvePublicKey, shared_info: bytes, message: bytes) -> bytes:
        """Return HMAC-SHA256 of the message, under X9.63's KDF with SHA-256 of x and the SharedInfo: 32 bytes.

        In the strongest of the ways that the token has. Raises as `exchange` does.
        """
        point = point_of_peer(peer)

        def agree(session: Session) -> bytes:
            key, way = session.key(self.label, self._policy), ways_of(session)[0]
            return prf(session, key, way, point, shared_info, message)

        return self._sessions.run(agree, doing="agree on a secret", mechanism=Mechanism.ECDH1_DERIVE.name)

    def sign(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Raise `KeyPolicyViolation`: no key signs and agrees."""
        raise errors.KeyPolicyViolation(f"The key {self.label!r} is for agreement alone.")


class MacKey:
    """HMAC-SHA256 (RFC 2104) in the token."""

    def __init__(self, sessions: Lending, label: str, policy: KeyPolicy) -> None:
        """Name the key; use `Token.mac`."""
        self.label = label
        self._sessions, self._policy = sessions, policy

    def mac(self, message: Buffer) -> bytes:
        """Return the 32-byte code of the message."""
        data = bytes(message)
        return self._sessions.run(
            lambda session: hmac_sha256(session, session.key(self.label, self._policy).handle, data),
            doing="authenticate a message",
            mechanism=Mechanism.SHA256_HMAC.name,
        )

    def __repr__(self) -> str:
        """Show the label alone."""
        return f"<{type(self).__name__} {self.label!r}>"
