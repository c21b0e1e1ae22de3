"""One key for several tokens that is in no memory but theirs: made in one, and put into each, that one too, wrapped.

Each token makes an RSA pair, its transport key, which opens wrapped keys and does nothing else. The maker is given the public
halves, and makes the key and another one, its carrier, as objects of a session: no other program sees them, and they end with it,
whatever happens. The carrier leaves under each transport key (RSA OAEP), the key under the carrier (RFC 5649). So the key is
EXTRACTABLE in that session alone, and no key that a token stores ever is.

An HMAC key is not wrapped: SoftHSM does not know the size of one that comes so. Each token derives it from the carrier, by
AES-256 over two random blocks.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

from hsm import errors
from hsm.agreement import Way
from hsm.creation import (
    OAEP,
    RFC_5649,
    RSA_SIZE_BITS,
    first_taken,
    new_label,
    open_wrapped,
    rsa_public_key_of,
    store_public,
    verify_half,
    verify_policy,
)
from hsm.generation import generate_pair, passing_names
from hsm.policy import KEY_SIZE_BYTES, KeyKind, KeyPolicy, usages_of_class
from hsm.quirks import public_key_of
from hsm.raw import NO_CAPABILITIES, RawKey, RawObject, Template, template
from hsm.sessions import Session

_KEPT: Final = template({Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False})
# Named last: SoftHSM sets a template's attributes in turn, and nothing after this one.
_FIXED: Final = template({Attribute.MODIFIABLE: False})


@dataclass(frozen=True)
class Wrapped:
    """A new key for one token alone: its carrier under that token's transport key, by each hash of OAEP that the maker has.

    `content` is the key under the carrier, or of what the carrier derives it; `public` is a key pair's public half.
    """

    carriers: tuple[bytes, ...]
    content: bytes
    public: ec.EllipticCurvePublicKey | None


def make_transport(session: Session, label: str) -> bytes:
    """Make a transport key, which stays until it is destroyed: its public half, DER. Raises `KeyExists`, `KeyPolicyViolation`."""
    with new_label(session, label) as names:
        public, private = session.raw.generate_keypair(
            KeyType.RSA,
            RSA_SIZE_BITS,
            store=True,
            capabilities=NO_CAPABILITIES,
            mechanism=Mechanism.RSA_PKCS_KEY_PAIR_GEN,
            public_template=template(names, {Attribute.TOKEN: True}, _one_use(ObjectClass.PUBLIC_KEY, "WRAP")),
            private_template=template(
                names, {Attribute.TOKEN: True}, _KEPT, _one_use(ObjectClass.PRIVATE_KEY, "UNWRAP"), _FIXED
            ),
        )
        wanted = template(_KEPT, _one_use(ObjectClass.PRIVATE_KEY, "UNWRAP"), _FIXED)
        found = private.get_attributes(tuple(wanted))
        wrong = [attribute.name for attribute, value in wanted.items() if found.get(attribute, False) != value]
        if wrong:
            raise errors.KeyPolicyViolation(f"The transport key is not as it was asked for: {', '.join(wrong)}.")
        return _der(public)


def read_transport(session: Session, label: str) -> bytes:
    """Return the public half of a transport key, DER."""
    return _der(session.one(ObjectClass.PUBLIC_KEY, label))


def take_transport(session: Session, transport: bytes) -> bytes:
    """Take another token's transport key for a moment: what this token then says that it is."""
    with passing_names(session) as names:
        return _der(_taken(session, transport, names))


def wrap_new(session: Session, policy: KeyPolicy, transports: Sequence[bytes]) -> tuple[Wrapped, ...]:
    """Make a key in this session and wrap it for each transport key. Raises `MechanismMissing`, `KeyInvalid`, `TokenFailed`."""
    with passing_names(session) as names:
        if policy.kind is KeyKind.HMAC_256:
            carrier = _carrier(session, names, "DERIVE")
            content, public = session.random(KEY_SIZE_BYTES), None
        else:
            carrier = _carrier(session, names, "WRAP")
            generate_pair(session, replace(policy, extractable=True), names, stored=False)
            (half,) = session.search({Attribute.CLASS: ObjectClass.PUBLIC_KEY, **names})
            (key,) = session.search({Attribute.CLASS: ObjectClass.PRIVATE_KEY, **names})
            public = public_key_of(half[Attribute.EC_POINT])
            content = first_taken(partial(carrier.wrap_key, key, mechanism=mechanism) for mechanism in RFC_5649)
        return tuple(
            Wrapped(_under(_taken(session, transport, names), carrier), content, public) for transport in transports
        )


def unwrap(
    session: Session, label: str, policy: KeyPolicy, transport_label: str, wrapped: Wrapped, way: Way | None
) -> None:
    """Store a wrapped key under its policy, and see that it is the one of its public half.

    Raises `KeyExists`, `KeyPolicyViolation`, `KeyInvalid`, `MechanismMissing`, `TokenFailed`; then nothing of it stays.
    """
    with new_label(session, label) as names, passing_names(session) as passing:
        transport = session.one(ObjectClass.PRIVATE_KEY, transport_label)
        use = "DERIVE" if policy.kind is KeyKind.HMAC_256 else "UNWRAP"
        carrier = _opened(
            transport,
            wrapped,
            template(passing, {Attribute.TOKEN: False}, _KEPT, _one_use(ObjectClass.SECRET_KEY, use)),
        )
        attributes = template(names, policy.secret_template(session.quirks))
        if policy.kind is KeyKind.HMAC_256:
            _derive(carrier, wrapped.content, attributes)
        else:
            first_taken(
                partial(open_wrapped, session, carrier, policy, attributes, wrapped.content, mechanism)
                for mechanism in RFC_5649
            )
        verify_policy(session, label, policy)
        if wrapped.public is not None:
            verify_half(session, session.key(label, policy), wrapped.public, way)
            store_public(session, policy, names, wrapped.public)


def _carrier(session: Session, names: Template, use: str) -> RawKey:
    """Return a new AES key that leaves this session wrapped and has one use."""
    return session.raw.generate_key(
        KeyType.AES,
        KEY_SIZE_BYTES * 8,
        store=False,
        capabilities=NO_CAPABILITIES,
        mechanism=Mechanism.AES_KEY_GEN,
        template=template(
            names,
            {Attribute.TOKEN: False, Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: True},
            _one_use(ObjectClass.SECRET_KEY, use),
        ),
    )


def _under(transport: RawKey, carrier: RawKey) -> tuple[bytes, ...]:
    """Wrap the carrier once for each hash that the token has for OAEP."""
    wrapped, refusal = [], None
    for digest, mask, _ in OAEP:
        oaep = (digest, mask, None)
        try:
            wrapped.append(transport.wrap_key(carrier, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=oaep))
        except pkcs11.PKCS11Error as error:
            refusal = error
    if not wrapped and refusal is not None:
        raise refusal
    return tuple(wrapped)


def _opened(transport: RawKey, wrapped: Wrapped, attributes: Template) -> RawKey:
    return first_taken(
        partial(
            transport.unwrap_key,
            ObjectClass.SECRET_KEY,
            KeyType.AES,
            carrier,
            mechanism=Mechanism.RSA_PKCS_OAEP,
            mechanism_param=(digest, mask, None),
            store=False,
            capabilities=NO_CAPABILITIES,
            template=attributes,
        )
        for carrier in wrapped.carriers
        for digest, mask, _ in OAEP
    )


def _derive(carrier: RawKey, blocks: bytes, attributes: Template) -> None:
    carrier.derive_key(
        KeyType.GENERIC_SECRET,
        KEY_SIZE_BYTES * 8,
        store=True,
        capabilities=NO_CAPABILITIES,
        mechanism=Mechanism.AES_ECB_ENCRYPT_DATA,
        mechanism_param=blocks,
        template=attributes,
    )


def _taken(session: Session, transport: bytes, names: Template) -> RawKey:
    """Make a public key object of a transport key; raises `KeyInvalid` if the token takes it for another."""
    numbers = _numbers(transport)
    kind = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.KEY_TYPE: KeyType.RSA}
    key = session.raw.create_object(
        template(
            names,
            kind,
            numbers,
            {Attribute.TOKEN: False, Attribute.PRIVATE: False},
            _one_use(ObjectClass.PUBLIC_KEY, "WRAP"),
        )
    )
    if not hmac.compare_digest(_der(key), transport):
        raise errors.KeyInvalid("The token takes a transport key for another one.")
    return key


def _numbers(transport: bytes) -> Template:
    try:
        public = load_der_public_key(transport)
    except ValueError as error:
        raise errors.KeyInvalid("A transport key is an RSA public key, DER.") from error
    if not isinstance(public, rsa.RSAPublicKey) or public.key_size != RSA_SIZE_BITS:
        raise errors.KeyInvalid(f"A transport key is an RSA key of {RSA_SIZE_BITS} bits.")
    numbers = public.public_numbers()
    return {
        attribute: number.to_bytes((number.bit_length() + 7) // 8, "big")
        for attribute, number in ((Attribute.MODULUS, numbers.n), (Attribute.PUBLIC_EXPONENT, numbers.e))
    }


def _der(public: RawObject) -> bytes:
    return rsa_public_key_of(public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _one_use(object_class: ObjectClass, usage: str) -> Template:
    return template(usages_of_class(object_class, frozenset({usage})))
