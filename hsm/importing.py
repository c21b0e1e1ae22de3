"""Importing keys that were made outside the token: restored from a backup. Nothing is left behind half-made.

Such a key is as SENSITIVE and as little EXTRACTABLE as one that the token made, but the token says the truth about its
past: not LOCAL, not ALWAYS_SENSITIVE, not NEVER_EXTRACTABLE. X25519 has its own way in (`hsm.creation.import_x25519`).
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pkcs11 import Attribute, ObjectClass

from hsm import errors
from hsm.creation import new_label, verify_policy
from hsm.operations import sign_ed25519
from hsm.policy import KEY_SIZE_BYTES, KeyKind, KeyPolicy
from hsm.sessions import Session
from hsm.templates import Template, packed, template

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
    """Tokens differ in what they take CKA_VALUE of an Edwards key to be: let this one sign, and see."""
    probe = session.random(_PROBE_SIZE_BYTES)
    signature = sign_ed25519(session, session.key(label, policy), probe)
    try:
        public.verify(signature, probe)
    except InvalidSignature as error:
        raise errors.KeyInvalid("The token signs with another key than the one that was imported.") from error
