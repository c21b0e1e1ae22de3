"""What this hospital knows of a question by itself, before it decides, and what it writes with an access that it gives."""

from federation.hospital.emergencies import declared_here
from federation.hospital.services import Hospital
from federation.protocol.access import Receiver
from federation.protocol.shown import Shown
from federation.protocol.time import Instant
from federation.protocol.verifier import Peer
from federation.store.rows import Beside


def receiver_for(hospital: Hospital, asker: Peer, shown: Shown, *, now: Instant, is_budgeted: bool = True) -> Receiver:
    """Return what is known here of what somebody shows. A deposit, and what was counted when it began, is not budgeted.

    Raises Corrupt.
    """
    restriction = hospital.restrictions.asked_by(asker.identity).of(shown.patient_id)
    exhausted = hospital.budgets.exhausted(asker.identity, shown, now=now) if is_budgeted else frozenset[str]()
    return Receiver(restriction.hidden, restriction.emergency_overrides, exhausted, hospital.emergency)


def beside(hospital: Hospital, asker: Peer, shown: Shown, *, now: Instant) -> Beside:
    """Return what is written with the log's entry of an access that is given: what it costs, and the emergency to review."""
    return Beside(hospital.budgets.claims(asker.identity, shown, now=now), declared_here(hospital, shown))
