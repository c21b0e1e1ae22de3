"""What the public cloud knows of a question by itself, before it decides, and what it writes with an access that it gives."""

from federation.cloud.services import Cloud
from federation.protocol.access import Receiver
from federation.protocol.shown import Shown
from federation.protocol.time import Instant
from federation.protocol.verifier import VerifiedParty
from federation.store.rows import Beside


def receiver_for(cloud: Cloud, asker: VerifiedParty, shown: Shown, *, now: Instant) -> Receiver:
    """Return what is known here of what somebody shows. Raises Corrupt."""
    restriction = cloud.restrictions.asked_by(asker.identity).of(shown.patient_id)
    exhausted = cloud.budgets.exhausted(asker.identity, shown, now=now)
    return Receiver(restriction.hidden, restriction.emergency_overrides, exhausted, cloud.emergency)


def beside(cloud: Cloud, asker: VerifiedParty, shown: Shown, *, now: Instant) -> Beside:
    """Return what is written with the log's entry of an access that is given: what it costs."""
    return Beside(cloud.budgets.claims(asker.identity, shown, now=now))
