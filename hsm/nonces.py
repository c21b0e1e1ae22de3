"""Whether a token's ECDSA nonces are uniform and fresh, on which a key rests whose every signature is public.

A throw-away key whose scalar is known here signs in the token, so that each nonce can be computed: k = s^-1 (z + r d) mod n.
A token that always gives the smaller s may have used n - k, so what is tested is each bit of k and of the smaller of both.
"""

import hashlib
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, ObjectClass

from hsm.creation import public_half, store_passing
from hsm.generation import passing_names
from hsm.keys import sign_p256, split, verified
from hsm.policy import KEY_SIZE_BYTES, SIGNING
from hsm.sessions import Lending, Session

ORDER: Final = ec.SECP256R1().group_order  # n of P-256 (SP 800-186, section 3.2.1.3)
FEWEST_SIGNATURES: Final = 256
MOST_DEVIATIONS: Final = 6.0
"""Of 511 bits (256 of k, 255 of the smaller of k and n - k) one lies farther off once in a million tests of a fair token.

That is 511 * 2 * (1 - Phi(6)) = 1.0e-6; n is so near 2^256 that no bit of a uniform k is off by more than 2^-32.
"""
_BITS: Final = 256


@dataclass(frozen=True)
class NonceReport:
    """What the signatures of one throw-away key say. `worst_z` is the count of the farthest bit, in standard deviations."""

    signatures: int
    distinct: int
    worst_bit: int
    worst_z: float

    @property
    def fair(self) -> bool:
        """Return whether no nonce came twice and no bit is biased: a fair token fails once in a million times."""
        return self.distinct == self.signatures and abs(self.worst_z) <= MOST_DEVIATIONS


def measure(sessions: Lending, signatures: int, progress: Callable[[int], None]) -> NonceReport:
    """Sign with a throw-away key in the token and judge its nonces; `progress` is told how many signatures there are.

    Every digest is signed twice, so that the nonces of RFC 6979, which follow from the digest, show. Raises ValueError for
    too few signatures; `ImportRefused` if the token takes no key, and what `Sessions.run` raises.
    """
    if signatures < FEWEST_SIGNATURES:
        raise ValueError(f"Nonces are judged by {FEWEST_SIGNATURES} signatures at least.")
    scalar = 1 + secrets.randbelow(ORDER - 1)

    def sign(session: Session) -> list[tuple[int, int]]:
        return _signed(session, scalar, signatures, progress)

    return judge(sessions.run(sign, doing="try the nonces", mechanism="TRIAL", writable=True))


def _signed(session: Session, scalar: int, signatures: int, progress: Callable[[int], None]) -> list[tuple[int, int]]:
    """Return r and the nonce of each signature."""
    value = bytearray(scalar.to_bytes(KEY_SIZE_BYTES, "big"))
    public = public_half(value)
    found = []
    with passing_names(session) as names:
        store_passing(session, SIGNING, names, value)
        (key,) = session.search({Attribute.CLASS: ObjectClass.PRIVATE_KEY, **names})
        for number in range(signatures):
            digest = hashlib.sha256(str(number // 2).encode()).digest()
            signature = sign_p256(session, key, digest)
            verified(public, signature, digest)
            r, s = split(signature)
            found.append((r, nonce(r, s, int.from_bytes(digest, "big"), scalar)))
            progress(number + 1)
    return found


def nonce(r: int, s: int, z: int, scalar: int) -> int:
    """Return the nonce of a signature over the digest z: k, or n - k where the signer has taken the other s."""
    return pow(s, -1, ORDER) * (z + r * scalar) % ORDER


def judge(found: Sequence[tuple[int, int]]) -> NonceReport:
    """Count distinct r and find the bit that is farthest from even, among pairs of r and the nonce."""
    nonces = [k for _, k in found]
    folded = [min(k, ORDER - k) for k in nonces]
    # The top bit of the smaller one is always zero.
    deviations = [*_deviations(nonces, _BITS), *_deviations(folded, _BITS - 1)]
    worst_bit, worst_z = max(deviations, key=lambda deviation: abs(deviation[1]))
    return NonceReport(len(found), len({r for r, _ in found}), worst_bit, worst_z)


def _deviations(numbers: Sequence[int], bits: int) -> list[tuple[int, float]]:
    """Return for each bit, 0 being the lowest, by how many standard deviations it is one more often than zero."""
    columns = zip(*(f"{number:0{bits}b}" for number in numbers), strict=True)
    ones = [column.count("1") for column in columns]
    return [
        (bits - 1 - place, (2 * count - len(numbers)) / math.sqrt(len(numbers))) for place, count in enumerate(ones)
    ]
