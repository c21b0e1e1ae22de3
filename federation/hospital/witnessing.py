"""Who witnesses a hospital's log, and whose logs a hospital follows."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from federation.hospital.services import Hospital
from federation.party.audit import OK, AuditEvent
from federation.party.chores import Chore
from federation.party.log_chores import chores_of
from federation.party.log_follower import Cosigning, Following
from federation.party.log_peers import LogPeers
from federation.party.witness import has_left
from federation.protocol.access import AccessEvent
from federation.protocol.anchors import Anchors
from federation.settings import LogSettings

UNWITNESSED = "EMERGENCY-UNWITNESSED"
"""The kind of the log's entry that an emergency went out before enough witnesses had cosigned a head over its own."""


def cosigning_of(hospital: Hospital, settings: LogSettings, peers: LogPeers) -> Cosigning:
    """Return who has the log cosigned: by the public cloud, and by hospitals of the trust bundle's policy and the settings."""

    def witnesses() -> Sequence[str]:
        return witnesses_of(hospital.member.anchors, settings, hospital.identity)

    return Cosigning(hospital.own_log, hospital.witness, peers, witnesses)


def witnesses_of(anchors: Anchors, settings: LogSettings, hospital_id: str) -> Sequence[str]:
    """Return whom a hospital asks for cosignatures, each once."""
    named = [anchors.cloud_id, *anchors.witnesses.newest.named, *settings.witnesses]
    return [it for it in dict.fromkeys(named) if it != hospital_id]


def witnessed_hospital(hospital: Hospital, settings: LogSettings, cosigning: Cosigning) -> Hospital:
    """Return the hospital with witnesses that stand by an emergency before its first byte goes out, enough of them."""
    patience = timedelta(seconds=settings.emergency_wait_seconds)
    return replace(hospital, stand_by=partial(cosigning.stand_by, patience))


def log_chores(hospital: Hospital, cosigning: Cosigning) -> list[Chore]:
    """Return the chores: witnesses cosign, and their logs are followed.

    So is every log whose node has asked for a cosignature here, for as long as it is a member.
    """

    def followed() -> Sequence[str]:
        kept = hospital.witness.witnessed.all()
        return [*cosigning.witnesses(), *(it.node_id for it in kept if not has_left(hospital.witness, it))]

    return chores_of(cosigning, Following(hospital.witness, cosigning.peers, followed, cosigning.witnesses))


def await_witness(hospital: Hospital, access: AccessEvent) -> None:
    """Wait until enough have cosigned a head over an emergency's entry, or for so long as the settings say.

    Where they have not, the log says so before the first byte goes out: nobody in need waits for a network. Raises StoreError,
    HsmError.
    """
    if hospital.stand_by is None or hospital.stand_by():
        return
    unwitnessed = AuditEvent(UNWITNESSED, OK, detail=f"H(access) {access.authorization.hex()}")
    hospital.audit.record(unwitnessed, now=hospital.clock())
