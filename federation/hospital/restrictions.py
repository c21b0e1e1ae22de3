"""Restrictions that this hospital takes from the public cloud, and does not trust it for: each is verified here, the newest kept.

What was handed out is fetched and acknowledged until nothing is left.
"""

from collections.abc import Callable, Sequence
from enum import Enum, auto

from federation.errors import FederationError, RestrictionSuperseded
from federation.hospital.services import Hospital
from federation.party.audit import OK, AuditEvent
from federation.protocol.parties import reason_of
from federation.protocol.restriction import open_restriction, peek_restriction
from federation.store.rows import Act
from federation.v1.restrictions_pb2 import DueRestriction, HeldRestriction
from federation.wire import operations

Fetch = Callable[[Sequence[HeldRestriction]], Sequence[DueRestriction]]
"""Acknowledges what was taken, and gives what is due next, unverified. Raises FederationError."""


MOST_ROUNDS = 64
"""Calls that one attempt makes: what is left then waits for the next."""


class Taking(Enum):
    """What became of a restriction that was handed out."""

    NEWS = auto()
    OLDER = auto()
    REFUSED = auto()


def take_restrictions(hospital: Hospital, fetch: Fetch) -> int:
    """Take what is due here, and return how many were news. Raises FederationError where the public cloud can't be asked.

    One that does not hold is told to the operator and is not acknowledged: it comes again, after the others.
    """
    news, held = 0, list[HeldRestriction]()
    for _ in range(MOST_ROUNDS):
        taken = [(one, _take(hospital, one)) for one in fetch(held)]
        news += sum(taking is Taking.NEWS for _, taking in taken)
        held = [_held(one) for one, taking in taken if taking is not Taking.REFUSED]
        if not held:
            break
    return news


def _take(hospital: Hospital, due: DueRestriction) -> Taking:
    now = hospital.clock()
    try:
        stated = open_restriction(due.shown, hospital.member.verifier(), now=now)
        event = AuditEvent("RESTRICTION-TAKEN", OK, detail=f"{stated.patient_id}: number {stated.number}")
        act = Act(hospital.audit.entry(event, now=now))
        hospital.restrictions.keep(stated.patient_id, stated.number, due.shown, act=act)
    except RestrictionSuperseded:
        return Taking.OLDER
    except FederationError as error:
        operations.warning("restriction-not-taken", reason=reason_of(error))
        return Taking.REFUSED
    return Taking.NEWS


def _held(due: DueRestriction) -> HeldRestriction:
    return HeldRestriction(reference=due.reference, number=peek_restriction(due.shown).number)
