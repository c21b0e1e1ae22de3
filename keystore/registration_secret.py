"""S_X: a scalar in the party's token, and what the protocol needs of it: one derive a message.

With R, the point over R_X1, the public U_X = z B + rho PK is +-S_X R (eq. 4, 7, 10): a peer that knows U_X multiplies it by
its own r, and S_X multiplies r R.
"""

import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from hsm import software_prf
from keystore.agreement import SHARED_INFO, Agreeing, agree
from keystore.curve import hash_to_curve, point_over, private_key, x_of
from keystore.errors import CredentialMismatch
from keystore.transcript import text, transcript


@dataclass(frozen=True)
class RegistrationSecret:
    """S_X. `key` is in the token; `point` is R_X1 and `public_point` U_X."""

    key: Agreeing
    point: bytes
    public_point: ec.EllipticCurvePublicKey

    def agree(self, point: bytes, label: str) -> bytes:
        """Return agree(S_X, R, label, R) for a received R (eq. 17, 22, 39, 44). Raises InvalidPoint, hsm.errors.HsmError."""
        return agree(self.key, point_over(point), label, point)

    def shared_key(self, identity: str, serial: bytes) -> bytes:
        """Return K_X, 32 bytes, that only the holder of S_X and the issuer can make."""
        return make_shared_key(self.key, identity, serial)

    def require_consistent(self) -> None:
        """Require of the token that S_X R has the x of U_X (a self-test). Raises CredentialMismatch, InvalidPoint."""
        probe = transcript("self-test", self.point)
        expected = software_prf(x_of(self.public_point), SHARED_INFO, probe)
        if not hmac.compare_digest(self.key.prf(point_over(self.point), SHARED_INFO, probe), expected):
            raise CredentialMismatch("the token's key is not the registration secret of this credential")


def make_shared_key(key: Agreeing, identity: str, serial: bytes) -> bytes:
    """Return K_X = agree(S_X, Q, "shared", ID_X, serial), Q hashed to the curve from T("shared", ID_X, serial).

    Q, not PK: some tokens show S_X B, with which a thief of s would have x(S_X PK).
    """
    fields = text(identity), serial
    return agree(key, hash_to_curve(transcript("shared", *fields)), "shared", *fields)


def encrypted_pkcs8(secret: bytes, password: bytes) -> bytes:
    """Return S_X as PKCS#8 in PEM under a password, for the tool of a token's maker."""
    return private_key(secret).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
