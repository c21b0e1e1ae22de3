"""Revocation: a patient takes its own grant back, an operator a credential; and the room that the list has for either.

Everybody fetches the list whole, so it is bounded; a full one takes no more (docs/scaling.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from federation.cloud.directory import KEPT_AFTER_END
from federation.cloud.services import Authenticated, Cloud
from federation.errors import Limit
from federation.protocol.access import named_for_revocation
from federation.protocol.anchors import grant_entry, serial_entry
from federation.protocol.calls import REVOKE
from federation.protocol.sealing import after_opening
from federation.protocol.time import Instant, milliseconds
from federation.store.rows import RevocationKind, Revocations
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.revocation_pb2 import GrantRevocation, RevokeGrantRequest, RevokeGrantResponse
from federation.v1.statement_pb2 import ROLE_PATIENT, RevocationList
from federation.wire.limits import RateBound

MOST_ENTRIES = 4096 - 128
"""Serials, and grants, that may be revoked at a time. A list names 4,096 of each (protos/federation/v1/statement.proto), so
calls that count at the same moment find room for all: a longer list could not be signed, and without one everybody refuses."""

MOST_KEY_IDS = 1024
"""Encryption keys that a list names."""

MOST: Mapping[RevocationKind, int] = {"serial": MOST_ENTRIES, "grant": MOST_ENTRIES, "key": MOST_KEY_IDS}

HIGH = 0.8
"""The part of its room from which on a list is told of: what is left is the time to do something about it, and not for a member's
renewals to take."""

KEPT_FOR_LIVE = 256
"""Places for serials that only a live credential gets: whoever is to be shut out is, before what it had earlier."""


def revoke_grant(cloud: Cloud, request: RevokeGrantRequest, rate: RateBound) -> RevokeGrantResponse:
    """Revoke a grant of the patient who signed this call. Raises Limit when the list is full, Rejected."""
    now = cloud.clock()
    call = _authenticated(cloud, request.opening, now=now)
    with after_opening():
        grant = named_for_revocation(call.payload.grant, call.sender)
        rate.require(call.sender.identity)  # rev.4
    require_room_for_grant(cloud.stores.revocations.current(now=now))  # rev.5
    entry = grant_entry(call.sender.patient_id, grant.grant_id)
    expires_at = grant.not_after + milliseconds(KEPT_AFTER_END)
    with call.acting("GRANT-REVOKED", f"{grant.patient_id} grant {grant.grant_id.hex()}", now=now) as act:
        cloud.stores.revocations.revoke("grant", entry, expires_at=expires_at, at=now, act=act)
    return RevokeGrantResponse(revocation_list=cloud.publisher.refresh(now).revocation_list)


def _authenticated(cloud: Cloud, opening: SealedOpening, *, now: Instant) -> Authenticated[GrantRevocation]:
    """Open rev and prove the patient by the KS inside, of any of its credentials that is neither over nor revoked.

    Not by the live registration: a patient who registered anew since may still speak for itself with what it has.
    """
    claimed = REVOKE.receive(opening, cloud.epochs, cloud.identity, cloud.freshness, now=now)
    with after_opening():
        statement = claimed.opened.payload.patient_key_statement
        patient = cloud.verifier.party(statement, ROLE_PATIENT, now=now)  # call.4
    return Authenticated(cloud, patient, claimed.opened, claimed.verify(patient, now=now))


def revoke_credential(cloud: Cloud, identity: str, serial: bytes, not_after: Instant, *, now: Instant) -> None:
    """Put a credential on the list until nobody would take it anyway. Whether there is room for it is the caller's to look at."""
    act = cloud.act("REVOCATION", f"{identity} serial {serial.hex()}", now=now)
    expires_at = not_after + milliseconds(KEPT_AFTER_END)
    cloud.stores.revocations.revoke("serial", serial_entry(serial), expires_at=expires_at, at=now, act=act)


@dataclass(frozen=True)
class Capacity:
    """How many entries of a kind there are, and at most."""

    kind: RevocationKind
    entries: int
    most: int

    @property
    def is_high(self) -> bool:
        """Return whether somebody should look."""
        return self.entries > HIGH * self.most

    @property
    def is_full(self) -> bool:
        """Return whether nothing more of the kind is revoked."""
        return self.entries >= self.most


def capacities(counted: Mapping[RevocationKind, int]) -> list[Capacity]:
    """Return how full a list of so many entries is, by kind."""
    return [Capacity(kind, counted.get(kind, 0), most) for kind, most in MOST.items()]


def capacities_of(listed: RevocationList) -> list[Capacity]:
    """Return how full a list is, by kind."""
    return capacities({"serial": len(listed.serials), "grant": len(listed.grants), "key": len(listed.key_ids)})


def require_room_for_live(book: Revocations) -> None:
    """Raise Limit where no live credential can be revoked."""
    _require_room(len(book.serials), MOST_ENTRIES)


def require_room_for_superseded(book: Revocations) -> None:
    """Raise Limit where no credential can be revoked that another one followed."""
    _require_room(len(book.serials), MOST_ENTRIES - KEPT_FOR_LIVE)


def require_room_for_renewal(book: Revocations) -> None:
    """Raise Limit where no renewal may let an earlier credential fall."""
    _require_room(len(book.serials), int(HIGH * MOST_ENTRIES))


def require_room_for_grant(book: Revocations) -> None:
    """Raise Limit where no grant can be taken back."""
    _require_room(len(book.grants), MOST_ENTRIES)


def _require_room(entries: int, most: int) -> None:
    if entries >= most:
        raise Limit("the revocation list is full")
