"""A doctor's session, step by step: D3, H1, D4 or STO, H2 or STOACK. Blocking, no gRPC: each step runs in a worker thread.

The access log is durable before a byte of a record is released (eq. 46), and knows every refusal by its precise reason.
"""

from collections.abc import Iterator, Sequence

from federation.errors import Authorization, FederationError, Rejected
from federation.protocol import hospital_record as protocol
from federation.protocol.hospital_record import AwaitingRequest, ReceivedDeposit, ReceivedQuery, Release, outcome_of
from federation.protocol.padding import pieces
from federation.protocol.parties import reason_of
from federation.services.hospital.custody import why_absent
from federation.services.hospital.deposits import keep_deposit
from federation.services.hospital.hospital import Hospital
from federation.services.hospital.release import content_of, manifest_of
from federation.store.interfaces import StoredRecord
from federation.v1.envelope_pb2 import SealedOpening, SealedReply, SessionFrame
from federation.v1.record_pb2 import SESSION_OUTCOME_NO_RECORD


def open_session(hospital: Hospital, opening: SealedOpening) -> tuple[AwaitingRequest, SealedReply]:
    """Take D3 and answer H1. Raises precise errors for clear fields, Rejected for anything after opening."""
    now = hospital.clock()
    party, verifier = hospital.member.party(now), hospital.member.verifier()
    pending = protocol.receive_opening(party, opening, verifier, now=now)
    inserted = hospital.stores.replay.admit(pending.replay_key, now=now, until=pending.keep_until)
    return pending.admit(inserted).reply(now=hospital.clock(), entropy=hospital.entropy)


def take_frame(
    hospital: Hospital, session: AwaitingRequest, frame: SessionFrame
) -> AwaitingRequest | ReceivedQuery | ReceivedDeposit:
    """Take a frame of D4 or STO."""
    return session.receive(frame, hospital.member.verifier(), now=hospital.clock())


def answer(hospital: Hospital, received: ReceivedQuery | ReceivedDeposit) -> Iterator[SessionFrame]:
    """Decide and log at once, and give the frames that answer; a record is read as its frames are asked for.

    What a confirmed doctor may know of a refusal is an answer; anything else raises.
    """
    try:
        if isinstance(received, ReceivedDeposit):
            receipt = keep_deposit(hospital, received)
            return iter([received.answer(receipt, now=hospital.clock())])
        return _record(hospital, received)
    except FederationError as error:
        hospital.audit.record(received.event(reason_of(error)), now=hospital.clock())
        if isinstance(error, Authorization):
            return iter([_refusal(hospital, received, error)])
        raise


def _refusal(hospital: Hospital, received: ReceivedQuery | ReceivedDeposit, error: Authorization) -> SessionFrame:
    outcome = outcome_of(error)
    if outcome is None:
        raise Rejected("the message was not accepted") from error
    return received.refuse(outcome, now=hospital.clock())


def _record(hospital: Hospital, query: ReceivedQuery) -> Iterator[SessionFrame]:
    now = hospital.clock()
    logged = query.decide(hospital.member.verifier(), now=now)
    hospital.audit.record(logged.event, now=now)
    release = logged.recorded()
    records = _on_file(hospital, release)
    if not records:
        # "Not on file", "no such record", withdrawn and erased are one answer.
        hospital.audit.record(query.event(why_absent(hospital, list(query.query.scope.handles))), now=now)
        return iter([query.refuse(SESSION_OUTCOME_NO_RECORD, now=now)])
    manifest = manifest_of(hospital.vault, records, query.query.patient_id, hospital.identity)
    return _frames(hospital, release, records, manifest)


def _on_file(hospital: Hospital, release: Release) -> Sequence[StoredRecord]:
    query = release.query
    found = hospital.stores.records.find(
        hospital.vault.patient_keys(query.patient_id), department_class=None, handles=list(query.scope.handles)
    )
    return [record for record in found if record.department_class in release.classes]


def _frames(
    hospital: Hospital, release: Release, records: Sequence[StoredRecord], manifest: bytes
) -> Iterator[SessionFrame]:
    for piece in pieces(content_of(hospital.vault, manifest, records)):
        release, frame = release.slice(piece, now=hospital.clock())
        yield frame
    yield release.end(max(record.version for record in records), now=hospital.clock())
