"""Generating keys in a token: for good, or for the time of a trial."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, KeyType, Mechanism, PKCS11Error

from hsm.errors import HsmError
from hsm.policy import KEY_SIZE_BYTES, KeyPolicy
from hsm.quirks import public_key_of
from hsm.raw import NO_CAPABILITIES, RawKey, RawObject, Template, template
from hsm.sessions import Session


def generate_pair(session: Session, policy: KeyPolicy, names: Template, *, stored: bool) -> tuple[RawObject, RawKey]:
    """Generate a P-256 key pair: its public and its private half."""
    curve = session.raw.create_domain_parameters(
        KeyType.EC, template({Attribute.EC_PARAMS: session.quirks.curve}), local=True
    )
    return curve.generate_keypair(
        store=stored,
        capabilities=NO_CAPABILITIES,
        mechanism=Mechanism.EC_KEY_PAIR_GEN,
        public_template=template(names, _for(policy.public_template(), stored=stored)),
        private_template=template(names, _for(policy.secret_template(session.quirks), stored=stored)),
    )


def generate_secret(session: Session, policy: KeyPolicy, names: Template, *, stored: bool) -> RawKey:
    """Generate a secret key of 256 bits."""
    return session.raw.generate_key(
        policy.kind.key_type,
        KEY_SIZE_BYTES * 8,
        store=stored,
        capabilities=NO_CAPABILITIES,
        mechanism=Mechanism.GENERIC_SECRET_KEY_GEN,
        template=template(names, _for(policy.secret_template(session.quirks), stored=stored)),
    )


@contextmanager
def passing_names(session: Session) -> Iterator[Template]:
    """Yield the random names of session objects; destroy whatever has them in the end."""
    names = template({Attribute.ID: session.random(16), Attribute.LABEL: "medunion-trial"})
    try:
        yield names
    finally:
        with suppress(PKCS11Error, HsmError):  # the end of the session takes along what is left
            for thing in session.search({**names}):
                thing.destroy()


@contextmanager
def passing_pair(session: Session, policy: KeyPolicy) -> Iterator[tuple[RawKey, ec.EllipticCurvePublicKey]]:
    """Yield the private half of a P-256 key pair that ends with the block, and its public key."""
    with passing_names(session) as names:
        public, private = generate_pair(session, policy, names, stored=False)
        yield private, public_key_of(public[Attribute.EC_POINT])


@contextmanager
def passing_secret(session: Session, policy: KeyPolicy) -> Iterator[RawKey]:
    """Yield a secret key that ends with the block."""
    with passing_names(session) as names:
        yield generate_secret(session, policy, names, stored=False)


def _for(attributes: Template, *, stored: bool) -> Template:
    return attributes | {Attribute.TOKEN: stored}
