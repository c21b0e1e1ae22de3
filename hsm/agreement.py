"""Agreement on P-256, however much of it a token does: HMAC-SHA256(X9.63-KDF-SHA256(x(d Q), SharedInfo), message).

Three ways give the same value and differ in what leaves the token on the way. Which of them a token has is found by trying
them on a throw-away key pair, against software. Peers' points are keys of pyca's, which are on their curve.
"""

import hmac
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from pkcs11 import KDF, Attribute, KeyType, Mechanism, ObjectClass, exceptions

from hsm import errors
from hsm.cryptoki import Prepared
from hsm.generation import clear_trials, passing_pair
from hsm.locks import key_creation_lock
from hsm.policy import AGREEMENT, KEY_SIZE_BYTES
from hsm.quirks import point_of
from hsm.raw import RawKey, packed_all, template
from hsm.sessions import Lending, Session

MAC_SIZE_BYTES: Final = 32  # HMAC-SHA256
_X_SIZE_BYTES: Final = 32


class Way(Enum):
    """How a token takes part in an agreement, the strongest first; the value says what leaves it."""

    KDF_AND_HMAC = "the agreed value alone"
    KDF = "a hash of the shared secret"
    NULL = "the shared secret"


READABLE: Final = template(
    {Attribute.TOKEN: False, Attribute.PRIVATE: True, Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}
)
_KEPT: Final = template(
    {
        Attribute.TOKEN: False,
        Attribute.PRIVATE: True,
        Attribute.SENSITIVE: True,
        Attribute.EXTRACTABLE: False,
        Attribute.SIGN: True,
    }
)
_SECRET: Final = template(
    {
        Attribute.CLASS: ObjectClass.SECRET_KEY,
        Attribute.KEY_TYPE: KeyType.GENERIC_SECRET,
        Attribute.VALUE_LEN: KEY_SIZE_BYTES,
    }
)
_READABLE_SECRET: Final = Prepared(packed_all(template(_SECRET, READABLE)))
_KEPT_SECRET: Final = Prepared(packed_all(template(_SECRET, _KEPT)))
# How a token says that it lets no derived secret out, or makes none of this kind.
_REFUSALS: Final = (
    exceptions.AttributeReadOnly,
    exceptions.AttributeSensitive,
    exceptions.AttributeTypeInvalid,
    exceptions.AttributeValueInvalid,
    exceptions.TemplateIncomplete,
    exceptions.TemplateInconsistent,
)


def software_prf(x: bytes, shared_info: bytes, message: bytes) -> bytes:
    """Return what every way gives for the x-coordinate of the shared point."""
    return hmac.digest(_kdf(x, shared_info), message, "sha256")


def _kdf(x: bytes, shared_info: bytes) -> bytes:
    """Return the key that SEC 1, section 3.6.1 (ANSI X9.63), derives with SHA-256."""
    return X963KDF(hashes.SHA256(), KEY_SIZE_BYTES, shared_info).derive(x)


def point_of_peer(peer: ec.EllipticCurvePublicKey) -> bytes:
    """Return the peer's point, uncompressed; raises `PeerKeyInvalid` for a key of another curve."""
    if not isinstance(peer.curve, ec.SECP256R1):
        raise errors.PeerKeyInvalid("The peer's key is not on P-256.")
    return point_of(peer)


def hmac_sha256(session: Session, key: int, message: bytes) -> bytes:
    """Authenticate by CKM_SHA256_HMAC and the key of a handle; raises `TokenFailed` unless the code has 32 bytes."""
    code = session.cryptoki.sign(session.raw.handle, key, Mechanism.SHA256_HMAC, message, MAC_SIZE_BYTES)
    if len(code) != MAC_SIZE_BYTES:
        raise errors.TokenFailed("The token gave a code of the wrong size: withheld.")
    return code


def derive_x(session: Session, key: RawKey, point: bytes) -> bytes:
    """Return the x-coordinate of the shared point, 32 bytes; raises `MechanismMissing` if the token keeps it inside."""
    return _derived(session, key, KDF.NULL, None, point)


def prf(session: Session, key: RawKey, way: Way, point: bytes, shared_info: bytes, message: bytes) -> bytes:
    """Return the agreed value in one of the three ways."""
    match way:
        case Way.KDF_AND_HMAC:
            with _deriving(session, key, KDF.SHA256, shared_info, point, _KEPT_SECRET) as derived:
                return hmac_sha256(session, derived, message)
        case Way.KDF:
            return hmac.digest(_derived(session, key, KDF.SHA256, shared_info, point), message, "sha256")
        case Way.NULL:
            return software_prf(derive_x(session, key, point), shared_info, message)


def _derived(session: Session, key: RawKey, kdf: KDF, shared_info: bytes | None, point: bytes) -> bytes:
    """Derive a secret as a session object, read it and destroy it, whatever happens.

    Raises `TokenFailed` if the token gives anything but 32 bytes that aren't all zero: some cut leading zeros.
    """
    with _deriving(session, key, kdf, shared_info, point, _READABLE_SECRET) as derived:
        # One byte more than it may have, so that one that is too long is seen.
        secret = session.cryptoki.read(session.raw.handle, derived, Attribute.VALUE, _X_SIZE_BYTES + 1)
    if len(secret) != _X_SIZE_BYTES or not any(secret):
        raise errors.TokenFailed("The token gave a derived secret of the wrong size or of zeros: withheld.")
    return secret


@contextmanager
def _deriving(
    session: Session, key: RawKey, kdf: KDF, shared_info: bytes | None, point: bytes, attributes: Prepared
) -> Iterator[int]:
    """Yield the handle of what is derived, an object of the session that ends with the block."""
    cryptoki, handle = session.cryptoki, session.raw.handle
    try:
        peer = session.quirks.peer_value(point)
        derived = cryptoki.derive_by_ecdh(handle, key.handle, kdf, shared_info, peer, attributes)
        try:
            yield derived
        finally:
            cryptoki.destroy(handle, derived)
    except _REFUSALS as error:
        raise errors.MechanismMissing("The token derives no secret of this kind.") from error


def ways_of(session: Session) -> tuple[Way, ...]:
    """Return the ways of the session's token, the strongest first: tried at the first question, and remembered.

    Raises `MechanismMissing` if it has none.
    """
    session.ways.found = session.ways.found or _find_anew(session)
    return session.ways.found


def ways_through(sessions: Lending) -> tuple[Way, ...]:
    """Return the ways of a token that no session is on loan of; raises `MechanismMissing` if it has none."""
    if sessions.ways.found:
        return sessions.ways.found
    with key_creation_lock():  # no trial of another process is under way
        return sessions.run(ways_of, doing="agree on a secret", mechanism="TRIAL", writable=True)


def _find_anew(session: Session) -> tuple[Way, ...]:
    clear_trials(session)
    return find_ways(session)


def find_ways(session: Session) -> tuple[Way, ...]:
    """Try every way on a throw-away key pair; raises `MechanismMissing` if none gives what software gives.

    A card whose keys its maker's tool writes makes no such pair: if it lists ECDH, it is taken to have the way that cards
    have. Each use shows whether x has all its bytes; opening a key with a public half, whether it is the right x.
    """
    with ExitStack() as passing:
        pair = session.attempt(lambda: passing.enter_context(passing_pair(session, AGREEMENT)), "make a throw-away key")
        if not isinstance(pair, errors.HsmError):
            found = tuple(way for way in Way if _works(session, *pair, way))
        elif Mechanism.ECDH1_DERIVE in session.login.token.slot.get_mechanisms():
            found = (Way.NULL,)
        else:
            found = ()
    if not found:
        raise errors.MechanismMissing("The token agrees on P-256 in none of the three ways.")
    return found


def _works(session: Session, private: RawKey, public: ec.EllipticCurvePublicKey, way: Way) -> bool:
    def try_it() -> None:
        if way is Way.KDF_AND_HMAC:
            _require_kept(session, private)
        require_same(session, private, public, way, ec.generate_private_key(ec.SECP256R1()))
        if way is not Way.NULL:  # of which each use shows whether it has all its bytes
            require_same(session, private, public, way, peer_with_leading_zero(public))

    return session.attempt(try_it, "agree on a secret") is None


def _require_kept(session: Session, private: RawKey) -> None:
    """Raise `TokenFailed` unless what the token derives to stay inside says that it will."""
    point = point_of(ec.generate_private_key(ec.SECP256R1()).public_key())
    with _deriving(session, private, KDF.SHA256, b"", point, _KEPT_SECRET) as derived:
        said = [
            session.cryptoki.read(session.raw.handle, derived, attribute, 1)
            for attribute in (Attribute.SENSITIVE, Attribute.EXTRACTABLE)
        ]
    if said != [_TRUE, _FALSE]:
        raise errors.TokenFailed("The token derives a secret to keep that could be read.")


def require_same(
    session: Session,
    private: RawKey,
    public: ec.EllipticCurvePublicKey,
    way: Way,
    peer: ec.EllipticCurvePrivateKey,
) -> None:
    """Raise `TokenFailed` unless the token agrees with a key in software on what software finds with its public half."""
    ours = software_prf(peer.exchange(ec.ECDH(), public), _PROBE, _PROBE)
    theirs = prf(session, private, way, point_of(peer.public_key()), _PROBE, _PROBE)
    if not hmac.compare_digest(ours, theirs):
        raise errors.TokenFailed("The token agrees on another secret than software does.")


_PROBE: Final = b"a trial"
_FALSE, _TRUE = b"\0", b"\1"


def peer_with_leading_zero(public: ec.EllipticCurvePublicKey) -> ec.EllipticCurvePrivateKey:
    """Return a peer with whom the shared x begins with a zero byte, which some tokens cut; one in 256 is."""
    while True:
        peer = ec.generate_private_key(ec.SECP256R1())
        if peer.exchange(ec.ECDH(), public)[0] == 0:
            return peer
