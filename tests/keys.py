"""New keys in software, for whoever needs no token."""

from cryptography.hazmat.primitives.asymmetric import ec

from keystore.curve import CURVE
from keystore.signatures import SigningKey


def new_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key for what X.509 signs."""
    return ec.generate_private_key(CURVE)


def new_signing_key() -> SigningKey:
    """A PRK."""
    return SigningKey(new_key())
