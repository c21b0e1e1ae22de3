"""Restriction: what a patient hides is kept, enforced on the index at once, and handed to the hospitals where it has records.

Whoever states one and whoever publishes a row each writes its own first, and looks for the other's then: so none is missed,
whichever comes first.
"""

from federation.cloud import index_rows
from federation.cloud.services import Authenticated, Cloud
from federation.party.restrictions import RestrictionBook
from federation.protocol.calls import FETCH_RESTRICTIONS, RESTRICT
from federation.protocol.restriction import (
    MOST_DUE,
    Restricting,
    Standings,
    answer_due,
    answer_restricting,
    hospitals_key,
    require_restricting,
    restricting_role,
)
from federation.protocol.sealing import after_opening
from federation.protocol.time import Instant
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.restrictions_pb2 import (
    FetchRestrictionsRequest,
    FetchRestrictionsResponse,
    RestrictionCall,
    RestrictRequest,
    RestrictResponse,
)
from federation.wire.limits import RateBound
from federation.wire.roles import require_same_hospital
from keystore.identities import PatientId


def restrict(cloud: Cloud, request: RestrictRequest, rate: RateBound) -> RestrictResponse:
    """Keep what the sender of this call states, if it states anything, and answer what stands.

    Raises RestrictionSuperseded, Limit, Rejected.
    """
    now = cloud.clock()
    call = _authenticated(cloud, request.opening, now=now)
    with after_opening():
        asked = require_restricting(call.payload, call.sender, cloud.verifier, now=now)
    rate.require(call.sender.identity)  # rst.8
    _state(cloud, call, asked, now)
    holders = index_rows.hospitals_of(cloud, asked.patient_id, call.sender.identity)
    book = cloud.restrictions.asked_by(call.sender.identity)
    book.let_have(asked.patient_id, holders)
    plaintext, signing_key = call.opened.plaintext, cloud.keys_by_time.signing_key(now)
    standings = _standings(book, asked.patient_id)
    reply = answer_restricting(asked, plaintext, standings, cloud.identity, signing_key, now=now)
    return RestrictResponse(reply=reply)


def _authenticated(cloud: Cloud, opening: SealedOpening, *, now: Instant) -> Authenticated[RestrictionCall]:
    """Open rst and prove its sender by the KS inside, as of rev."""
    claimed = RESTRICT.receive(opening, cloud.epochs, cloud.identity, cloud.freshness, now=now)
    with after_opening():
        role = restricting_role(claimed.claimed_sender)
        sender = cloud.verifier.party(claimed.opened.payload.key_statement, role, now=now)  # call.4
    return Authenticated(cloud, sender, claimed.opened, claimed.verify(sender, now=now))


def _state(cloud: Cloud, call: Authenticated[RestrictionCall], asked: Restricting, now: Instant) -> None:
    stated = asked.stated
    if stated is None:
        call.admit(now=now)
        return
    by = "" if call.sender.identity == asked.patient_id else f" by {call.sender.identity}"
    with call.acting("RESTRICTED", f"{asked.patient_id}{by}: number {stated.number}", now=now) as act:
        book = cloud.restrictions.asked_by(call.sender.identity)
        book.keep(asked.patient_id, stated.number, asked.shown, follows=call.payload.follows, act=act)


def _standings(book: RestrictionBook, patient_id: PatientId) -> Standings:
    deliveries = book.deliveries(patient_id)
    return Standings(book.shown_of(patient_id), deliveries.made, deliveries.due)


def fetch_restrictions(
    cloud: Cloud, request: FetchRestrictionsRequest, calling: str | None
) -> FetchRestrictionsResponse:
    """Note what the calling hospital has taken, and hand out what is due there. Raises Rejected."""
    now = cloud.clock()
    call = cloud.authenticated(FETCH_RESTRICTIONS, request.opening, now=now)
    require_same_hospital(calling, call.sender.identity)  # rstget.1
    with after_opening():
        key = hospitals_key(call.payload, call.sender, cloud.verifier, now=now)
    call.admit(now=now)
    hospital_id = call.sender.hospital_id
    cloud.restrictions.delivered(hospital_id, call.payload.held)
    due = cloud.restrictions.due_at(hospital_id, now=now, limit=MOST_DUE)
    return FetchRestrictionsResponse(reply=answer_due(due, key, cloud.identity, now=now))
