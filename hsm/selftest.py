"""What a token can do, tried for real on throw-away session keys: nothing stays in the token (PKCS#11, CKA_TOKEN False).

A mechanism list says what a maker meant; only a use whose result is checked in software says what works.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pkcs11 import Attribute, ObjectClass, PKCS11Error

from hsm import errors
from hsm.keys import agree, hmac_sha256, open_sealed, seal, sign_ed25519
from hsm.policy import AGREEMENT, KEY_SIZE_BYTES, MAC, SEALING, SIGNING, KeyPolicy
from hsm.quirks import Curve, point_of
from hsm.raw import NO_CAPABILITIES, RawKey, Template, packed, template
from hsm.sessions import Session, Sessions

# RFC 7748, section 6.1: Alice's private key, Bob's public key, the shared secret.
_ALICE: Final = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
_BOB: Final = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
_SHARED: Final = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
_MESSAGE: Final = b"a throw-away message"
_RANDOM_SIZE_BYTES: Final = 32


class Ability(Enum):
    """What the federation's parties ask of tokens, with the mechanisms that it takes."""

    RANDOM = "random numbers (C_GenerateRandom)"
    ED25519 = "Ed25519 signatures (CKM_EDDSA)"
    X25519 = "X25519 agreement (CKM_ECDH1_DERIVE)"
    X25519_IMPORT = "import of an X25519 key (C_CreateObject)"
    AES_GCM = "AES-256-GCM (CKM_AES_GCM)"
    HMAC = "HMAC-SHA256 (CKM_SHA256_HMAC)"


@dataclass(frozen=True)
class Trial:
    """How the trial of one ability went; `fault` is empty if it works."""

    ability: Ability
    fault: str = ""

    @property
    def works(self) -> bool:
        """Return whether the token can do it."""
        return not self.fault


def try_all(sessions: Sessions) -> list[Trial]:
    """Try every ability, each in a writable session of its own, whose end takes along what it made.

    Raises `HsmError` if the token itself went away or is closed.
    """
    trials = [_tried(sessions, ability) for ability in Ability]
    if not sessions.probe():  # SoftHSM makes session keys without its token
        raise errors.TokenUnavailable("The token went away while it was tried.")
    return trials


def _tried(sessions: Sessions, ability: Ability) -> Trial:
    try:
        sessions.run(_TRIALS[ability], doing=f"try {ability.value}", mechanism="TRIAL", writable=True)
    except errors.HsmError as error:
        if not sessions.probe():
            raise
        return Trial(ability, str(error))
    except (InvalidSignature, ValueError, TypeError) as error:
        return Trial(ability, str(error) or type(error).__name__)
    return Trial(ability)


def _try_random(session: Session) -> None:
    first, second = session.random(_RANDOM_SIZE_BYTES), session.random(_RANDOM_SIZE_BYTES)
    _require(len(first) == len(second) == _RANDOM_SIZE_BYTES and first != second, "the same bytes came twice")


def _try_ed25519(session: Session) -> None:
    with _pair(session, SIGNING, session.quirks.ed25519) as (private, public):
        Ed25519PublicKey.from_public_bytes(public).verify(sign_ed25519(session, private, _MESSAGE), _MESSAGE)


def _try_x25519(session: Session) -> None:
    peer = X25519PrivateKey.generate()
    with _pair(session, AGREEMENT, session.quirks.x25519) as (private, public):
        ours = peer.exchange(X25519PublicKey.from_public_bytes(public))
        _require(agree(session, private, peer.public_key().public_bytes_raw()) == ours, "another shared secret")


def _try_x25519_import(session: Session) -> None:
    curve, secret = session.quirks.x25519, bytearray(_ALICE)
    shape: Template = {
        Attribute.CLASS: ObjectClass.PRIVATE_KEY,
        Attribute.KEY_TYPE: curve.key_type,
        Attribute.EC_PARAMS: curve.parameters,
    }
    with _names(session) as names:
        visible = template(shape, names, _passing(AGREEMENT.secret_template(session.quirks)))
        values = [(attribute, bytearray(packed(attribute, value))) for attribute, value in visible.items()]
        session.cryptoki.create_object(session.raw.handle, [*values, (Attribute.VALUE, secret)])
        (key,) = session.search(dict(names))
        _require(agree(session, key, _BOB) == _SHARED, "another shared secret than RFC 7748's")


def _try_aes_gcm(session: Session) -> None:
    with _secret(session, SEALING) as key:
        sealed = seal(session, key, _MESSAGE, b"context")
        _require(open_sealed(session, key, sealed, b"context") == _MESSAGE, "what was sealed opens as something else")
        try:
            open_sealed(session, key, sealed, b"another context")
        except errors.AuthenticationFailed:
            return
        raise errors.TokenFailed("a forgery opens")


def _try_hmac(session: Session) -> None:
    with _secret(session, MAC) as key, _secret(session, MAC) as other:
        code = hmac_sha256(session, key, _MESSAGE)
        _require(len(code) == KEY_SIZE_BYTES, "a code of another size")
        _require(code == hmac_sha256(session, key, _MESSAGE), "another code for the same message")
        _require(code != hmac_sha256(session, other, _MESSAGE), "the same code under another key")


_TRIALS: Final[dict[Ability, Callable[[Session], None]]] = {
    Ability.RANDOM: _try_random,
    Ability.ED25519: _try_ed25519,
    Ability.X25519: _try_x25519,
    Ability.X25519_IMPORT: _try_x25519_import,
    Ability.AES_GCM: _try_aes_gcm,
    Ability.HMAC: _try_hmac,
}


@contextmanager
def _names(session: Session) -> Iterator[Template]:
    """Yield the random names of session objects; destroy whatever has them in the end."""
    names = template({Attribute.ID: session.random(16), Attribute.LABEL: "medunion-trial"})
    try:
        yield names
    finally:
        with suppress(PKCS11Error, errors.HsmError):  # the end of the session takes along what is left
            for thing in session.raw.get_objects(names):
                thing.destroy()


@contextmanager
def _pair(session: Session, policy: KeyPolicy, curve: Curve) -> Iterator[tuple[RawKey, bytes]]:
    with _names(session) as names:
        domain = session.raw.create_domain_parameters(
            curve.key_type, template({Attribute.EC_PARAMS: curve.parameters}), local=True
        )
        domain.generate_keypair(
            store=False,
            capabilities=NO_CAPABILITIES,
            mechanism=curve.generation,
            public_template=template(names, _passing(policy.public_template())),
            private_template=template(names, _passing(policy.secret_template(session.quirks))),
        )
        (private,) = session.search({**names, Attribute.CLASS: ObjectClass.PRIVATE_KEY})
        (public,) = session.search({**names, Attribute.CLASS: ObjectClass.PUBLIC_KEY})
        yield private, point_of(public[Attribute.EC_POINT])


@contextmanager
def _secret(session: Session, policy: KeyPolicy) -> Iterator[RawKey]:
    with _names(session) as names:
        session.raw.generate_key(
            policy.kind.key_type(session.quirks),
            KEY_SIZE_BYTES * 8,
            store=False,
            capabilities=NO_CAPABILITIES,
            mechanism=policy.kind.generation(session.quirks),
            template=template(names, _passing(policy.secret_template(session.quirks))),
        )
        (key,) = session.search(dict(names))
        yield key


def _passing(attributes: Template) -> Template:
    """Return the same key as a session object."""
    return attributes | {Attribute.TOKEN: False}


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise errors.TokenFailed(fault)
