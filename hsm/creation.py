"""Making, importing and destroying keys in a writable session. Nothing is left behind half-made.

A key that was made outside the token, restored from a backup, is as SENSITIVE and as little EXTRACTABLE as one that the token
made, but the token says the truth about its past: not LOCAL, not ALWAYS_SENSITIVE, not NEVER_EXTRACTABLE.

A token that takes no key in plaintext (an HSM in FIPS mode) is given it wrapped: a key pair of the token's own opens the
wrapping key, and that opens the key.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import product
from typing import Final, TypeVar

import pkcs11
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pkcs11 import MGF, Attribute, KeyType, Mechanism, ObjectClass

from hsm import errors
from hsm.agreement import Way, require_same
from hsm.generation import generate_mlkem_pair, generate_pair, generate_secret
from hsm.keys import DIGEST_SIZE_BYTES, sign_p256, verified
from hsm.policy import KEY_SIZE_BYTES, VERIFIED_ATTRIBUTES, KeyKind, KeyPolicy
from hsm.quirks import point_of
from hsm.raw import NO_CAPABILITIES, RawKey, RawObject, Template, packed_all, template
from hsm.sessions import Session

_Result = TypeVar("_Result")
_ID_SIZE_BYTES: Final = 16
_MAKES: Final = {
    KeyKind.P256: generate_pair,
    KeyKind.HMAC_256: generate_secret,
    KeyKind.ML_KEM_768: generate_mlkem_pair,
}


def generate(session: Session, label: str, policy: KeyPolicy) -> None:
    """Generate a key that keeps its policy; raises `KeyExists`, `KeyPolicyViolation`."""
    with new_label(session, label) as names:
        _MAKES[policy.kind](session, policy, names, stored=True)
        verify_policy(session, label, policy)


def import_key(session: Session, label: str, policy: KeyPolicy, value: bytearray, way: Way | None) -> None:
    """Store a P-256 scalar or an HMAC-SHA256 key under its policy, and beside a scalar its public half.

    `value` is the caller's to wipe; `way` is how an agreement key is tried. Raises `KeyExists`, `KeyPolicyViolation`,
    `ImportRefused`, and `KeyInvalid` for another size, a scalar out of range, or a key that the token takes for another.
    """
    if policy.kind is KeyKind.ML_KEM_768:
        raise errors.KeyPolicyViolation("An ML-KEM key stays where it was made: a token takes none from elsewhere.")
    if len(value) != KEY_SIZE_BYTES:
        raise errors.KeyInvalid("A key that is imported has 32 bytes.")
    public = public_half(value) if policy.kind is KeyKind.P256 else None
    with new_label(session, label) as names:
        store(session, policy, names, value, stored=True)
        verify_policy(session, label, policy)
        if public is not None:
            verify_half(session, session.key(label, policy), public, way)
            # A YubiHSM shows it unasked, and stores none (yubihsm-shell 428bfdd, pkcs11/yubihsm_pkcs11.c, C_CreateObject).
            if policy.has_public_half and not session.search({Attribute.CLASS: ObjectClass.PUBLIC_KEY, **names}):
                store_public(session, policy, names, public)


def public_half(value: bytearray) -> ec.EllipticCurvePublicKey:
    """Return the public half of a scalar; raises `KeyInvalid` unless it is from 1 to n - 1."""
    try:
        return _scalar(value).public_key()
    except ValueError:  # its text is not ours, so it is not chained
        raise errors.KeyInvalid("A P-256 key is a scalar from 1 to n - 1.") from None


def _scalar(value: bytearray) -> ec.EllipticCurvePrivateKey:
    # Here a scalar is copied out of the caller's buffer, and where a token wants it wrapped.
    return ec.derive_private_key(int.from_bytes(value, "big"), ec.SECP256R1())


def verify_half(session: Session, key: RawKey, public: ec.EllipticCurvePublicKey, way: Way | None) -> None:
    """Raise `KeyInvalid` unless the token, signing or agreeing, is seen to use the key with this public half."""
    try:
        if way is None:
            probe = session.random(DIGEST_SIZE_BYTES)
            verified(public, sign_p256(session, key, probe), probe)
        else:
            require_same(session, key, public, way, ec.generate_private_key(ec.SECP256R1()))
    except errors.TokenFailed as error:
        raise errors.KeyInvalid("The token uses another key than the one with this public half.") from error


def store(session: Session, policy: KeyPolicy, names: Template, value: bytearray, *, stored: bool) -> str:
    """Store a secret under its policy, for good or for the session, and say how; raises `ImportRefused`.

    In plaintext, which the token reads where it lies; if it takes none, wrapped.
    """
    attributes = template(names, policy.secret_template(session.quirks) | {Attribute.TOKEN: stored})
    plain = session.attempt(lambda: _create(session, policy, attributes, value), "store the key in plaintext")
    if plain is None:
        return "C_CreateObject"
    wrapped = session.attempt(lambda: _unwrap(session, policy, attributes, value), "store the key wrapped")
    if wrapped is None:
        return "C_UnwrapKey"
    raise errors.ImportRefused(f"{plain} {wrapped} Import it by the maker's tool, in a ceremony.") from wrapped


def store_passing(session: Session, policy: KeyPolicy, names: Template, value: bytearray) -> str:
    """Store a secret for a trial, and say how: for the session, or for good, where a token stores nothing else."""
    try:
        return store(session, policy, names, value, stored=False)
    except errors.ImportRefused:
        return store(session, policy, names, value, stored=True)


def _create(session: Session, policy: KeyPolicy, attributes: Template, value: bytearray) -> None:
    visible = template(_kind(session, policy, policy.kind.object_class), attributes)
    session.cryptoki.create_object(session.raw.handle, [*packed_all(visible), (Attribute.VALUE, value)])


def store_public(session: Session, policy: KeyPolicy, names: Template, public: ec.EllipticCurvePublicKey) -> None:
    """Store the public half of a key whose private half came from elsewhere."""
    point = {Attribute.EC_POINT: session.quirks.point_attribute(point_of(public))}
    kind = _kind(session, policy, ObjectClass.PUBLIC_KEY)
    session.raw.create_object(template(kind, names, point, policy.public_template(session.quirks)))


def _kind(session: Session, policy: KeyPolicy, object_class: ObjectClass) -> Template:
    if policy.kind is KeyKind.HMAC_256:
        return {Attribute.CLASS: object_class, Attribute.KEY_TYPE: session.quirks.mac_key_type}
    names: Template = {Attribute.KEY_TYPE: KeyType.EC, Attribute.EC_PARAMS: session.quirks.curve}
    return {Attribute.CLASS: object_class, **names}


RSA_SIZE_BITS: Final = 3072  # as strong as P-256 (NIST SP 800-57 part 1, table 2)
# PKCS#8 (RFC 5958) round an ECPrivateKey (RFC 5915) of P-256 without its public half, up to the scalar.
_PKCS_8: Final = bytes.fromhex("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420")
# SoftHSM 2.6.1 has SHA-1 alone, which does for OAEP: that rests on no collision.
OAEP: Final = (
    (Mechanism.SHA256, MGF.SHA256, hashes.SHA256()),
    (Mechanism.SHA_1, MGF.SHA1, hashes.SHA1()),  # noqa: S303
)
_OPENER: Final = template(
    {Attribute.TOKEN: False, Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
    {Attribute.UNWRAP: True, Attribute.DECRYPT: False},
)
# RFC 5649 by its names: PKCS#11 3.0's, and the older one, which NSS has for something else.
RFC_5649: Final = (Mechanism.AES_KEY_WRAP_KWP, Mechanism.AES_KEY_WRAP_PAD)
# AWS CloudHSM's, its key wrap with zero padding (its guide, Supported mechanisms; 0x216F in aws-cloudhsm-pkcs11-examples,
# src/wrapping).
_CLOUDHSM_KEY_WRAP: Final = 0x8000216F


def _unwrap(session: Session, policy: KeyPolicy, attributes: Template, value: bytearray) -> None:
    """Have the token open a wrapped key: an RSA pair of its own opens an AES key, and that opens the key.

    Both are objects of the session and end with it. Raises python-pkcs11's last error if nothing is taken.
    """
    wrapping_key = os.urandom(KEY_SIZE_BYTES)
    opener = _opener(session, wrapping_key)
    wrapped = (aes_key_wrap_with_padding(wrapping_key, content) for content in _contents(policy, value))
    first_taken(
        partial(open_wrapped, session, opener, policy, attributes, content, mechanism)
        for content, mechanism in product(wrapped, (*RFC_5649, _CLOUDHSM_KEY_WRAP))
    )


def first_taken(attempts: Iterable[Callable[[], _Result]]) -> _Result:
    """Return what the first attempt gives that the token takes; raises its last refusal."""
    refusal: pkcs11.PKCS11Error | None = None
    for attempt in attempts:
        try:
            return attempt()
        except pkcs11.PKCS11Error as error:
            refusal = error
    raise refusal or errors.KeyInvalid("There is nothing to open.")


def _contents(policy: KeyPolicy, value: bytearray) -> list[bytes]:
    """Return what may be wrapped, the more welcome first."""
    if policy.kind is KeyKind.HMAC_256:
        return [bytes(value)]
    alone = bytes(_PKCS_8 + value)
    if not policy.has_public_half:
        return [alone]
    # NSS takes no private key without its public half.
    return [alone, _scalar(value).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())]


def open_wrapped(
    session: Session, opener: RawKey, policy: KeyPolicy, attributes: Template, wrapped: bytes, mechanism: int
) -> None:
    """Have the token open a wrapped key of these attributes."""
    kind: Template = {Attribute.CLASS: policy.kind.object_class, Attribute.KEY_TYPE: policy.kind.key_type}
    session.cryptoki.unwrap_key(
        session.raw.handle, opener.handle, mechanism, wrapped, packed_all(template(kind, attributes))
    )


def _opener(session: Session, wrapping_key: bytes) -> RawKey:
    """Return the wrapping key in the token, which nobody else could have sent it."""
    public, private = session.raw.generate_keypair(
        KeyType.RSA,
        RSA_SIZE_BITS,
        store=False,
        capabilities=NO_CAPABILITIES,
        mechanism=Mechanism.RSA_PKCS_KEY_PAIR_GEN,
        public_template=template({Attribute.TOKEN: False}),
        private_template=_OPENER,
    )
    transport = rsa_public_key_of(public)
    return first_taken(partial(_open_wrapping_key, private, transport, wrapping_key, oaep) for oaep in OAEP)


def rsa_public_key_of(public: RawObject) -> rsa.RSAPublicKey:
    """Read the public half of an RSA pair."""
    exponent, modulus = (int.from_bytes(public[name], "big") for name in (Attribute.PUBLIC_EXPONENT, Attribute.MODULUS))
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _open_wrapping_key(
    private: RawKey,
    transport: rsa.RSAPublicKey,
    wrapping_key: bytes,
    oaep: tuple[Mechanism, MGF, hashes.HashAlgorithm],
) -> RawKey:
    digest, mask, algorithm = oaep
    return private.unwrap_key(
        ObjectClass.SECRET_KEY,
        KeyType.AES,
        transport.encrypt(wrapping_key, padding.OAEP(padding.MGF1(algorithm), algorithm, None)),
        mechanism=Mechanism.RSA_PKCS_OAEP,
        mechanism_param=(digest, mask, None),
        store=False,
        capabilities=NO_CAPABILITIES,
        template=_OPENER,
    )


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
    policy.verify(label, session.quirks.as_standard(key.get_attributes(VERIFIED_ATTRIBUTES)))
