"""Whether a member's renewal is due, and what its earlier credentials have come to (docs/adr/0018-rotation.md).

The cloud decides by what it knows itself: a member that could renew at will would hoard credentials, each good for a year, until
the revocation list had no place for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from federation.cloud.capacity import require_room_for_renewal
from federation.cloud.cloud import Cloud
from federation.cloud.revocation import revoke_credential
from federation.errors import RenewalNotDue
from federation.protocol.anchors import serial_entry
from federation.protocol.registration import AcceptedRequest, attribute_of
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import VerifiedParty
from federation.store.rows import Superseded
from federation.v1.statement_pb2 import ROLE_DOCTOR, Credential
from keystore.generations import State

MOST_STANDING = 2
"""Superseded credentials of one identity that hold at a time: the oldest falls before there is another."""

MOST_BY_ITSELF = 6
"""Superseded credentials whose time is not over, the fallen ones among them, beside which a member's own reasons count."""

ANSWER_LOST_AFTER = timedelta(minutes=10)
"""When a reg1 is no longer answered again: a member that has not got the answer by then needs another credential."""


@dataclass(frozen=True)
class _Past:
    """The superseded credentials of an identity whose time is not over, the one that ends first in front."""

    unexpired: Sequence[Superseded]
    standing: Sequence[Superseded]


def require_due(cloud: Cloud, accepted: AcceptedRequest, *, now: Instant) -> None:
    """Require a reason to renew that the cloud sees itself, and let the oldest credential fall where too many would stand.

    Raises RenewalNotDue, which a member that has proved its live PRK_X may hear, and Limit.
    """
    live = accepted.renewed
    if live is None:
        return
    past = _past(cloud, live, now)
    if not _is_due(cloud, live, now) and not _is_own_choice(accepted, live, past, now):
        raise RenewalNotDue("the live credential is good: no reason to renew it is known here")  # reg1.19
    for oldest in past.standing[: 1 - MOST_STANDING]:
        require_room_for_renewal(cloud.stores.revocations.current(now=now))  # reg1.20
        revoke_credential(cloud, live.identity, oldest.serial, oldest.not_after, now=now)


def _is_due(cloud: Cloud, live: VerifiedParty, now: Instant) -> bool:
    """Say whether the federation's clock or the cloud's own rotation asks for it: then nobody can bring it about."""
    credential = Credential.FromString(live.credential)
    issuers = cloud.bulletin.current.trust.anchors.issuers
    issuer_is_active = issuers.state(live.issuer_public_key, now=now) is State.ACTIVE
    return not issuer_is_active or credential.not_after - milliseconds(cloud.renewal_stretch) <= now


def _is_own_choice(accepted: AcceptedRequest, live: VerifiedParty, past: _Past, now: Instant) -> bool:
    """Say whether the member has a reason of its own, and has not had too many: another PRK_X or Cert_D, a lost answer."""
    request, issued_at = accepted.request, Credential.FromString(live.credential).not_before
    has_reason = (
        request.verifying_key != live.verifying_key
        or (request.role == ROLE_DOCTOR and attribute_of(request.role, request.evidence) != live.attribute)
        or (bool(past.standing) and issued_at + milliseconds(ANSWER_LOST_AFTER) <= now)
    )
    return has_reason and len(past.unexpired) < MOST_BY_ITSELF


def _past(cloud: Cloud, live: VerifiedParty, now: Instant) -> _Past:
    unexpired = cloud.stores.registrations.superseded(live.identity, now=now)
    revoked = frozenset(cloud.stores.revocations.current(now=now).serials)
    return _Past(unexpired, [it for it in unexpired if serial_entry(it.serial) not in revoked])
