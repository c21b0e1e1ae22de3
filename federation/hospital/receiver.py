"""What this hospital knows of a question by itself, before it decides."""

from federation.hospital.services import Hospital
from federation.protocol.access import Receiver
from federation.protocol.shown import Shown
from federation.protocol.time import Instant
from federation.protocol.verifier import Peer


def receiver_for(hospital: Hospital, asker: Peer, shown: Shown, *, now: Instant) -> Receiver:
    """Return what is known here of what somebody shows. Raises Corrupt."""
    del asker, now
    restriction = hospital.restrictions.of(shown.patient_id)
    return Receiver(hidden=restriction.hidden, emergency_overrides=restriction.emergency_overrides)
