"""ML-KEM-768 (FIPS 203) in the token, where it has CKM_ML_KEM (PKCS#11 3.2): shared secrets leave it, the key does not.

Encapsulating is software's, as all that needs no private key. A ciphertext of the right size always gives a secret, if a
stranger's then another than the sender's (FIPS 203, implicit rejection): what was sealed under it tells.
"""

import hmac
from typing import Final, NoReturn

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.utils import Buffer
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

from hsm import errors
from hsm.agreement import READABLE
from hsm.generation import generate_mlkem_pair, passing_names
from hsm.keys import StaysInToken
from hsm.policy import ML_KEM, VERIFIED_ATTRIBUTES, KeyPolicy
from hsm.raw import NO_CAPABILITIES, RawKey, RawObject
from hsm.sessions import Lending, Session

CIPHERTEXT_SIZE_BYTES: Final = 1088
SECRET_SIZE_BYTES: Final = 32


class TokenMlKemKey(StaysInToken, MLKEM768PrivateKey):
    """An ML-KEM-768 key that decapsulates in the token."""

    def __init__(self, sessions: Lending, label: str, policy: KeyPolicy, public: MLKEM768PublicKey) -> None:
        """Name the key; use `Token.mlkem`."""
        super().__init__(sessions, label, policy)
        self._public = public

    def public_key(self) -> MLKEM768PublicKey:
        """Return the public half, without asking the token."""
        return self._public

    def decapsulate(self, ciphertext: Buffer) -> bytes:
        """Return the shared secret, 32 bytes.

        Raises `CiphertextInvalid` for a ciphertext of another size, before the token is asked; `TokenFailed` for a secret of
        another size; and what `Sessions.run` raises.
        """
        data = bytes(ciphertext)
        if len(data) != CIPHERTEXT_SIZE_BYTES:
            raise errors.CiphertextInvalid(f"A ciphertext of ML-KEM-768 has {CIPHERTEXT_SIZE_BYTES} bytes.")
        return self._sessions.run(
            lambda session: decapsulate(session.key(self.label, self._policy), data),
            doing="decapsulate a secret",
            mechanism=Mechanism.ML_KEM.name,
        )

    def private_bytes_raw(self) -> NoReturn:
        """Raise `KeyNotExtractable`."""
        self.private_bytes()


def decapsulate(key: RawKey, ciphertext: bytes) -> bytes:
    """Decapsulate to a session object, read it and destroy it; raises `TokenFailed` unless the secret has 32 bytes."""
    decapsulated = key.decapsulate_key(
        ciphertext,
        KeyType.GENERIC_SECRET,
        capabilities=NO_CAPABILITIES,
        mechanism=Mechanism.ML_KEM,
        template=READABLE,
    )
    try:
        secret: bytes = decapsulated[Attribute.VALUE]
    finally:
        decapsulated.destroy()
    if len(secret) != SECRET_SIZE_BYTES:
        raise errors.TokenFailed("The token gave a secret of ML-KEM that is not 32 bytes: withheld.")
    return secret


def public_half(session: Session, label: str, policy: KeyPolicy) -> MLKEM768PublicKey:
    """Return the public half of a key that keeps its policy; raises `KeyInvalid` if it is none, or another key's."""
    key = session.key(label, policy)
    return _verified(key, session.one(ObjectClass.PUBLIC_KEY, label))


def is_offered(session: Session) -> bool:
    """Return whether a throw-away key keeps its policy and decapsulates what software encapsulates to it."""
    try:
        return session.attempt(lambda: try_mlkem(session), "try ML-KEM") is None
    except errors.KeyInvalid:
        return False


def try_mlkem(session: Session) -> None:
    """Use a throw-away key; raises `MechanismMissing`, `TokenFailed` or `KeyInvalid` if ML-KEM is not to be had."""
    with passing_names(session) as names:
        generate_mlkem_pair(session, ML_KEM, names, stored=False)
        (public,) = session.search({Attribute.CLASS: ObjectClass.PUBLIC_KEY, **names})
        (private,) = session.search({Attribute.CLASS: ObjectClass.PRIVATE_KEY, **names})
        wrong = set(ML_KEM.violations(private.get_attributes(VERIFIED_ATTRIBUTES))) - {Attribute.TOKEN.name}
        if wrong:
            raise errors.TokenFailed(
                f"An ML-KEM key that the token makes breaks its policy: {', '.join(sorted(wrong))}."
            )
        _verified(private, public)


def _verified(private: RawKey, public: RawObject) -> MLKEM768PublicKey:
    try:
        key = MLKEM768PublicKey.from_public_bytes(public[Attribute.VALUE])
    except ValueError as error:
        raise errors.KeyInvalid("The token gives a public key that is none of ML-KEM-768.") from error
    secret, ciphertext = key.encapsulate()
    if not hmac.compare_digest(decapsulate(private, ciphertext), secret):
        raise errors.KeyInvalid("The token uses another ML-KEM key than the one with this public half.")
    return key
