"""What the public cloud knows of a question by itself, before it decides."""

from federation.cloud.services import Cloud
from federation.protocol.access import Receiver
from federation.protocol.shown import Shown
from federation.protocol.time import Instant
from federation.protocol.verifier import VerifiedParty


def receiver_for(cloud: Cloud, asker: VerifiedParty, shown: Shown, *, now: Instant) -> Receiver:
    """Return what is known here of what somebody shows. Raises Corrupt."""
    del asker, now
    restriction = cloud.restrictions.of(shown.patient_id)
    return Receiver(hidden=restriction.hidden, emergency_overrides=restriction.emergency_overrides)
