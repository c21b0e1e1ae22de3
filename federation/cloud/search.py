"""Search: D2 in, C out (eq. 25-32). It is decided before anything is looked up, and logged before the answer leaves."""

from functools import cache, partial
from struct import Struct

from federation.cloud import index_rows
from federation.cloud.receiver import beside, receiver_for
from federation.cloud.registration import shared_key_context
from federation.cloud.services import Cloud
from federation.errors import Authorization, Corrupt, FederationError, FieldInvalid
from federation.party.audit import OK
from federation.party.epochs import as_signed
from federation.party.patients import LogPlace
from federation.party.told_logs import Telling, tell
from federation.protocol.access import Allowed
from federation.protocol.parties import Pending, reason_of
from federation.protocol.sealing import after_opening
from federation.protocol.search import ACCESSES_PER_PAGE, ACCESSES_ROOM, Findings, Page, VerifiedQuery, receive_query
from federation.protocol.shown import Shown
from federation.protocol.statements import RIGHT_NAMES
from federation.protocol.time import Instant
from federation.protocol.verifier import Verifier
from federation.store.rows import Registration, RowPlace
from federation.v1 import search_pb2 as pb
from federation.v1.envelope_pb2 import SealedReply
from federation.v1.search_pb2 import IndexHospital, SearchQuery, SearchRequest
from federation.v1.statement_pb2 import ROLE_HOSPITAL
from federation.wire import operations
from keystore.errors import SealBroken
from keystore.identities import HospitalId, PatientId
from keystore.keyring import Together
from keystore.transcript import text, transcript


def search(cloud: Cloud, request: SearchRequest) -> SealedReply:
    """Answer a query. Raises precise errors for clear fields, Rejected for anything else but what C itself says."""
    now = cloud.clock()
    verifier = cloud.verifier
    pending = _verified(cloud, request, verifier, now)
    # Nothing leaves, and nothing of it is kept, before it is taken with its entry in the log: a replay comes no further.
    query = pending.begun
    asker, shown, after = query.asker, Shown.of(query.query), _after(cloud, query.query)
    try:
        allowed, classes = query.decide(verifier, receiver_for(cloud, asker, shown, now=now), now=now)
        if query.is_for_log:
            findings = _logged(cloud, query.query, after, now)
        else:
            findings = _found(cloud, query.query, allowed, classes, after, verifier, now)
        taken = cloud.take(pending, query.event(OK), beside(cloud, asker, shown, now=now), now=now)
    except Authorization as refusal:
        findings = query.refusal(refusal)
        taken = cloud.take(pending, query.event(reason_of(refusal)), now=now)
    return taken.answer(findings, cloud.identity, cloud.keys_by_time.signing_key(now), now=now)


def _verified(cloud: Cloud, request: SearchRequest, verifier: Verifier, now: Instant) -> Pending[VerifiedQuery]:
    claimed = receive_query(request.opening, cloud.epochs, verifier, now=now)
    live = cloud.live(claimed.claimed_asker, now=now)
    serial = None if live is None else live.serial
    return claimed.verify(serial, _shared_key(cloud, live), verifier, now=now)


def _shared_key(cloud: Cloud, live: Registration | None) -> bytes:
    """Return K_A; whoever is not registered, and refused before it is used, gets a random one. Raises Corrupt."""
    if live is None:
        return cloud.keys.token.random(32)
    context = shared_key_context(live.identity, live.serial)
    try:
        # Remembered for whom it proves: who only claims to be that one is refused at a coarse step of time.
        return cloud.keys.sealing.open(live.sealed_shared_key, context, Together(context, live.identity))
    except SealBroken as error:
        raise Corrupt("the shared key of a registration does not open") from error


def _logged(cloud: Cloud, query: SearchQuery, after: bytes, now: Instant) -> Findings:
    """Return a page of who asked, proved."""
    place = LogPlace(*_LOG_PLACE.unpack(after)) if after else None
    asked = Telling(PatientId(query.patient_id), ACCESSES_PER_PAGE, ACCESSES_ROOM, query.known_size, place)
    page = tell(cloud.own_log, cloud.audit, asked, cloud.keys_by_time.signing_key(now))
    is_found = bool(page.accesses) or page.after is not None
    behind = b"" if page.after is None else _sealed(cloud, query, _LOG_PLACE.pack(*page.after))
    return Findings(_outcome(is_found=is_found), accesses=page.accesses, log_head=page.log_head, next=behind)


def _found(
    cloud: Cloud,
    query: SearchQuery,
    allowed: Allowed,
    classes: tuple[str, ...],
    after: bytes,
    verifier: Verifier,
    now: Instant,
) -> Findings:
    """Return a page of where records are: rows in their order for as long as it has room."""
    place = RowPlace(*_ROW_PLACE.unpack(after)) if after else None
    rows = index_rows.look_up(cloud, PatientId(query.patient_id), classes, allowed, place, query.asker_id)
    page, behind = Page(), rows.last
    registered = cache(partial(_hospital, cloud, verifier=verifier, now=now))
    for here, location in rows.opened:
        hospital = registered(location.hospital_id)
        if hospital is not None and not page.take(hospital, location.department_id, location.handle):
            behind = place
            break
        place = here
    found = _outcome(is_found=bool(page.hospitals) or behind is not None)
    return Findings(found, page.hospitals, b"" if behind is None else _sealed(cloud, query, _ROW_PLACE.pack(*behind)))


def _outcome(*, is_found: bool) -> "pb.SearchOutcome.ValueType":
    return pb.SEARCH_OUTCOME_FOUND if is_found else pb.SEARCH_OUTCOME_NONE


_ROW_PLACE, _LOG_PLACE = Struct(">Q32s32s32s"), Struct(">QQ")


def _sealed(cloud: Cloud, query: SearchQuery, place: bytes) -> bytes:
    """Seal where the next page begins, so that nobody else reads what the index calls a row, or how long the log is."""
    return cloud.keys.sealing.seal(place, _place_context(query))


def _after(cloud: Cloud, query: SearchQuery) -> bytes:
    """Open where the page begins that is asked for; empty for the first. Raises Rejected."""
    if not query.after:
        return b""
    with after_opening():
        try:
            return cloud.keys.sealing.open(query.after, _place_context(query))
        except SealBroken as error:
            raise FieldInvalid("no answer to this question said that it goes on there") from error  # D2.13


def _place_context(query: SearchQuery) -> bytes:
    asked = query.patient_id, query.asker_id, query.department_class, RIGHT_NAMES[query.right]
    return transcript("after", *map(text, asked))


def _hospital(cloud: Cloud, hospital_id: HospitalId, verifier: Verifier, now: Instant) -> IndexHospital | None:
    """Return a hospital that can be dialled now. The rows of another are left out: who asks would refuse the whole answer."""
    live = cloud.live(hospital_id, now=now)
    if live is None or live.address is None:
        return None
    key_statement, encryption_key = as_signed(live.key_statement), as_signed(live.encryption_key_statement)
    try:
        owner = verifier.party(key_statement, ROLE_HOSPITAL, now=now)
        verifier.encryption_key(encryption_key, owner, now=now)
    except FederationError as error:
        operations.warning("hospital-left-out", reason=reason_of(error))
        return None
    return IndexHospital(
        hospital_id=hospital_id,
        address=live.address,
        key_statement=key_statement,
        encryption_key_statement=encryption_key,
    )
