"""What the public cloud knows of a question by itself, before it decides."""

from federation.cloud.services import Cloud
from federation.protocol.access import Receiver
from federation.protocol.shown import Shown
from federation.protocol.time import Instant
from federation.protocol.verifier import VerifiedParty


def receiver_for(cloud: Cloud, asker: VerifiedParty, shown: Shown, *, now: Instant) -> Receiver:
    """Return what is known here of what somebody shows."""
    del cloud, asker, shown, now
    return Receiver()
