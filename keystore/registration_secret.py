"""S_X in the party's token, as an X25519 key, and what the protocol needs of it (facts 3, 4; findings, section 3).

The token gives u-coordinates only. The full point S_X R is recovered from two of its derives and the public U_X = S_X B.
"""

import hmac
from dataclasses import dataclass

import nacl.bindings as sodium
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keystore.errors import CredentialMismatch, InvalidPoint, InvalidScalar
from keystore.group import BASE_POINT, ORDER, add, multiply_base, u_coordinate
from keystore.transcript import text, transcript

_FIELD_PRIME = 2**255 - 19
_INVERSE_OF_EIGHT = pow(8, -1, ORDER).to_bytes(32, "little")


def token_form(secret: bytes) -> bytearray:
    """Return k with k = +-S (mod L), k = 0 (mod 8), 2^254 <= k < 2^255: the form that an X25519 key keeps under clamping.

    The sign does not matter: the recovered point is compared with U_X. Raises InvalidScalar for the about 2^-127 of all S
    that have no such form (3.1).
    """
    eighth = sodium.crypto_core_ed25519_scalar_mul(secret, _INVERSE_OF_EIGHT)
    k = int.from_bytes(eighth, "little") * 8
    if not 2**254 <= k < 2**255:
        k = 8 * ORDER - k
    if not 2**254 <= k < 2**255:
        raise InvalidScalar("this S_X has no form that an X25519 key can hold")
    return bytearray(k.to_bytes(32, "little"))


@dataclass(frozen=True)
class RegistrationSecret:
    """S_X. `key` is in the token; `public_point` is U_X."""

    key: X25519PrivateKey
    public_point: bytes

    def agree(self, point: bytes) -> bytes:
        """Return the full point S_X R for a received R that passed `require_received_point` (eq. 17, 22, 39, 44).

        Both candidates are always built and compared in constant time (3.9). Raises InvalidPoint if neither fits.
        """
        u_of_product = self._derive(point)
        u_of_shifted = self._derive(add(point, BASE_POINT))
        positive, negative = _points_over(u_of_product)
        positive_fits = hmac.compare_digest(u_coordinate(add(positive, self.public_point)), u_of_shifted)
        negative_fits = hmac.compare_digest(u_coordinate(add(negative, self.public_point)), u_of_shifted)
        if positive_fits == negative_fits:
            raise InvalidPoint("the token's answer is not a multiple of this point")
        return positive if positive_fits else negative

    def shared_key(self, issuer_public_key: bytes, identity: str, serial: bytes) -> bytes:
        """Return K_X, 32 bytes, that only the holder of S_X and the issuer can derive."""
        return derive_shared_key(self._derive(issuer_public_key), identity, serial)

    def require_consistent(self, probe: bytes) -> None:
        """Require of the token u(k B) = u(U_X), and the same of a probe point (a self-test). Raises CredentialMismatch."""
        if not hmac.compare_digest(self._derive(BASE_POINT), u_coordinate(self.public_point)):
            raise CredentialMismatch("the token's key is not the registration secret of this credential")
        self.agree(multiply_base(probe))

    def _derive(self, point: bytes) -> bytes:
        return self.key.exchange(X25519PublicKey.from_public_bytes(u_coordinate(point)))


def derive_shared_key(u_of_product: bytes, identity: str, serial: bytes) -> bytes:
    """Return K_X = HKDF-SHA256(ikm = u(S_X PK), no salt, info = T("shared", ID_X, serial), 32 bytes)."""
    info = transcript("shared", text(identity), serial)
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(u_of_product)


def _points_over(u_bytes: bytes) -> tuple[bytes, bytes]:
    """Return both points with that u-coordinate: y = (u - 1) / (u + 1) and either sign of x (RFC 7748, section 4.1)."""
    u = int.from_bytes(u_bytes, "little")
    y = (u - 1) * pow(u + 1, _FIELD_PRIME - 2, _FIELD_PRIME) % _FIELD_PRIME
    return y.to_bytes(32, "little"), (y | 1 << 255).to_bytes(32, "little")
