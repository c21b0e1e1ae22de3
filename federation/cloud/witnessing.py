"""Who witnesses the public cloud's log, whose logs it follows, and where hospitals are dialled for that."""

from collections.abc import Callable, Sequence
from itertools import islice

from federation.cloud.services import Cloud
from federation.party.chores import Chore
from federation.party.epochs import as_signed
from federation.party.log_chores import chores_of
from federation.party.log_follower import Cosigning, Following
from federation.party.log_peers import LogPeers
from federation.party.log_rpc import KnownNode
from federation.settings import LogSettings
from keystore.identities import HOSPITAL

WITNESSES_UNLESS_NAMED = 3
"""Hospitals that a public cloud asks where neither the policy nor its settings name any; more where the policy asks for more."""


def known_in(cloud: Cloud) -> Callable[[str], KnownNode | None]:
    """Return what a cloud says of a hospital: where it is dialled, and its KS, if it has a live registration."""

    def known(node_id: str) -> KnownNode | None:
        live = cloud.live(node_id, now=cloud.clock()) if node_id.startswith(HOSPITAL) else None
        if live is None or live.address is None:
            return None
        return KnownNode(live.address, as_signed(live.key_statement))

    return known


def address_in(cloud: Cloud) -> Callable[[str, LogPeers], str | None]:
    """Return where this cloud dials a hospital."""
    known = known_in(cloud)

    def address_of(peer_id: str, _: LogPeers) -> str | None:
        found = known(peer_id)
        return None if found is None else found.address

    return address_of


def log_chores(cloud: Cloud, settings: LogSettings, peers: LogPeers) -> list[Chore]:
    """Return the chores: hospitals cosign, and the log of every hospital is followed."""

    def hospitals() -> Sequence[str]:
        return [hospital_id for hospital_id, _ in cloud.stores.registrations.hospitals(now=cloud.clock())]

    def witnesses() -> Sequence[str]:
        policy = cloud.own_log.policy
        named = list(dict.fromkeys([*policy.named, *settings.witnesses]))
        wanted = max(policy.cosignatures, 0 if named else WITNESSES_UNLESS_NAMED)
        first = islice(cloud.stores.registrations.hospitals(now=cloud.clock()), wanted)
        return list(dict.fromkeys([*named, *(hospital_id for hospital_id, _ in first)]))[: max(wanted, len(named))]

    return chores_of(
        Cosigning(cloud.own_log, cloud.witness, peers, witnesses),
        Following(cloud.witness, peers, hospitals, witnesses),
    )
