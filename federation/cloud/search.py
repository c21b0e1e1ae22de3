"""Search: D2 in, C out (eq. 25-32). It is decided before anything is looked up, and logged before the answer leaves."""

from federation.cloud import index_rows
from federation.cloud.receiver import beside, receiver_for
from federation.cloud.registration import shared_key_context
from federation.cloud.services import Cloud
from federation.errors import Authorization, Corrupt, FederationError
from federation.party.audit import OK
from federation.party.epochs import as_signed
from federation.protocol.access import Allowed
from federation.protocol.index import Location
from federation.protocol.parties import reason_of
from federation.protocol.search import ACCESSES_PER_PAGE, Findings, VerifiedQuery, receive_query
from federation.protocol.shown import Shown
from federation.protocol.time import Instant
from federation.protocol.verifier import Verifier
from federation.store.rows import Registration
from federation.v1 import search_pb2 as pb
from federation.v1.envelope_pb2 import SealedReply
from federation.v1.search_pb2 import IndexRow, SearchRequest
from federation.v1.statement_pb2 import ROLE_HOSPITAL
from federation.wire import operations
from keystore.errors import SealBroken
from keystore.identities import HospitalId, PatientId


def search(cloud: Cloud, request: SearchRequest) -> SealedReply:
    """Answer a query. Raises precise errors for clear fields, Rejected for anything else but what C itself says."""
    now = cloud.clock()
    verifier = cloud.verifier
    query = _verified(cloud, request, verifier, now)
    asker, shown = query.asker, Shown.of(query.query)
    try:
        allowed, classes = query.decide(verifier, receiver_for(cloud, asker, shown, now=now), now=now)
        findings = _logged(cloud, query) if query.is_for_log else _found(cloud, query, allowed, classes, verifier, now)
        cloud.record_access(query.event(OK), beside(cloud, asker, shown, now=now), now=now)
    except Authorization as refusal:
        findings = query.refusal(refusal)
        cloud.record_access(query.event(reason_of(refusal)), now=now)
    return query.answer(findings, cloud.identity, cloud.keys_by_time.signing_key(now), now=now)


def _verified(cloud: Cloud, request: SearchRequest, verifier: Verifier, now: Instant) -> VerifiedQuery:
    claimed = receive_query(request.opening, cloud.epochs, verifier, now=now)
    live = cloud.live(claimed.claimed_asker, now=now)
    serial = None if live is None else live.serial
    pending = claimed.verify(serial, _shared_key(cloud, live), verifier, now=now)
    return cloud.admit(pending, now=now)


def _shared_key(cloud: Cloud, live: Registration | None) -> bytes:
    """Return K_A; whoever is not registered, and refused before it is used, gets a random one. Raises Corrupt."""
    if live is None:
        return cloud.keys.token.random(32)
    try:
        return cloud.keys.sealing.open(live.sealed_shared_key, shared_key_context(live.identity, live.serial))
    except SealBroken as error:
        raise Corrupt("the shared key of a registration does not open") from error


def _logged(cloud: Cloud, query: VerifiedQuery) -> Findings:
    """Return a page of who asked; there is no more of a page that nobody wrote."""
    patient_id, page = PatientId(query.query.patient_id), query.query.page
    offset = page * ACCESSES_PER_PAGE
    accesses, total = cloud.audit.log_of(patient_id, offset=offset, limit=ACCESSES_PER_PAGE)
    outcome = pb.SEARCH_OUTCOME_FOUND if total else pb.SEARCH_OUTCOME_NONE
    return Findings(outcome, pages=max(1, -(-total // ACCESSES_PER_PAGE)), accesses=accesses)


def _found(
    cloud: Cloud, query: VerifiedQuery, allowed: Allowed, classes: tuple[str, ...], verifier: Verifier, now: Instant
) -> Findings:
    page = index_rows.look_up(cloud, PatientId(query.query.patient_id), classes, allowed, query.query.page)
    hospitals = {
        name: _hospital(cloud, name, verifier, now) for name in {place.hospital_id for place in page.locations}
    }
    placed = ((place, hospitals[place.hospital_id]) for place in page.locations)
    found = tuple(_row(place, hospital) for place, hospital in placed if hospital is not None)
    is_found = bool(found) or page.pages > 1
    return Findings(pb.SEARCH_OUTCOME_FOUND if is_found else pb.SEARCH_OUTCOME_NONE, found, page.pages)


def _hospital(cloud: Cloud, hospital_id: HospitalId, verifier: Verifier, now: Instant) -> Registration | None:
    """Return a hospital that can be dialled now. The rows of another are left out: who asks would refuse the whole answer."""
    live = cloud.live(hospital_id, now=now)
    if live is None or live.address is None:
        return None
    try:
        owner = verifier.party(as_signed(live.key_statement), ROLE_HOSPITAL, now=now)
        verifier.encryption_key(as_signed(live.encryption_key_statement), owner, now=now)
    except FederationError as error:
        operations.warning("hospital-left-out", reason=reason_of(error))
        return None
    return live


def _row(location: Location, hospital: Registration) -> IndexRow:
    return IndexRow(
        hospital_id=hospital.identity,
        department_id=location.department_id,
        address=hospital.address,
        key_statement=as_signed(hospital.key_statement),
        encryption_key_statement=as_signed(hospital.encryption_key_statement),
        handle=location.handle,
    )
