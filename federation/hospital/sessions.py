"""A session of who asks, a doctor or a patient, step by step: D3, H1, D4, STO or OWN, H2 or STOACK. Blocking, no
gRPC: each step runs in a worker thread.

The access log is durable before a byte of a record is released (eq. 46), and says then how it ended: whole, or cut short by
what, after how many bytes.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from federation.errors import Authorization, FederationError, Limit, NoSuchRecord, Rejected
from federation.hospital.deposits import keep_deposit
from federation.hospital.documents import keep_document
from federation.hospital.evidence import request
from federation.hospital.own_statements import verifier_for
from federation.hospital.reader_pace import ReaderPace
from federation.hospital.receiver import beside, receiver_for
from federation.hospital.records_administration import why_absent
from federation.hospital.services import Hospital
from federation.hospital.vault import KINDS, Vault
from federation.hospital.witnessing import await_witness
from federation.party.patients import LogPlace
from federation.party.told_logs import Telling, tell
from federation.protocol import record_hospital as protocol
from federation.protocol.access import Allowed
from federation.protocol.anchors import Lists
from federation.protocol.frames import Piece, pieces
from federation.protocol.outcomes import session_outcome
from federation.protocol.parsing import payload_rule
from federation.protocol.parties import reason_of
from federation.protocol.record_hospital import (
    AwaitingRequest,
    ReceivedDeposit,
    ReceivedDocument,
    ReceivedQuery,
    Release,
)
from federation.protocol.shown import Shown
from federation.protocol.statements import SENSITIVITIES
from federation.store.accesses import LAST
from federation.store.rows import StoredRecord
from federation.v1.envelope_pb2 import SealedOpening, SealedReply, SessionFrame
from federation.v1.record_pb2 import (
    SESSION_OUTCOME_NO_RECORD,
    OpenSessionResponse,
    RecordEntry,
    RecordManifest,
    RecordPart,
)
from federation.v1.statement_pb2 import SENSITIVITY_NORMAL, SENSITIVITY_UNSPECIFIED
from keystore.identities import HospitalId, PatientId
from keystore.transcript import frame

MOST_RECORDS = 64
NO_CLASS, NO_HANDLE = "", ""
"""No record has them: in the place of a class that is hidden, so that as many are asked for."""

Received = ReceivedQuery | ReceivedDeposit | ReceivedDocument


def open_session(hospital: Hospital, opening: SealedOpening) -> tuple[AwaitingRequest, SealedReply]:
    """Take D3 and answer H1. Raises precise errors for clear fields, Rejected for anything after opening."""
    now = hospital.clock()
    party, verifier = hospital.member.party(now), hospital.member.verifier()
    pending = protocol.receive_opening(party, opening, verifier, now=now)
    inserted = hospital.stores.replay.admit(pending.replay_key, now=now, until=pending.keep_until)
    return pending.admit(inserted).reply(now=hospital.clock(), entropy=hospital.entropy)  # D3.8


def take_frame(hospital: Hospital, session: AwaitingRequest, frame: SessionFrame) -> AwaitingRequest | Received:
    """Take a frame of D4, STO or OWN."""
    return session.receive(frame, hospital.member.verifier(), now=hospital.clock())


def require_asker(hospital: Hospital, session: AwaitingRequest) -> None:
    """Decide anew on who opened a session. Raises Rejected."""
    session.require_still_allowed(hospital.member.verifier(), now=hospital.clock())


def answer(hospital: Hospital, received: Received) -> "SessionFrame | RecordStream":
    """Decide and log at once, and return what answers; a record is read as its frames are asked for.

    What a confirmed asker may know of a refusal is an answer; anything else raises.
    """
    try:
        if isinstance(received, ReceivedDeposit):
            return received.answer(keep_deposit(hospital, received), now=hospital.clock())
        if isinstance(received, ReceivedDocument):
            return received.answer(keep_document(hospital, received), now=hospital.clock())
        return _record(hospital, received)
    except FederationError as error:
        hospital.audit.record(received.event(reason_of(error)), now=hospital.clock())
        if isinstance(error, Authorization):
            return _refusal(hospital, received, error)
        raise


def _refusal(hospital: Hospital, received: Received | Release, error: Authorization | NoSuchRecord) -> SessionFrame:
    outcome = session_outcome(error)
    if outcome is None:
        raise Rejected("the message was not accepted") from error
    return received.refuse(outcome, now=hospital.clock())


def _record(hospital: Hospital, query: ReceivedQuery) -> "SessionFrame | RecordStream":
    now, lists = hospital.clock(), hospital.member.verifier().lists
    asker, shown = query.request.asker, Shown.of(query.query)
    receiver = receiver_for(hospital, asker, shown, now=now)
    logged = query.decide(verifier_for(hospital, query.query), receiver, now=now)
    # Before this access is one of them.
    manifest = log_manifest(hospital, query) if query.is_for_log else None
    # With the entry: what a judge would ask for is there if, and only if, the log says that it was allowed.
    with_it = replace(beside(hospital, asker, shown, now=now), evidence=request(hospital, query))
    hospital.audit.record(logged.event, now=now, beside=with_it)
    release = logged.recorded()
    if manifest is not None:
        return RecordStream(hospital, query, release, lists, iter([frame(manifest)]), records=())
    records = _on_file(hospital, release)
    if not records:
        # "Not on file", "no such record", hidden, withdrawn and erased are one answer.
        hospital.audit.record(query.event(why_absent(hospital, list(query.query.scope.handles))), now=now)
        return query.refuse(SESSION_OUTCOME_NO_RECORD, now=now)  # D4.13
    if logged.event.ground == "emergency":
        await_witness(hospital, logged.event)
    vault = hospital.vault.asked_by(asker.identity)
    manifest = manifest_of(vault, records, PatientId(query.query.patient_id), hospital.identity)
    query.require_unchanged(manifest)
    contents = content_of(vault, manifest, records)
    return RecordStream(hospital, query, release, lists, contents, records)


def _on_file(hospital: Hospital, release: Release) -> Sequence[StoredRecord]:
    """Return the records of the scope that are on file for who asks.

    The store is asked one thing, whatever of it is hidden, withdrawn, another's or never was, and however much the patient has.
    """
    query, allowed, records = release.query, release.allowed, hospital.stores.records
    keys = hospital.vault.asked_by(release.request.asker.identity).patient_keys(PatientId(query.patient_id))
    if query.scope.handles:
        found = records.of_handles(keys, query.scope.handles)
    else:
        classes = [name if _is_open(hospital, allowed, name) else NO_CLASS for name in release.classes]
        words = [word for word, level in SENSITIVITIES.items() if level <= allowed.highest_sensitivity]
        # What is hidden by its handle is left out below.
        found = records.of_classes(keys, classes, words, most=MOST_RECORDS + 1 + len(allowed.hidden))
    wanted = [record for record in found if record.department_class in release.classes]
    return [record for record in wanted if _is_shown(hospital, allowed, record)]


def _is_open(hospital: Hospital, allowed: Allowed, department_class: str) -> bool:
    return allowed.shows(hospital.identity, department_class, NO_HANDLE, SENSITIVITY_NORMAL)


def _is_shown(hospital: Hospital, allowed: Allowed, record: StoredRecord) -> bool:
    # A word that is unknown here is of no sensitivity that anybody is shown.
    sensitivity = SENSITIVITIES.get(record.sensitivity, SENSITIVITY_UNSPECIFIED)
    return allowed.shows(hospital.identity, record.department_class, record.handle.hex(), sensitivity)


@dataclass(frozen=True, repr=False)
class Outgoing:
    """A frame as it goes out: an OpenSessionResponse, serialised by the thread that sealed it."""

    message: bytes
    last: bool


class RecordStream:
    """A record on its way to who asked. Its frames are taken by one thread at a time; another may look whether it may go on."""

    def __init__(
        self,
        hospital: Hospital,
        query: ReceivedQuery,
        release: Release,
        lists: Lists,
        content: Iterator[bytes],
        records: Sequence[StoredRecord],
    ) -> None:
        """Send `content`, of these records; who asks and what it shows were decided on by `lists`."""
        self.pace = ReaderPace()
        self._hospital = hospital
        self._query = query
        self._release = release
        self._lists = lists
        self._content = content
        self._pieces: Iterator[Piece] | None = None
        self._records = records
        self._sent_bytes = 0
        self._is_over = False
        self._refused: FederationError | None = None
        self._logging = threading.Lock()
        self._logged = False

    def next(self) -> Outgoing | None:
        """Return the next frame, decided anew if a list has come since the last; None after the last.

        An access that no longer holds, or shows these records no more, is the outcome in a last frame. Raises Rejected for a
        party behind it who no longer does.
        """
        if self._is_over:
            return None
        try:
            self._require_by_new_lists()
            piece = next(self._begun(), None)
        except FederationError as error:
            self._is_over = True
            self.log(reason_of(error))
            if isinstance(error, Authorization | NoSuchRecord):
                return _last(_refusal(self._hospital, self._release, error))
            raise
        if piece is None:
            self._is_over = True
            version = max((record.version for record in self._records), default=0)
            return _last(self._release.end(version, now=self._hospital.clock()))
        self._release, sliced = self._release.slice(piece, now=self._hospital.clock())
        self._sent_bytes += len(sliced.sealed)
        return Outgoing(sliced.serialised_in(OpenSessionResponse(), "frame"), last=False)

    def require_still_allowed(self) -> None:
        """Decide anew. Raises Authorization, Rejected, and logs it: what is on its way ends here, with the frame that is next."""
        try:
            self._decide()
        except FederationError as error:
            self._refused = error
            self.log(reason_of(error))
            raise

    def log(self, reason: str) -> None:
        """Log how it ended; what is said first stands."""
        with self._logging:
            if not self._logged:
                event = self._query.event(reason)
                sent = f"{self._sent_bytes} bytes sent"
                event = replace(event, detail=f"{sent}, {event.detail}" if event.detail else sent)
                self._hospital.audit.record(event, now=self._hospital.clock())
                self._logged = True

    def _begun(self) -> Iterator[Piece]:
        if self._pieces is None:
            # Read here, by the thread that sends: what came before is as long as it is.
            self._release, content = self._release.after(self._content, self._query.offset)
            self._pieces = pieces(content, self._query.offset, self.pace.next_size)
        return self._pieces

    def _require_by_new_lists(self) -> None:
        if self._refused is not None:
            raise self._refused
        lists = self._hospital.member.verifier().lists
        if lists is not self._lists:
            self._decide()
            self._lists = lists

    def _decide(self) -> None:
        hospital, release = self._hospital, self._release
        now, verifier = hospital.clock(), verifier_for(hospital, release.query)
        receiver = receiver_for(hospital, release.request.asker, Shown.of(release.query), now=now, is_budgeted=False)
        allowed = release.require_still_allowed(verifier, receiver, now=now)
        if not all(_is_shown(hospital, allowed, record) for record in self._records):
            # Hidden since it began: from here on it is not on file.
            raise NoSuchRecord("the patient hides what is being sent")


def _last(frame: SessionFrame) -> Outgoing:
    return Outgoing(OpenSessionResponse(frame=frame).SerializeToString(), last=True)


def manifest_of(vault: Vault, records: Sequence[StoredRecord], patient_id: PatientId, hospital_id: HospitalId) -> bytes:
    """List these records. Raises Limit if one answer does not hold them; the asker may name fewer by their handles."""
    if len(records) > MOST_RECORDS:
        # D4.14
        raise Limit(f"one answer holds {MOST_RECORDS} records, and here are more: ask for some by handle")
    manifest = RecordManifest(
        patient_id=patient_id, hospital_id=hospital_id, records=(_entry(vault, record) for record in records)
    )
    serialised = manifest.SerializeToString(deterministic=True)
    if len(serialised) > payload_rule(RecordManifest.DESCRIPTOR).max_size:
        raise Limit("the list of these records' parts is too long for one answer: ask for some by handle")  # D4.14
    return serialised


def log_manifest(hospital: Hospital, query: ReceivedQuery) -> bytes:
    """List the newest accesses to a patient's records, or those before a leaf, proved, as far as one answer holds them.

    Raises Corrupt, StoreError, HsmError.
    """
    asked = query.query
    patient_id = PatientId(asked.patient_id)
    place = LogPlace(min(asked.before + 1, LAST)) if asked.HasField("before") else None
    telling = Telling(patient_id, protocol.MOST_LOGGED, protocol.LOGGED_ROOM, asked.known_size, place)
    page = tell(hospital.own_log, hospital.audit, telling, query.request.signing_key)
    manifest = RecordManifest(
        patient_id=patient_id,
        hospital_id=hospital.identity,
        accesses=page.accesses,
        log_head=page.log_head,
        next=None if page.after is None else page.after.sequence - 1,
    )
    return manifest.SerializeToString(deterministic=True)


def content_of(vault: Vault, manifest: bytes, records: Sequence[StoredRecord]) -> Iterator[bytes]:
    """Yield M_EMR in chunks of at most 1 MiB. Raises Corrupt, StoreError."""
    # Every key is unwrapped before the first byte: the walk of a rotation may be at these records meanwhile.
    contents = [vault.read(record) for record in records]
    yield frame(manifest)
    for content in contents:
        yield from content


def _entry(vault: Vault, record: StoredRecord) -> RecordEntry:
    parts = (
        RecordPart(
            kind=KINDS[part.kind],
            name=part.name,
            media_type=part.media_type,
            size_bytes=part.size_bytes,
            digest=part.digest,
        )
        for part in vault.parts(record)
    )
    return RecordEntry(
        handle=record.handle,
        version=record.version,
        department_id=record.department_id,
        stored_at=record.stored_at,
        parts=parts,
    )
