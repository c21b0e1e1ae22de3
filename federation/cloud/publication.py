"""PublicationService: PUB in, PUBACK out; how a record gets into the blind index (X11, X12)."""

from federation.cloud import index_rows
from federation.cloud.cloud import Authenticated, Cloud
from federation.errors import DepartmentForeign, FieldInvalid, Limit
from federation.protocol.calls import PUBLISH
from federation.protocol.index import Location
from federation.protocol.sealing import after_opening
from federation.protocol.statements import sign_statement
from federation.protocol.time import Instant
from federation.store.errors import StoreLimit
from federation.v1.publication_pb2 import (
    PUBLICATION_ACTION_ADD,
    Publication,
    PublicationAction,
    PublicationReceipt,
    PublishRequest,
    PublishResponse,
)
from federation.v1.publication_pb2_grpc import PublicationServiceServicer
from federation.wire import operations
from federation.wire.roles import ServicerContext, calling_hospital, require_same_hospital
from federation.wire.workers import Workers
from keystore.identities import class_of, hospital_of
from keystore.transcript import digest


class PublicationServicer(PublicationServiceServicer):
    """The wire's side."""

    def __init__(self, cloud: Cloud, workers: Workers) -> None:
        """Keep rows in this cloud's index."""
        self._cloud = cloud
        self._workers = workers

    async def Publish(self, request: PublishRequest, context: ServicerContext) -> PublishResponse:  # noqa: N802 - the name in the proto
        """Take PUB and answer PUBACK."""
        return await self._workers.run(publish, self._cloud, request, calling_hospital(context))


def publish(cloud: Cloud, request: PublishRequest, calling: str | None) -> PublishResponse:
    """Add or withdraw one row for the calling hospital. Raises Rejected."""
    now = cloud.clock()
    call = cloud.authenticated(PUBLISH, request.opening, now=now)
    require_same_hospital(calling, call.sender.identity)  # PUB.1
    with after_opening():
        _require_own_department(call.payload, cloud.bulletin.current.verifier.anchors.department_classes)
    _apply(cloud, call, now)
    receipt = PublicationReceipt(publication_digest=digest(call.opened.plaintext), done_at=now)
    return PublishResponse(receipt=sign_statement("puback", receipt, cloud.keys_by_time.signing_key(now)))


def _require_own_department(publication: Publication, published_classes: frozenset[str]) -> None:
    if hospital_of(publication.department_id) != publication.hospital_id:
        raise DepartmentForeign("the department is another hospital's")  # PUB.2
    is_added = publication.action == PUBLICATION_ACTION_ADD
    if is_added and class_of(publication.department_id) not in published_classes:
        # PUB.3
        raise FieldInvalid("the department's class is not on the federation's list: no doctor would find the record")


def _apply(cloud: Cloud, call: Authenticated[Publication], now: Instant) -> None:
    publication = call.payload
    location = Location(publication.department_id, publication.handle, publication.doctor_id)
    detail = f"{PublicationAction.Name(publication.action)} {publication.patient_id} {publication.department_id}"
    change = index_rows.publish if publication.action == PUBLICATION_ACTION_ADD else index_rows.withdraw
    try:
        with call.acting("PUBLICATION", detail, now=now) as act:
            change(cloud, publication.patient_id, location, act=act)
    except StoreLimit as error:
        # Neither overload nor anonymous: the operator has to find out whose rows these are.
        operations.warning("patient-rows-full")
        cloud.record("PUBLICATION", detail, now=now, reason=Limit.reason)
        raise Limit("the index holds as many records of one patient of this hospital as it may") from error  # PUB.4
