"""Making, importing and destroying keys in a writable session. Nothing is left behind half-made.

A key that was made outside the token, restored from a backup, is as SENSITIVE and as little EXTRACTABLE as one that the token
made, but the token says the truth about its past: not LOCAL, not ALWAYS_SENSITIVE, not NEVER_EXTRACTABLE.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import pkcs11
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from pkcs11 import Attribute, ObjectClass

from hsm import errors
from hsm.keys import agree, refuse_low_order, sign_ed25519
from hsm.policy import KEY_SIZE_BYTES, VERIFIED_ATTRIBUTES, KeyKind, KeyPolicy
from hsm.quirks import Curve
from hsm.raw import NO_CAPABILITIES, RawKey, Template, packed, template
from hsm.sessions import Session

_ID_SIZE_BYTES: Final = 16
_BASE_POINT: Final = bytes([9]).ljust(KEY_SIZE_BYTES, b"\0")  # RFC 7748, section 4.1


def generate_pair(session: Session, label: str, policy: KeyPolicy, curve: Curve) -> None:
    """Generate a key pair that keeps its policy; raises `KeyExists`, `KeyPolicyViolation`."""
    with new_label(session, label) as names:
        parameters = session.raw.create_domain_parameters(
            curve.key_type, template({Attribute.EC_PARAMS: curve.parameters}), local=True
        )
        parameters.generate_keypair(
            store=True,
            capabilities=NO_CAPABILITIES,
            mechanism=curve.generation,
            public_template=template(names, policy.public_template()),
            private_template=template(names, policy.secret_template(session.quirks)),
        )
        verify_policy(session, label, policy)


def generate_secret(session: Session, label: str, policy: KeyPolicy) -> None:
    """Generate a 256-bit secret key that keeps its policy; raises `KeyExists`, `KeyPolicyViolation`."""
    with new_label(session, label) as names:
        session.raw.generate_key(
            policy.kind.key_type(session.quirks),
            KEY_SIZE_BYTES * 8,
            store=True,
            capabilities=NO_CAPABILITIES,
            mechanism=policy.kind.generation(session.quirks),
            template=template(names, policy.secret_template(session.quirks)),
        )
        verify_policy(session, label, policy)


def import_x25519(session: Session, label: str, secret: bytearray, public: bytes, policy: KeyPolicy) -> None:
    """Store an X25519 key that was made elsewhere, and its public half beside it.

    The token reads `secret` where it lies; the caller wipes it. Raises `KeyInvalid` unless both have 32 bytes and the
    token itself finds `public` to be the secret's: so the sizes and the halves are right, or nothing is kept.
    """
    if len(secret) != KEY_SIZE_BYTES or len(public) != KEY_SIZE_BYTES:
        raise errors.KeyInvalid("An X25519 key has 32 bytes in each half.")
    curve = session.quirks.x25519
    with new_label(session, label) as names:
        shape: Template = {Attribute.KEY_TYPE: curve.key_type, Attribute.EC_PARAMS: curve.parameters}
        private = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
        visible = template(private, names, shape, policy.secret_template(session.quirks))
        values = [(attribute, bytearray(packed(attribute, value))) for attribute, value in visible.items()]
        session.cryptoki.create_object(session.raw.handle, [*values, (Attribute.VALUE, secret)])
        verify_policy(session, label, policy)
        verify_x25519_halves(session, session.key(label, policy), public)
        point = {Attribute.EC_POINT: session.quirks.point_attribute(public)}
        public_class = {Attribute.CLASS: ObjectClass.PUBLIC_KEY}
        session.raw.create_object(template(public_class, names, shape, point, policy.public_template()))


def verify_x25519_halves(session: Session, key: RawKey, public: bytes) -> None:
    """Raise `KeyInvalid` unless the token, multiplying the base point, finds the public half itself."""
    refuse_low_order(X25519PublicKey.from_public_bytes(public))
    if agree(session, key, _BASE_POINT) != public:
        raise errors.KeyInvalid("The halves of an X25519 key in the token don't belong together.")


def destroy(session: Session, label: str) -> None:
    """Destroy every object of the label; raises `KeyNotFound` if there is none."""
    found = session.search({Attribute.LABEL: label})
    if not found:
        raise errors.KeyNotFound(f"The token holds nothing called {label!r}.")
    for thing in found:
        thing.destroy()


@contextmanager
def new_label(session: Session, label: str) -> Iterator[Template]:
    """Yield the names of a key to be made; if making it fails, destroy what was made of it."""
    if session.search({Attribute.LABEL: label}):
        raise errors.KeyExists(f"The token holds a key {label!r} already.")
    identifier = session.random(_ID_SIZE_BYTES)
    try:
        yield template({Attribute.LABEL: label, Attribute.ID: identifier})
    except BaseException:
        with suppress(pkcs11.PKCS11Error, errors.HsmError):  # what went wrong first is told
            for thing in session.search({Attribute.ID: identifier}):
                thing.destroy()
        raise


def verify_policy(session: Session, label: str, policy: KeyPolicy) -> None:
    """Raise `KeyPolicyViolation` unless the key that the token made of a template keeps its policy."""
    key = session.one(policy.kind.object_class, label)
    policy.verify(label, key.get_attributes(VERIFIED_ATTRIBUTES), session.quirks)


_PROBE_SIZE_BYTES = 32


def import_key(session: Session, label: str, policy: KeyPolicy, value: bytearray) -> None:
    """Store an Ed25519 seed (RFC 8032, section 5.1.5), an AES-256 or an HMAC-SHA256 key under its policy.

    `value` is the caller's to wipe. Raises `KeyExists`, `KeyPolicyViolation`, and `KeyInvalid` for another size or kind, or if
    the token's Ed25519 signature does not verify under the public half that belongs to the seed.
    """
    if len(value) != KEY_SIZE_BYTES or policy.kind is KeyKind.X25519:
        raise errors.KeyInvalid("What is imported here is an Ed25519, AES-256 or HMAC key of 32 bytes.")
    with new_label(session, label) as names:
        secret = {Attribute.CLASS: policy.kind.object_class}
        visible = template(secret, names, _shape(session, policy), policy.secret_template(session.quirks))
        values = [(attribute, bytearray(packed(attribute, flag))) for attribute, flag in visible.items()]
        session.cryptoki.create_object(session.raw.handle, [*values, (Attribute.VALUE, value)])
        verify_policy(session, label, policy)
        if policy.kind is KeyKind.ED25519:
            _add_public_half(session, label, policy, names, value)


def _shape(session: Session, policy: KeyPolicy) -> Template:
    curve = policy.kind.curve(session.quirks)
    parameters: Template = {Attribute.EC_PARAMS: curve.parameters} if curve else {}
    return {Attribute.KEY_TYPE: policy.kind.key_type(session.quirks)} | parameters


def _add_public_half(session: Session, label: str, policy: KeyPolicy, names: Template, seed: bytearray) -> None:
    # The one place where a seed is copied out of the caller's buffer: pyca takes bytes.
    public = Ed25519PrivateKey.from_private_bytes(bytes(seed)).public_key()
    _require_halves(session, label, policy, public)
    point = {Attribute.EC_POINT: session.quirks.point_attribute(public.public_bytes_raw())}
    visible = {Attribute.CLASS: ObjectClass.PUBLIC_KEY}
    session.raw.create_object(template(visible, names, _shape(session, policy), point, policy.public_template()))


def _require_halves(session: Session, label: str, policy: KeyPolicy, public: Ed25519PublicKey) -> None:
    """Let the token sign, and see: tokens differ in what they take CKA_VALUE of an Edwards key to be."""
    probe = session.random(_PROBE_SIZE_BYTES)
    signature = sign_ed25519(session, session.key(label, policy), probe)
    try:
        public.verify(signature, probe)
    except InvalidSignature as error:
        raise errors.KeyInvalid("The token signs with another key than the one that was imported.") from error
