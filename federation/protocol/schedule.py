"""The key schedule of both sessions, SEK_1 and SEK_2 (eq. 17, 22, 39, 44; findings B5, B13).

PRK = HKDF-Extract-SHA256(salt = TH, ikm = F(K) || F(Z) || F(kappa_1) || F(kappa_2)); keys = HKDF-Expand(PRK, T("key", name, TH)).
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from federation.errors import PointInvalid
from federation.protocol.verifier import VerifiedParty
from keystore.errors import InvalidPoint
from keystore.group import add, multiply
from keystore.registration_secret import RegistrationSecret
from keystore.transcript import frame, transcript


@dataclass(frozen=True, repr=False)
class DirectionKeys:
    """Key (32 bytes) and iv (12 bytes) of one direction."""

    key: bytes
    iv: bytes


@dataclass(frozen=True, repr=False)
class SessionKeys:
    """The keys of a session: opener to answerer, answerer to opener, and kc (32 bytes)."""

    forward: DirectionKeys
    backward: DirectionKeys
    key_confirmation: bytes


def agree(
    own: RegistrationSecret, peer_ephemeral: bytes, own_scalar: bytes, peer: VerifiedParty
) -> tuple[bytes, bytes]:
    """Give K = S_own R_peer + r_own U_peer and Z = r_own R_peer, eq. 17's two inputs; the first product is the token's.

    Both sides get the same K: S_D R_P2 + r6 U_P = S_D r5 B + r6 S_P B. Raises PointInvalid.
    """
    try:
        product = own.agree(peer_ephemeral)
        return add(product, multiply(own_scalar, peer.public_point)), multiply(own_scalar, peer_ephemeral)
    except InvalidPoint as error:
        raise PointInvalid("the key agreement met a point that no honest peer sends") from error


def derive(
    shared: tuple[bytes, bytes], contributions: tuple[bytes, bytes], transcript_hash: bytes, roles: str
) -> SessionKeys:
    """Derive the session's keys. `roles` is the opener's letter and the answerer's: "PD" for SEK_1, "DH" for SEK_2."""
    opener, answerer = roles[0], roles[1]
    material = b"".join(map(frame, (*shared, *contributions)))
    extracted = HKDF.extract(SHA256(), transcript_hash, material)

    def expand(name: str, length: int) -> bytes:
        info = transcript("key", name.encode(), transcript_hash)
        return HKDFExpand(algorithm=SHA256(), length=length, info=info).derive(extracted)

    return SessionKeys(
        forward=DirectionKeys(expand(f"k_{opener}>{answerer}", 32), expand(f"iv_{opener}>{answerer}", 12)),
        backward=DirectionKeys(expand(f"k_{answerer}>{opener}", 32), expand(f"iv_{answerer}>{opener}", 12)),
        key_confirmation=expand(f"kc_{answerer}", 32),
    )
