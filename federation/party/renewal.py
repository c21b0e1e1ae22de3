"""A member registers again by itself: before its credential ends, when its PK or its own key is rotated (ADR 18)."""

import hashlib
import time
from datetime import timedelta
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation.errors import Rejected
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.party.registration import Pause, apply, resume
from federation.protocol.periods import has_ended
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import VerifiedParty
from federation.v1.directory_pb2 import KeyPeriod
from federation.v1.statement_pb2 import Credential, KeyStatement
from keystore.generations import State

BEFORE_END = timedelta(days=30)
"""How long before its credential ends a member registers again."""

SPREAD = timedelta(days=1)
"""Over how long the members of a federation spread their renewals after a rotation of s, each at a moment of its own."""


class Due(StrEnum):
    """Why a member registers again."""

    IDENTITY_ROTATED = "its identity key was rotated"
    ISSUER_TAINTED = "its PK is tainted"
    ISSUER_RETIRED = "its PK is retired"
    ENDING = "its credential ends soon"


def renewal_due(member: Member, now: Instant) -> Due | None:
    """Say why this member should register again now, if it should. Raises NotRegistered."""
    statement = peek_statement(KeyStatement, member.key_statement)
    credential = Credential.FromString(statement.credential)
    if member.keys.signing_key.public_key().public_bytes_raw() != statement.verifying_key:
        return Due.IDENTITY_ROTATED
    issuers = member.anchors.issuers
    issuer = issuers.at(credential.not_before)
    if issuer is not None:
        state = issuers.state(issuer.verifying_key, now=now)
        if state is State.TAINTED:
            return Due.ISSUER_TAINTED
        if state is State.RETIRED and _is_turn(issuer, member.identity, now):
            return Due.ISSUER_RETIRED
    if credential.not_after - milliseconds(BEFORE_END) <= now:
        return Due.ENDING
    return None


def restatement_due(member: Member, now: Instant) -> bool:
    """Say whether the PRK_C behind this member's KS can't be relied on any more: then one signed anew is needed at once."""
    cloud_keys = member.anchors.cloud_keys
    signer = cloud_keys.at(peek_statement(KeyStatement, member.key_statement).stated_at)
    return signer is not None and cloud_keys.state(signer.verifying_key, now=now) in {State.TAINTED, State.REVOKED}


def renew_registration(
    member: Member, cloud: CloudClient, evidence: bytes, *, certificate: bytes = b"", pause: Pause = time.sleep
) -> VerifiedParty:
    """Register this member again, by its live PRK_X in place of a ticket; evidence and certificate as for `register`.

    Raises NotRegistered, the cloud's refusal (among others of a licence or B_P that isn't the registered one), Unavailable.
    What was cut short goes on when it is called again.
    """
    role = peek_statement(KeyStatement, member.key_statement).role
    cloud.refresh(member)
    taken = resume(member, cloud, evidence, certificate, pause)
    if taken is not None:
        return taken
    first, *others = _maybe_live(member)
    try:
        return apply(member, cloud, role, evidence, None, certificate=certificate, current=first, pause=pause)
    except Rejected:
        if not others:
            raise
    # The cloud may have taken an earlier reg1 whose answer nobody can have any more: then the newer key is the live one.
    return apply(member, cloud, role, evidence, None, certificate=certificate, current=others[0], pause=pause)


def _maybe_live(member: Member) -> list[Ed25519PrivateKey]:
    """Give the PRK_X that the cloud may hold to be live: of the kept KS, and the active one where it is another."""
    named, active = member.signing_key, member.keys.signing_key
    same = named.public_key().public_bytes_raw() == active.public_key().public_bytes_raw()
    return [named] if same else [named, active]


def _is_turn(issuer: KeyPeriod, identity: str, now: Instant) -> bool:
    """Spread what everybody does after a rotation: each member has its own part of the day, the same one at every try."""
    share = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") / 2**32
    return has_ended(issuer, now - int(milliseconds(SPREAD) * share))
