"""Generating keys in a token: for good, or for the time of a trial.

What is made for a trial is an object of its session, and where a token makes none such, destroyed afterwards.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, PKCS11Error, exceptions

from hsm.errors import HsmError
from hsm.policy import KEY_SIZE_BYTES, ML_KEM_768, KeyPolicy
from hsm.quirks import public_key_of
from hsm.raw import RawKey, Template, packed_all, template
from hsm.sessions import Session

_TRIAL: Final = template({Attribute.LABEL: "medunion-trial"})
# How a token says that its keys are all for good: yubihsm-shell 428bfdd, pkcs11/util_pkcs11.c, check_bool_attribute;
# tpm2-pkcs11 a38c350, src/lib/tpm.c, generic_bbool_true (run on swtpm with 1.9.0).
_NONE_PASSING: Final = (exceptions.AttributeValueInvalid, exceptions.TemplateInconsistent)


def generate_pair(session: Session, policy: KeyPolicy, names: Template, *, stored: bool) -> None:
    """Generate a P-256 key pair."""
    curve: Template = {Attribute.EC_PARAMS: session.quirks.curve}
    _generate(session, policy, names, KeyType.EC, Mechanism.EC_KEY_PAIR_GEN, curve, stored=stored)


def generate_mlkem_pair(session: Session, policy: KeyPolicy, names: Template, *, stored: bool) -> None:
    """Generate an ML-KEM-768 key pair."""
    parameters: Template = {Attribute.PARAMETER_SET: ML_KEM_768}
    _generate(session, policy, names, KeyType.ML_KEM, Mechanism.ML_KEM_KEY_PAIR_GEN, parameters, stored=stored)


def _generate(
    session: Session,
    policy: KeyPolicy,
    names: Template,
    key_type: KeyType,
    mechanism: Mechanism,
    parameters: Template,
    *,
    stored: bool,
) -> None:
    public, private = (
        template(_kind(object_class, key_type), shape, names, _for(attributes, stored=stored))
        for object_class, shape, attributes in (
            (ObjectClass.PUBLIC_KEY, parameters, policy.public_template(session.quirks)),
            (ObjectClass.PRIVATE_KEY, {}, policy.secret_template(session.quirks)),
        )
    )
    session.cryptoki.generate_pair(session.raw.handle, mechanism, packed_all(public), packed_all(private))


def generate_secret(session: Session, policy: KeyPolicy, names: Template, *, stored: bool) -> None:
    """Generate an HMAC key of 256 bits."""
    key_type = session.quirks.mac_key_type
    size: Template = {Attribute.VALUE_LEN: KEY_SIZE_BYTES} if key_type is KeyType.GENERIC_SECRET else {}
    kind = _kind(ObjectClass.SECRET_KEY, key_type) | size
    attributes = template(kind, names, _for(policy.secret_template(session.quirks), stored=stored))
    session.cryptoki.generate_key(session.raw.handle, Mechanism.GENERIC_SECRET_KEY_GEN, packed_all(attributes))


@contextmanager
def passing_names(session: Session) -> Iterator[Template]:
    """Yield the random names of what is made for a trial; destroy whatever has them in the end."""
    names = template(_TRIAL, {Attribute.ID: session.random(16)})
    try:
        yield names
    finally:
        # What is left ends with the session, or in a token whose keys are all for good at the next `clear_trials`.
        with suppress(PKCS11Error, HsmError):
            _destroy(session, names)


def clear_trials(session: Session) -> None:
    """Destroy what earlier trials have left in a token whose keys are all for good: some were cut off.

    tpm2-pkcs11 a38c350 destroys no key by which the same process has derived (src/lib/derive.c holds on to it).
    """
    _destroy(session, _TRIAL)


def _destroy(session: Session, names: Template) -> None:
    for thing in session.search({**names}):
        with suppress(PKCS11Error):
            thing.destroy()


def passing(make: Callable[[bool], None]) -> None:
    """Make something for its session (`stored` is False), or for good, where a token makes nothing else."""
    try:
        make(False)
    except _NONE_PASSING:
        make(True)


@contextmanager
def passing_pair(session: Session, policy: KeyPolicy) -> Iterator[tuple[RawKey, ec.EllipticCurvePublicKey]]:
    """Yield the private half of a P-256 key pair that ends with the block, and its public key."""
    with passing_names(session) as names:
        passing(lambda stored: generate_pair(session, policy, names, stored=stored))
        (public,) = session.search({Attribute.CLASS: ObjectClass.PUBLIC_KEY, **names})
        (private,) = session.search({Attribute.CLASS: ObjectClass.PRIVATE_KEY, **names})
        yield private, public_key_of(public[Attribute.EC_POINT])


@contextmanager
def passing_secret(session: Session, policy: KeyPolicy) -> Iterator[RawKey]:
    """Yield a secret key that ends with the block."""
    with passing_names(session) as names:
        passing(lambda stored: generate_secret(session, policy, names, stored=stored))
        (key,) = session.search(names)
        yield key


def _kind(object_class: ObjectClass, key_type: KeyType) -> Template:
    return {Attribute.CLASS: object_class, Attribute.KEY_TYPE: key_type}


def _for(attributes: Template, *, stored: bool) -> Template:
    return attributes | {Attribute.TOKEN: stored}
