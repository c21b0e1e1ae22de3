"""A hospital that leaves the federation: nobody takes its word any more, and nothing leads to it.

First it can register no more, then its credentials fall, and only then its rows go: it can't publish them again in between.
Each step that is done stays done, so what was cut off goes on when it is asked for again. What others signed about it stays:
the log, the issuance log, and what its witnesses keep.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from federation.cloud.index_rows import forget_rows_of
from federation.cloud.node import PublicCloudNode
from federation.store.errors import NotStored
from keystore.identities import HospitalId


@dataclass(frozen=True)
class Departed:
    """What became of a hospital that has left."""

    credentials: Sequence[bytes]
    tickets: int
    rows: int
    restrictions: int
    """Of how many patients it has, or was to have, what they hide."""


def remove_hospital(node: PublicCloudNode, hospital_id: HospitalId, why: str) -> Departed:
    """Forget its tickets, revoke its credentials, take its rows out. Raises Limit where the list is full, Corrupt."""
    cloud = node.cloud
    act = cloud.act("MEMBER-REMOVED", f"{hospital_id}; {why}", now=cloud.clock())
    tickets = cloud.stores.registrations.forget_tickets_of(hospital_id, act=act)
    try:
        credentials = node.revoke(hospital_id)
    except NotStored:  # it never registered, or what was cut off goes on
        credentials = []
    rows = forget_rows_of(cloud, hospital_id)
    restrictions = cloud.restrictions.forget_hospital(hospital_id)
    detail = f"{rows} rows of {hospital_id}, and what {restrictions} patients hide there; {why}"
    cloud.record("FORGET-HOSPITAL", detail, now=cloud.clock())
    node.publish()
    return Departed(credentials, tickets, rows, restrictions)
