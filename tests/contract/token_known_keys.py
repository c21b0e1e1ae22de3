"""Known keys that the contract tests of a token put into one, as no code of ours does."""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pkcs11 import Attribute, ObjectClass

from hsm import Token
from hsm.policy import SIGNING, KeyPolicy
from hsm.raw import Template, template
from hsm.sessions import Session

# RFC 7748, section 6.1: both private keys and the shared secret.
ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")


def store_ed25519(token: Token, label: str, seed: bytes, public: bytes, policy: KeyPolicy = SIGNING) -> None:
    """Put a known signing key into a token, as no code of ours does."""

    def store(session: Session) -> None:
        curve = session.quirks.ed25519
        names: Template = {
            Attribute.LABEL: label,
            Attribute.KEY_TYPE: curve.key_type,
            Attribute.EC_PARAMS: curve.parameters,
        }
        private = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.VALUE: seed}
        point = {
            Attribute.CLASS: ObjectClass.PUBLIC_KEY,
            Attribute.EC_POINT: session.quirks.point_attribute(public),
        }
        session.raw.create_object(template(names, private, policy.secret_template(session.quirks)))
        session.raw.create_object(template(names, point, policy.public_template()))

    token._sessions.run(store, doing="store a known key", writable=True)


def public_of(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
