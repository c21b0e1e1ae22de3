"""agree: the one function of a secret scalar and a point that messages rest on, however much of it a token does.

    agree(d, Q, label, f1..fn) = HMAC-SHA256(X9.63-KDF-SHA256(x(d Q), 32 bytes, "medunion/v1"), T(label, f1, .., fn))

(docs/protocol.md, section 1; the KDF is SEC 1's, section 3.6.1.)
"""

from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from hsm import software_prf
from keystore.curve import hash_to_curve
from keystore.transcript import transcript

SHARED_INFO: Final = b"medunion/v1"


class Agreeing(Protocol):
    """A secret scalar d: `hsm.TokenAgreementKey`, or `SoftwareAgreement`."""

    def prf(self, peer: ec.EllipticCurvePublicKey, shared_info: bytes, message: bytes) -> bytes:
        """Return HMAC-SHA256(X9.63-KDF-SHA256(x(d Q), 32 bytes, shared_info), message)."""
        ...


@dataclass(frozen=True, repr=False)
class SoftwareAgreement:
    """A scalar in memory: r or e of one session, S_X at the cloud before it is forgotten."""

    key: ec.EllipticCurvePrivateKey

    def prf(self, peer: ec.EllipticCurvePublicKey, shared_info: bytes, message: bytes) -> bytes:
        """Return what a token does for its own keys."""
        return software_prf(self.key.exchange(ec.ECDH(), peer), shared_info, message)


def agree(key: Agreeing, peer: ec.EllipticCurvePublicKey, label: str, *fields: bytes) -> bytes:
    """Return agree(d, Q, label, fields), 32 bytes."""
    return key.prf(peer, SHARED_INFO, transcript(label, *fields))


def prf_at_hashed_point(key: Agreeing, message: bytes) -> bytes:
    """Return PRF(m) of a key that makes no HMAC: the scalar at Q(m) (docs/protocol.md, "Seals at rest")."""
    return key.prf(hash_to_curve(message), SHARED_INFO, message)
