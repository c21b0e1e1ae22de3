"""Keys that are known, put into a token as no code of ours does."""

from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, ObjectClass

from hsm import Token
from hsm.policy import SIGNING, KeyPolicy
from hsm.quirks import point_of
from hsm.raw import Template, template
from hsm.sessions import Session

# RFC 5903, section 8.1: both private keys and the x-coordinate of the shared point.
ALICE = bytes.fromhex("c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433")
BOB = bytes.fromhex("c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53")
SHARED = bytes.fromhex("d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de")


def software(secret: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())


def public_of(secret: bytes) -> ec.EllipticCurvePublicKey:
    return software(secret).public_key()


def store_p256(
    token: Token, label: str, secret: bytes, public: ec.EllipticCurvePublicKey, policy: KeyPolicy = SIGNING
) -> None:
    """Put a private key and what is to pass for its public half into a token, unseen by any check of ours."""

    def store(session: Session) -> None:
        names: Template = {
            Attribute.LABEL: label,
            Attribute.KEY_TYPE: policy.kind.key_type,
            Attribute.EC_PARAMS: session.quirks.curve,
        }
        private: Template = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.VALUE: secret}
        point: Template = {
            Attribute.CLASS: ObjectClass.PUBLIC_KEY,
            Attribute.EC_POINT: session.quirks.point_attribute(point_of(public)),
        }
        session.raw.create_object(template(names, private, policy.secret_template(session.quirks)))
        session.raw.create_object(template(names, point, policy.public_template()))

    token._sessions.run(store, doing="store a known key", writable=True)
