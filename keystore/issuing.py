"""The issuing key s, and eq. 2-10 as one ECDSA signature in the token.

An ECDSA signature (rho, sigma) by s over T("cred", PK, M_X) satisfies sigma R = z B + rho PK, R being the nonce's point and
rho its x: rho is R_X1 and sigma is S_X. s signs credentials and nothing else: every published signature by s would be
somebody's private key.
"""

import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from keystore.agreement import SoftwareAgreement
from keystore.curve import (
    compressed,
    credential_transcript,
    point_over,
    private_key,
    public_point,
    require_registration_point,
    verifying_point,
    x_of,
)
from keystore.errors import CredentialMismatch, InvalidPoint, UnusableNonce
from keystore.registration_secret import make_shared_key
from keystore.signatures import SIGNATURE_BYTES, read, sign_ecdsa, verify_ecdsa, written


@dataclass(frozen=True)
class Issued:
    """A credential as issued: R_X1, S_X until `wipe`, and U_X."""

    registration_point: bytes
    registration_secret: bytearray
    public_point: ec.EllipticCurvePublicKey

    def shared_key(self, identity: str, serial: bytes) -> bytes:
        """Return K_X, as the party will make it in its token."""
        return make_shared_key(SoftwareAgreement(private_key(bytes(self.registration_secret))), identity, serial)

    def wipe(self) -> None:
        """Overwrite S_X. Copies that Python made along the way are beyond reach; the threat model says so."""
        self.registration_secret[:] = bytes(len(self.registration_secret))

    def __repr__(self) -> str:
        return f"Issued(registration_point={self.registration_point.hex()}, registration_secret=32 bytes)"


class IssuingKey:
    """s, in a token."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Wrap the token's key; PK is its public half, 33 bytes."""
        self._key = key
        self.public_key: bytes = compressed(key.public_key())

    def issue(self, credential: bytes) -> Issued:
        """Sign M_X (eq. 2-3, 5-6, 8-9). The caller has reserved its serial: the same M_X is never signed twice.

        Whether R_X1 was issued before is for the caller to find, before anything is released. Raises CredentialMismatch if
        the token's answer does not verify, UnusableNonce if it is of no use (2^-128): then issue again with a new serial.
        """
        rho, sigma = sign_ecdsa(self._key, credential_transcript(self.public_key, credential))
        signature = written(rho, sigma)
        issued = Issued(signature[:32], bytearray(signature[32:]), check_issued(self.public_key, credential, signature))
        _require_base(issued)
        return issued


def _require_base(issued: Issued) -> None:
    """Require R_X1 to be the nonce's point itself, and not its x - n: the base that others multiply."""
    product = private_key(bytes(issued.registration_secret)).exchange(ec.ECDH(), point_over(issued.registration_point))
    if not hmac.compare_digest(product, x_of(issued.public_point)):
        raise UnusableNonce("the x-coordinate of the nonce's point is not below the group's order")


def check_issued(issuer_public_key: bytes, credential: bytes, signature: bytes) -> ec.EllipticCurvePublicKey:
    """Check eq. 4, 7, 10 by ECDSA verification of R_X1 || S_X, and return U_X. Raises CredentialMismatch."""
    try:
        if len(signature) != SIGNATURE_BYTES:
            raise CredentialMismatch("(R_X1, S_X) has not 64 bytes")
        signed = credential_transcript(issuer_public_key, credential)
        verify_ecdsa(verifying_point(issuer_public_key), read(signature), signed)
        return public_point(require_registration_point(signature[:32]), issuer_public_key, credential)
    except (InvalidSignature, InvalidPoint) as error:
        raise CredentialMismatch("(R_X1, S_X) does not belong to this credential") from error
