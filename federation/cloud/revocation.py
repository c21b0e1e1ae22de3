"""Revocation: a party takes back what it stated, an operator a credential or a guardianship; and the room of the list.

Its bound is what every hospital holds in memory (`most_revocations`), some 35 bytes an entry; a full list takes no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from federation.cloud.directory import KEPT_AFTER_END
from federation.cloud.services import Authenticated, Cloud
from federation.errors import Limit
from federation.protocol.anchors import serial_entry, statement_entry, sweep_entry
from federation.protocol.calls import REVOKE
from federation.protocol.registration import CREDENTIAL_LIFE
from federation.protocol.revocation import TakenBack, require_revocable, sender_role
from federation.protocol.revocations import prefix_of
from federation.protocol.sealing import after_opening
from federation.protocol.time import Instant, milliseconds
from federation.store.errors import StoreLimit
from federation.store.rows import Act
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.revocation_pb2 import Revocation, RevokeRequest, RevokeResponse
from federation.wire.limits import RateBound
from keystore.identities import HospitalId

HIGH = 0.8
"""The part of its room from which on a list is told of: what is left is the time to do something about it, and not for a member's
renewals to take."""

KEPT_FOR_LIVE = 256
"""Places for serials that only a live credential gets: whoever is to be shut out is, before what it had earlier."""


def revoke(cloud: Cloud, request: RevokeRequest, rate: RateBound) -> RevokeResponse:
    """Take back what the sender of this call asks for. Raises Limit when the list is full, Rejected."""
    now = cloud.clock()
    call = _authenticated(cloud, request.opening, now=now)
    with after_opening():
        statements = require_revocable(call.payload, call.sender, cloud.verifier, now=now)
        rate.require(call.sender.identity, max(1, len(statements)))  # rev.11
    with call.acting("REVOKED", _told(call, statements), now=now) as act:
        _take_back(cloud, call.payload, statements, act, now)
    version = cloud.publisher.refresh(now)
    return RevokeResponse(revocations=version.excerpt(map(prefix_of, _entries(call.payload, statements))))


def _entries(payload: Revocation, statements: Sequence[TakenBack]) -> Sequence[bytes]:
    return [it.entry for it in statements] or [sweep_entry(payload.owner_id)]


def _authenticated(cloud: Cloud, opening: SealedOpening, *, now: Instant) -> Authenticated[Revocation]:
    """Open rev and prove its sender by the KS inside, of any of its credentials that is neither over nor revoked.

    Not by the live registration: a patient who registered anew since may still speak for itself with what it has.
    """
    claimed = REVOKE.receive(opening, cloud.epochs, cloud.identity, cloud.freshness, now=now)
    with after_opening():
        role = sender_role(claimed.claimed_sender)
        sender = cloud.verifier.party(claimed.opened.payload.key_statement, role, now=now)  # call.4
    return Authenticated(cloud, sender, claimed.opened, claimed.verify(sender, now=now))


def _take_back(cloud: Cloud, payload: Revocation, statements: Sequence[TakenBack], act: Act, now: Instant) -> None:
    book = cloud.stores.revocations
    try:
        if statements:
            expiring = {it.entry: _leaves_at(it.validity.not_after, now) for it in statements}
            book.take_back(expiring, at=now, most=cloud.most_revocations, act=act)
        else:
            before, leaves_at = payload.before, _last_use(max(payload.before, now)) + milliseconds(KEPT_AFTER_END)
            digest = sweep_entry(payload.owner_id)
            book.sweep(digest, before, expires_at=leaves_at, at=now, most=cloud.most_revocations, act=act)
    except StoreLimit as error:
        raise Limit("the revocation list is full") from error  # rev.12


def _told(call: Authenticated[Revocation], statements: Sequence[TakenBack]) -> str:
    payload = call.payload
    named = [f"{it.kind} {it.id.hex()}" for it in statements] or [f"all before {payload.before}"]
    by = "" if call.sender.identity == payload.owner_id else f" by {call.sender.identity}"
    return f"{payload.owner_id}{by}: {', '.join(named)}"


def _leaves_at(not_after: Instant, now: Instant) -> Instant:
    return min(not_after, _last_use(now)) + milliseconds(KEPT_AFTER_END)


def _last_use(now: Instant) -> Instant:
    """Return until when what is stated by now may be used: no statement outlives the credential that it names."""
    return now + milliseconds(CREDENTIAL_LIFE)


def revoke_guardianship(cloud: Cloud, hospital_id: HospitalId, guardianship_id: bytes, *, now: Instant) -> None:
    """Take a guardianship back for the hospital that stated it. Raises Limit when the list is full."""
    act = cloud.act("REVOCATION", f"{hospital_id} guardian {guardianship_id.hex()}", now=now)
    entry = statement_entry("guardian", hospital_id, guardianship_id)
    leaves_at = _last_use(now) + milliseconds(KEPT_AFTER_END)
    try:
        cloud.stores.revocations.take_back({entry: leaves_at}, at=now, most=cloud.most_revocations, act=act)
    except StoreLimit as error:
        raise Limit("the revocation list is full") from error


def revoke_credential(cloud: Cloud, identity: str, serial: bytes, not_after: Instant, *, now: Instant) -> None:
    """Put a credential on the list until nobody would take it anyway. Whether there is room for it is the caller's to look at."""
    act = cloud.act("REVOCATION", f"{identity} serial {serial.hex()}", now=now)
    expires_at = not_after + milliseconds(KEPT_AFTER_END)
    cloud.stores.revocations.revoke("serial", serial_entry(serial), expires_at=expires_at, at=now, act=act)


@dataclass(frozen=True)
class Capacity:
    """How many entries the list has, and at most."""

    entries: int
    most: int

    @property
    def is_high(self) -> bool:
        """Return whether somebody should look."""
        return self.entries > HIGH * self.most

    @property
    def is_full(self) -> bool:
        """Return whether nothing more is revoked."""
        return self.entries >= self.most


def require_room_for_live(cloud: Cloud) -> None:
    """Raise Limit where no live credential can be revoked."""
    _require_room(cloud, cloud.most_revocations)


def require_room_for_superseded(cloud: Cloud) -> None:
    """Raise Limit where no credential can be revoked that another one followed."""
    _require_room(cloud, cloud.most_revocations - KEPT_FOR_LIVE)


def require_room_for_renewal(cloud: Cloud) -> None:
    """Raise Limit where no renewal may let an earlier credential fall."""
    _require_room(cloud, int(HIGH * cloud.most_revocations))


def _require_room(cloud: Cloud, most: int) -> None:
    if cloud.stores.revocations.entries() >= most:
        raise Limit("the revocation list is full")
