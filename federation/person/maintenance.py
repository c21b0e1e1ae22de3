"""What a doctor's or patient's client does for itself whenever it is opened: it has no background for chores."""

import time
from contextlib import suppress

from federation.errors import FederationError, RenewalNotDue, Unavailable
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.party.registration import Due, Pause, renew_registration, renewal_due, restatement_due
from federation.protocol.time import Instant


def maintain(
    member: Member, cloud: CloudClient, evidence: bytes, *, certificate: bytes = b"", pause: Pause = time.sleep
) -> FederationError | None:
    """Register again if that is due, begin the next epoch, end what is over. Without the cloud all of it waits.

    Return why the cloud would not have the registration again, if it would not: the live one holds as long as it is good.
    """
    if not member.is_registered:
        return None
    now = cloud.clock()
    refusal = None
    member.forget_former(now)
    with suppress(Unavailable):
        refusal = _renewed(member, cloud, evidence, certificate, pause)
        if member.epochs.is_due(now) or restatement_due(member, now):
            cloud.refresh(member)
            cloud.renew(member)
    member.epochs.sweep(now)
    return refusal


def follow(member: Member, cloud: CloudClient, now: Instant) -> None:
    """Bring bundle and lists up to date, and this member's own KS where the bundle says that its PRK_C has fallen.

    Raises what is wrong with the cloud's answers, Unavailable: then the list is the newest of the hospitals dealt with.
    """
    try:
        cloud.refresh(member)
    except Unavailable:
        member.lists.hear_beside(member.own_entries)
        raise
    if member.is_registered and restatement_due(member, now):
        cloud.renew(member)


def _renewed(
    member: Member, cloud: CloudClient, evidence: bytes, certificate: bytes, pause: Pause
) -> FederationError | None:
    due = renewal_due(member, cloud.clock())
    # A doctor's new key needs a new certificate first: then the doctor registers with that (`medunion doctor register`).
    if due is None or (due is Due.IDENTITY_ROTATED and certificate):
        return None
    try:
        renew_registration(member, cloud, evidence, certificate=certificate, pause=pause)
    except Unavailable:
        raise
    except RenewalNotDue:
        return None  # the live one is good, and asked for again when this is next opened
    except FederationError as error:
        return error
    return None
