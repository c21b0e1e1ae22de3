"""What a token can do, tried for real on throw-away keys: nothing stays in the token (`hsm.generation.passing`).

A mechanism list says what a maker meant; only a use whose result is checked in software says what works.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from pkcs11 import Attribute, ObjectClass

from hsm import errors
from hsm.agreement import find_ways, hmac_sha256, peer_with_leading_zero, require_same
from hsm.creation import public_half, store_passing, verify_half
from hsm.generation import clear_trials, passing_names, passing_pair, passing_secret
from hsm.keys import DIGEST_SIZE_BYTES, sign_p256, split, verified
from hsm.locks import key_creation_lock
from hsm.mlkem import try_mlkem
from hsm.policy import AGREEMENT, MAC, SIGNING, VERIFIED_ATTRIBUTES
from hsm.sessions import Lending, Session

_MESSAGE: Final = b"a throw-away message"
_RANDOM_SIZE_BYTES: Final = 32


class Ability(Enum):
    """What the federation's parties ask of tokens, with the mechanisms that it takes."""

    RANDOM = "random numbers (C_GenerateRandom)"
    ECDSA_P256 = "ECDSA on P-256 (CKM_ECDSA)"
    NONCES = "ECDSA with fresh nonces"
    ECDH_P256 = "ECDH on P-256 (CKM_ECDH1_DERIVE)"
    IMPORT_P256 = "import of a P-256 key (C_CreateObject, C_UnwrapKey)"
    HMAC_SHA256 = "HMAC-SHA256 (CKM_SHA256_HMAC)"
    ML_KEM_768 = "ML-KEM-768 (CKM_ML_KEM)"


@dataclass(frozen=True)
class Trial:
    """How the trial of one ability went; `fault` is empty if it works, and `detail` may say how."""

    ability: Ability
    fault: str = ""
    detail: str = ""

    @property
    def works(self) -> bool:
        """Return whether the token can do it."""
        return not self.fault


def try_all(sessions: Lending) -> list[Trial]:
    """Try every ability, each in a writable session of its own, whose end takes along what it made.

    Before, what earlier trials left in a token without session keys goes. Raises `HsmError` if the token itself went away or
    is closed.
    """
    with key_creation_lock():  # no trial of another process is under way
        sessions.run(clear_trials, doing="clear away earlier trials", writable=True)
    trials = [_tried(sessions, ability) for ability in Ability]
    if not sessions.probe():  # SoftHSM makes session keys without its token
        raise errors.TokenUnavailable("The token went away while it was tried.")
    return trials


def _tried(sessions: Lending, ability: Ability) -> Trial:
    try:
        detail = sessions.run(_TRIALS[ability], doing=f"try {ability.value}", mechanism="TRIAL", writable=True)
    except errors.MechanismMissing as error:  # if the token went away, `try_all` sees it
        return Trial(ability, str(error))
    except errors.HsmError as error:
        if not sessions.probe():
            raise
        return Trial(ability, str(error))
    except (ValueError, TypeError) as error:
        return Trial(ability, str(error) or type(error).__name__)
    return Trial(ability, detail=detail)


def _try_random(session: Session) -> str:
    first, second = session.random(_RANDOM_SIZE_BYTES), session.random(_RANDOM_SIZE_BYTES)
    _require(len(first) == len(second) == _RANDOM_SIZE_BYTES and first != second, "the same bytes came twice")
    return ""


def _try_ecdsa(session: Session) -> str:
    with passing_pair(session, SIGNING) as (private, public):
        digest = session.random(DIGEST_SIZE_BYTES)
        verified(public, sign_p256(session, private, digest), digest)
    return ""


def _try_nonces(session: Session) -> str:
    """Sign one digest twice: two nonces give two r, the nonce of RFC 6979 gives one."""
    with passing_pair(session, SIGNING) as (private, public):
        digest = session.random(DIGEST_SIZE_BYTES)
        first, second = (sign_p256(session, private, digest) for _ in range(2))
        for signature in (first, second):
            verified(public, signature, digest)
    _require(split(first)[0] != split(second)[0], "one digest has one nonce, as in RFC 6979: not for a key that issues")
    return ""


def _try_ecdh(session: Session) -> str:
    ways = find_ways(session)
    with passing_pair(session, AGREEMENT) as (private, public):
        require_same(session, private, public, ways[0], peer_with_leading_zero(public))
    return ways[0].name


def _try_import(session: Session) -> str:
    way = find_ways(session)[0]
    value = bytearray(_KNOWN)
    with passing_names(session) as names:
        how = store_passing(session, AGREEMENT, names, value)
        (key,) = session.search({Attribute.CLASS: ObjectClass.PRIVATE_KEY, **names})
        # Before it is used: SoftHSM takes a key on a curve that it does not know, and dies of using it.
        said = session.quirks.as_standard(key.get_attributes(VERIFIED_ATTRIBUTES))
        wrong = set(AGREEMENT.violations(said)) - {Attribute.TOKEN.name}
        _require(not wrong, f"what is imported breaks its policy: {', '.join(sorted(wrong))}")
        verify_half(session, key, public_half(value), way)
    return how


def _try_hmac(session: Session) -> str:
    with passing_secret(session, MAC) as key, passing_secret(session, MAC) as other:
        code = hmac_sha256(session, key.handle, _MESSAGE)
        _require(code == hmac_sha256(session, key.handle, _MESSAGE), "another code for the same message")
        _require(code != hmac_sha256(session, other.handle, _MESSAGE), "the same code under another key")
    return ""


def _try_mlkem(session: Session) -> str:
    try_mlkem(session)
    return ""


_TRIALS: Final[dict[Ability, Callable[[Session], str]]] = {
    Ability.RANDOM: _try_random,
    Ability.ECDSA_P256: _try_ecdsa,
    Ability.NONCES: _try_nonces,
    Ability.ECDH_P256: _try_ecdh,
    Ability.IMPORT_P256: _try_import,
    Ability.HMAC_SHA256: _try_hmac,
    Ability.ML_KEM_768: _try_mlkem,
}
# RFC 5903, section 8.1: the initiator's private key.
_KNOWN: Final = bytes.fromhex("c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433")


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise errors.TokenFailed(fault)
