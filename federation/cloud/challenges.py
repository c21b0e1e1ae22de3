"""Challenges of registrations: 16 bytes that the cloud knows again, so that nothing is kept of those that nobody uses.

challenge = u32be(seconds) || 4 random bytes || the first 8 bytes of HMAC(index key, T("challenge", the 8 bytes before)). Every
process has that key in its token. One is good for 5 minutes, and used up when reg1 is taken (docs/protocol.md, section 3).
"""

import hmac
from datetime import timedelta

from federation.protocol.time import Freshness, Instant, milliseconds
from keystore.keyring import Indexing
from keystore.transcript import digest, transcript

CHALLENGE_LIFE = timedelta(minutes=5)
_CLEAR, _MAC = 8, 8


def new_challenge(key: Indexing, entropy: bytes, *, now: Instant) -> bytes:
    """Give a challenge; `entropy` are 4 random bytes."""
    clear = (now // 1000).to_bytes(4) + entropy
    return clear + key.mac(_covered(clear))[:_MAC]


def is_good(challenge: bytes, key: Indexing, freshness: Freshness, *, now: Instant) -> bool:
    """Say whether this cloud gave out the challenge within the last five minutes; whether it was used is another question.

    Another process did, perhaps, whose clock is ahead.
    """
    clear, mac = challenge[:_CLEAR], challenge[_CLEAR:]
    given_at = int.from_bytes(clear[:4]) * 1000
    if not freshness.begun(given_at, now=now) or now - given_at > milliseconds(CHALLENGE_LIFE):
        return False
    # One that was given out before the index key was rotated is good still.
    return any(hmac.compare_digest(mac, mine[:_MAC]) for _, mine in key.macs(_covered(clear)))


def replay_key(challenge: bytes) -> bytes:
    """Give what is kept of a challenge that was used: H(T("challenge-used", challenge))."""
    return digest(transcript("challenge-used", challenge))


def kept_until(freshness: Freshness, *, now: Instant) -> Instant:
    """Give until when: then it is too old by every clock."""
    return now + milliseconds(CHALLENGE_LIFE + 2 * freshness.skew)


def _covered(clear: bytes) -> bytes:
    return transcript("challenge", clear)
