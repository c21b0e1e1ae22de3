"""The issuing key s, and eq. 2-10 as one EdDSA signature in the token (facts 2).

An Ed25519 signature (R, S) by s over T("cred", M_X) satisfies S B = R + h PK: R is R_X1 and S is S_X. s signs credentials
and nothing else: every published signature by s would be somebody's private key (findings 3.4).
"""

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from keystore.errors import CredentialMismatch, InvalidPoint
from keystore.group import public_point, require_received_point, u_coordinate
from keystore.registration_secret import RegistrationSecret, derive_shared_key, token_form
from keystore.transcript import transcript


def credential_transcript(credential: bytes) -> bytes:
    """Return T("cred", M_X): what s signs and what h hashes."""
    return transcript("cred", credential)


@dataclass(frozen=True)
class Issued:
    """A credential as issued: R_X1, and S_X until `wipe`."""

    registration_point: bytes
    registration_secret: bytearray
    public_point: bytes

    def shared_key(self, issuer_public_key: bytes, identity: str, serial: bytes) -> bytes:
        """Return K_X, as the party will derive it from its token."""
        software = X25519PrivateKey.from_private_bytes(bytes(token_form(bytes(self.registration_secret))))
        product = software.exchange(X25519PublicKey.from_public_bytes(u_coordinate(issuer_public_key)))
        return derive_shared_key(product, identity, serial)

    def wipe(self) -> None:
        """Overwrite S_X. Copies that Python made along the way are beyond reach; the threat model says so."""
        self.registration_secret[:] = bytes(len(self.registration_secret))

    def __repr__(self) -> str:
        return f"Issued(registration_point={self.registration_point.hex()}, registration_secret=32 bytes)"


class IssuingKey:
    """s, in a token."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        """Wrap the token's key; PK is its public half."""
        self._key = key
        self.public_key: bytes = key.public_key().public_bytes_raw()

    def issue(self, credential: bytes) -> Issued:
        """Sign M_X (eq. 2-3, 5-6, 8-9). The caller has reserved its serial: the same M_X is never signed twice.

        Raises CredentialMismatch if the token's answer does not verify, InvalidScalar if S_X has no token form: then
        issue again with a new serial.
        """
        signature = self._key.sign(credential_transcript(credential))
        issued = Issued(signature[:32], bytearray(signature[32:]), check_issued(self.public_key, credential, signature))
        token_form(signature[32:])
        return issued


def check_issued(issuer_public_key: bytes, credential: bytes, signature: bytes) -> bytes:
    """Check S_X B = R_X1 + h PK (eq. 4, 7, 10) by Ed25519 verification, and return U_X. Raises CredentialMismatch."""
    message = credential_transcript(credential)
    try:
        Ed25519PublicKey.from_public_bytes(issuer_public_key).verify(signature, message)
        return public_point(require_received_point(signature[:32]), issuer_public_key, message)
    except (InvalidSignature, InvalidPoint) as error:
        raise CredentialMismatch("(R_X1, S_X) does not belong to this credential") from error


def registration_secret(
    key: X25519PrivateKey, point: bytes, issuer_public_key: bytes, credential: bytes
) -> RegistrationSecret:
    """Put the token's key and U_X = R_X1 + h PK together. Raises InvalidPoint."""
    return RegistrationSecret(key, public_point(point, issuer_public_key, credential_transcript(credential)))
