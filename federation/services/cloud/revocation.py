"""RevocationService: a patient takes its own grant back; the answer is a list that names it."""

from datetime import timedelta

from federation.protocol.anchors import grant_entry, serial_entry
from federation.protocol.calls import REVOKE
from federation.protocol.grant import open_grant
from federation.protocol.sealing import after_opening
from federation.protocol.time import Instant, milliseconds
from federation.services.cloud.bulletin import KEPT_AFTER_END
from federation.services.cloud.cloud import Cloud
from federation.services.cloud.fullness import require_room_for_grant
from federation.services.cloud.news import News
from federation.v1.revocation_pb2 import RevokeGrantRequest, RevokeGrantResponse
from federation.v1.revocation_pb2_grpc import RevocationServiceServicer
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
    """Revoke a grant of the patient who signed both it and this call. Raises Limit when the list is full, Rejected."""
    now = cloud.clock()
    call = cloud.authenticated(REVOKE, request.opening, now=now)
    with after_opening():
        grant = open_grant(call.payload.grant, call.sender)
        rate.require(call.sender.identity)
    require_room_for_grant(cloud.stores.revocations.current(now=now))
    entry = grant_entry(grant.patient_id, grant.grant_id)
    expires_at = grant.not_after + milliseconds(KEPT_AFTER_END)
    with call.acting("GRANT-REVOKED", f"{grant.patient_id} grant {grant.grant_id.hex()}", now=now) as act:
        cloud.stores.revocations.revoke("grant", entry, expires_at=expires_at, at=now, act=act)
    return RevokeGrantResponse(revocation_list=cloud.bulletin.refresh(now).revocation_list)


def revoke_credential(cloud: Cloud, identity: str, serial: bytes, not_after: Instant, *, now: Instant) -> None:
    """Put a credential on the list until nobody would take it anyway. Whether there is room for it is the caller's to look at."""
    act = cloud.act("REVOCATION", f"{identity} serial {serial.hex()}", now=now)
    expires_at = not_after + milliseconds(KEPT_AFTER_END)
    cloud.stores.revocations.revoke("serial", serial_entry(serial), expires_at=expires_at, at=now, act=act)
