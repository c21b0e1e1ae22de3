"""RevocationService: a patient takes its own grant back; the answer is a list that names it."""

from datetime import timedelta

from federation.cloud.capacity import require_room_for_grant
from federation.cloud.cloud import Authenticated, Cloud
from federation.cloud.directory_feed import News
from federation.cloud.directory_publisher import KEPT_AFTER_END
from federation.protocol.anchors import grant_entry, serial_entry
from federation.protocol.calls import REVOKE
from federation.protocol.grant import named_for_revocation
from federation.protocol.sealing import after_opening
from federation.protocol.time import Instant, milliseconds
from federation.v1.envelope_pb2 import SealedOpening
from federation.v1.revocation_pb2 import GrantRevocation, RevokeGrantRequest, RevokeGrantResponse
from federation.v1.revocation_pb2_grpc import RevocationServiceServicer
from federation.v1.statement_pb2 import ROLE_PATIENT
from federation.wire.limits import RateBound
from federation.wire.roles import ServicerContext
from federation.wire.workers import Workers

BURST = 32
PAUSE = timedelta(minutes=10)


class RevocationServicer(RevocationServiceServicer):
    """The wire's side. A patient may take back 32 grants at once and one every 10 minutes: the list is for everybody."""

    def __init__(self, cloud: Cloud, workers: Workers, news: News) -> None:
        """Revoke in this cloud's book, and tell those who follow the directory."""
        self._cloud = cloud
        self._workers = workers
        self._news = news
        self._rate = RateBound(1 / PAUSE.total_seconds(), BURST)

    async def RevokeGrant(  # noqa: N802 - the name in the proto
        self,
        request: RevokeGrantRequest,
        context: ServicerContext,  # noqa: ARG002 - proved inside
    ) -> RevokeGrantResponse:
        """Take rev and answer a revocation list."""
        response = await self._workers.run(revoke_grant, self._cloud, request, self._rate)
        await self._news.announce()
        return response


def revoke_grant(cloud: Cloud, request: RevokeGrantRequest, rate: RateBound) -> RevokeGrantResponse:
    """Revoke a grant of the patient who signed this call. Raises Limit when the list is full, Rejected."""
    now = cloud.clock()
    call = _authenticated(cloud, request.opening, now=now)
    with after_opening():
        grant = named_for_revocation(call.payload.grant, call.sender)
        rate.require(call.sender.identity)  # rev.4
    require_room_for_grant(cloud.stores.revocations.current(now=now))  # rev.5
    entry = grant_entry(grant.patient_id, grant.grant_id)
    expires_at = grant.not_after + milliseconds(KEPT_AFTER_END)
    with call.acting("GRANT-REVOKED", f"{grant.patient_id} grant {grant.grant_id.hex()}", now=now) as act:
        cloud.stores.revocations.revoke("grant", entry, expires_at=expires_at, at=now, act=act)
    return RevokeGrantResponse(revocation_list=cloud.bulletin.refresh(now).revocation_list)


def _authenticated(cloud: Cloud, opening: SealedOpening, *, now: Instant) -> Authenticated[GrantRevocation]:
    """Open rev and prove the patient by the KS inside, of any of its credentials that is neither over nor revoked.

    Not by the live registration: a patient who registered anew since may still speak for itself with what it has.
    """
    claimed = REVOKE.receive(opening, cloud.epochs, cloud.identity, cloud.freshness, now=now)
    with after_opening():
        statement = claimed.opened.payload.patient_key_statement
        patient = cloud.bulletin.current.verifier.party(statement, ROLE_PATIENT, now=now)  # call.4
    return Authenticated(cloud, patient, claimed.opened, claimed.verify(patient, now=now))


def revoke_credential(cloud: Cloud, identity: str, serial: bytes, not_after: Instant, *, now: Instant) -> None:
    """Put a credential on the list until nobody would take it anyway. Whether there is room for it is the caller's to look at."""
    act = cloud.act("REVOCATION", f"{identity} serial {serial.hex()}", now=now)
    expires_at = not_after + milliseconds(KEPT_AFTER_END)
    cloud.stores.revocations.revoke("serial", serial_entry(serial), expires_at=expires_at, at=now, act=act)
