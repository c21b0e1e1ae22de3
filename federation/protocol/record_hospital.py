"""The hospital's side of its session with a doctor, or a patient, who is `federation.protocol.record`; its steps are named there.

D3 is taken and H1 sent; one D4, STO or OWN is decided on, logged, and then answered by H2 or STOACK.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Generic, TypeVar

from google.protobuf.message import Message

from federation.errors import (
    CertificateForeign,
    CommitmentMismatch,
    FieldInvalid,
    IdentityMismatch,
    RecordChanged,
)
from federation.protocol import handshake
from federation.protocol.access import BEGUN, AccessEvent, Allowed, Logged, Question, Receiver
from federation.protocol.consultation import biosignal_transcript, diagnosis_transcript
from federation.protocol.documents import document_content, document_transcript
from federation.protocol.frames import (
    MOST_DEPOSIT_BYTES,
    SLICE_BYTES,
    Direction,
    Piece,
    SealedFrame,
    content_size,
    deposit_content,
    parse_last,
    with_slice,
)
from federation.protocol.handshake import ReceivedOpening, Session
from federation.protocol.parsing import check, field_rule, parse, payload_rule
from federation.protocol.parties import Party, Pending
from federation.protocol.record import RECORD, commitment, record_transcript
from federation.protocol.sealing import Opened, after_opening
from federation.protocol.shown import Shown, asker_of
from federation.protocol.statements import (
    certificate_digest,
    sign_statement,
    verify_signature,
)
from federation.protocol.time import Instant, require_same_time
from federation.protocol.verifier import Peer, Verifier
from federation.v1 import record_pb2 as pb
from federation.v1 import statement_pb2 as statement
from federation.v1.envelope_pb2 import SealedOpening, SessionFrame
from federation.v1.record_pb2 import (
    Deposit,
    DepositEnd,
    DepositReceipt,
    OwnDocument,
    RecordEnd,
    RecordManifest,
    RecordOpening,
    RecordQuery,
    RecordReply,
)
from federation.v1.statement_pb2 import (
    RIGHT_ADD,
    RIGHT_LOG,
    RIGHT_READ,
    RIGHT_WRITE,
    ROLE_PATIENT,
    SignedStatement,
)
from keystore.identities import ANY, PatientId
from keystore.signatures import SigningKey
from keystore.transcript import LENGTH_BYTES, digest, listing

Request = RecordQuery | Deposit | OwnDocument
M = TypeVar("M", bound=Message)

MOST_LOGGED = field_rule(RecordManifest, "accesses").max_items
LOGGED_ROOM = payload_rule(RecordManifest.DESCRIPTOR).max_size - 256
"""Accesses of one answer, the newest, and bytes that they and their head may have together: beside both names."""

_ASKED = {pb.PURPOSE_READ: ("READ", RIGHT_READ), pb.PURPOSE_LOG: ("LOG", RIGHT_LOG)}
"""What D4 may be for -> the kind of its entry in the log, and the right that it asks for."""


def receive_opening(
    hospital: Party, opening: SealedOpening, verifier: Verifier, *, now: Instant
) -> "Pending[ReceivedOpening[RecordOpening, RecordReply, AwaitingRequest]]":
    """Take D3 (eq. 36, 37). Raises precise errors for clear fields, Rejected for anything after opening."""
    return handshake.receive_opening(RECORD, hospital, opening, verifier, _replied, now=now)


def _replied(session: Session, d3: RecordOpening) -> "AwaitingRequest":
    return AwaitingRequest(session, d3.patient_commitment, session.receiving)


@dataclass(frozen=True, repr=False)
class AwaitingRequest:
    """H1 is sent, to somebody who asks for a patient that only c_P knows.

    One D4, one STO of a doctor or one OWN of a patient follows: D4 is one frame; the others have slices first.
    """

    session: Session
    patient_commitment: bytes
    receiving: Direction
    pieces: tuple[bytes, ...] = ()
    heard_at: Instant | None = None

    @property
    def asker(self) -> Peer:
        """Return who asks: a doctor, or a patient."""
        return self.session.peer

    @property
    def sending(self) -> Direction:
        """Return the direction to who asks, before its first frame."""
        return self.session.sending

    @property
    def signing_key(self) -> SigningKey:
        """Return PRK_HPC."""
        return self.session.signing_key

    def require_still_allowed(self, verifier: Verifier, *, now: Instant) -> None:
        """Decide anew on who asks, by the lists of now. Raises Rejected for one who is revoked since D3."""
        with after_opening():
            self.asker.require_still_good(verifier, now=now)

    def receive(
        self, frame: SessionFrame, verifier: Verifier, *, now: Instant
    ) -> "AwaitingRequest | ReceivedQuery | ReceivedDeposit | ReceivedDocument":
        """Take one frame (eq. 46). Raises Rejected; STALE and the like for clear fields."""
        check(frame)  # D4.1, STO.1, OWN.1
        is_query = frame.last and not self.pieces
        is_own = self.asker.party.role == ROLE_PATIENT
        if is_query:
            verifier.freshness.require(frame.sent_at, now=now)  # D4.2
        with after_opening():
            name = "d4" if is_query else "own" if is_own else "sto"
            receiving, plaintext = self.receiving.open(name, frame)  # D4.3, STO.2, OWN.2
            opened = replace(self, receiving=receiving, heard_at=now if self.heard_at is None else self.heard_at)
            if is_query:
                return _received_query(opened, frame, plaintext)
            if not frame.last:
                return _with_slice(opened, plaintext)
            if is_own:
                own = parse(OwnDocument, plaintext)  # OWN.4
                return ReceivedDocument(opened, Opened(own, plaintext), frame.sent_at)
            return ReceivedDeposit(opened, Opened(parse(Deposit, plaintext), plaintext), frame.sent_at)  # STO.4


def _received_query(request: AwaitingRequest, frame: SessionFrame, plaintext: bytes) -> "ReceivedQuery":
    query = parse_last(plaintext, frame, RecordQuery).payload  # D4.4, D4.5
    if query.doctor_certificate_digest != certificate_digest(request.asker.certificate):
        raise CertificateForeign("D4 names another Cert_D than D3")  # D4.6
    _require_commitment(request, query, *_ASKED)
    if query.scope.purpose == pb.PURPOSE_LOG and (query.scope.department_class != ANY or query.scope.handles):
        raise FieldInvalid("the log is asked for of every class, and by no handle")  # D4.15
    if query.HasField("resumption") and (
        query.scope.purpose != pb.PURPOSE_READ or not query.resumption.offset or query.resumption.offset % SLICE_BYTES
    ):
        raise FieldInvalid("records alone go on, and after a whole slice")  # D4.16
    return ReceivedQuery(request, query)


def _with_slice(request: AwaitingRequest, piece: bytes) -> AwaitingRequest:
    return replace(request, pieces=with_slice(request.pieces, piece, most_bytes=MOST_DEPOSIT_BYTES))  # STO.3, OWN.3


def sender_of(message: Request) -> str:
    """Return who sent it, as it says itself."""
    match message:
        case RecordQuery():
            return message.asker_id
        case Deposit():
            return message.doctor_id
        case OwnDocument():
            return message.author_id


def _require_commitment(request: AwaitingRequest, message: Request, *purposes: "pb.Purpose.ValueType") -> None:
    """Require that the message is D3's sender's and that c_P opens to it (X5, C7)."""
    if sender_of(message) != request.asker.identity:
        raise IdentityMismatch("the message names somebody else than D3")  # D4.7, STO.7, OWN.7
    if message.scope.purpose not in purposes:
        raise FieldInvalid("the scope has another purpose than the message")  # D4.8, STO.8, OWN.8
    if commitment(Shown.of(message), message.scope, message.blind) != request.patient_commitment:
        raise CommitmentMismatch("c_P does not open to this patient, access and scope")  # D4.9, STO.9, OWN.9


def _decided(
    request: AwaitingRequest,
    message: Request,
    right: "statement.Right.ValueType",
    verifier: Verifier,
    receiver: Receiver,
    now: Instant,
) -> Allowed:
    """Decide anew: on who asked by D3, then on what is shown, for this hospital.

    Raises Authorization for what is wrong with what is shown; Rejected for one who is revoked since D3, or a false party.
    """
    request.require_still_allowed(verifier, now=now)  # D4.10, STO.13, OWN.13
    asker = request.asker.party
    asked_class = message.scope.department_class
    question = Question(
        asker=asker_of(asker),
        right=right,
        patient_id=PatientId(message.patient_id),
        hospital_id=request.session.own.hospital_id,
        department_class=None if asked_class == ANY else asked_class,
    )
    return Shown.of(message).decide(asker, question, verifier, receiver, now=now)  # D4.11, STO.14, OWN.14


@dataclass(frozen=True, repr=False)
class ReceivedQuery:
    """D4 is open and c_P opens to it. Decide, log, then release."""

    request: AwaitingRequest
    query: RecordQuery

    @property
    def is_for_log(self) -> bool:
        """Return whether it is asked who did, not for records."""
        return self.query.scope.purpose == pb.PURPOSE_LOG

    def decide(self, verifier: Verifier, receiver: Receiver, *, now: Instant) -> "Logged[Release]":
        """Decide on who asks and why it may (C1). Raises Authorization for what is wrong with that, else Rejected."""
        allowed = _decided(self.request, self.query, _ASKED[self.query.scope.purpose][1], verifier, receiver, now)
        classes = allowed.classes(self.query.scope.department_class, verifier.anchors.department_classes)
        sending = self.request.sending
        release = Release(self.request, self.query, allowed, classes, sending, hashlib.sha256())
        return Logged(self.event(BEGUN), release)

    def event(self, reason: str) -> AccessEvent:
        """Return the entry for the access log; one that goes on where another session broke says from where."""
        event = _event(_ASKED[self.query.scope.purpose][0], self.query, reason)
        return replace(event, detail=f"from byte {self.offset} on") if self.offset else event

    @property
    def offset(self) -> int:
        """Return how many bytes of M_EMR who asks says to have; 0 from the beginning."""
        return self.query.resumption.offset

    def require_unchanged(self, manifest: bytes) -> None:
        """Require that a record which goes on is the one that began. Raises RecordChanged."""
        if not self.query.HasField("resumption"):
            return
        size = LENGTH_BYTES + len(manifest) + content_size(RecordManifest.FromString(manifest))
        if self.query.resumption.manifest_digest != digest(manifest) or self.offset >= size:
            raise RecordChanged("the record is not the one that began, or is no longer than what came")  # D4.17

    def refuse(self, outcome: "pb.SessionOutcome.ValueType", *, now: Instant) -> SessionFrame:
        """Say to who asks, who is confirmed, why there is no record."""
        end = RecordEnd(outcome=outcome, sent_at=now)
        return self.request.sending.seal_message("h2", end, sent_at=now)[1]


@dataclass(frozen=True, repr=False)
class Release:
    """It is allowed and the log knows it: M_EMR may go, slice by slice (eq. 47)."""

    request: AwaitingRequest
    query: RecordQuery
    allowed: Allowed
    classes: tuple[str, ...]
    sending: Direction
    hasher: "hashlib._Hash"

    def require_still_allowed(self, verifier: Verifier, receiver: Receiver, *, now: Instant) -> Allowed:
        """Decide anew, by what is known now, from who asks to why, and return what is allowed.

        Raises as `ReceivedQuery.decide`.
        """
        return _decided(self.request, self.query, _ASKED[self.query.scope.purpose][1], verifier, receiver, now)

    def refuse(self, outcome: "pb.SessionOutcome.ValueType", *, now: Instant) -> SessionFrame:
        """Say to who asks, in place of what was to follow, why the record ends here."""
        return self.sending.seal_message("h2", RecordEnd(outcome=outcome, sent_at=now), sent_at=now)[1]

    def after(self, chunks: Iterator[bytes], offset: int) -> "tuple[Release, Iterator[bytes]]":
        """Pass over so many bytes of M_EMR that who asks has, which are signed and not sent. Return what follows them."""
        hasher, left, rest = self.hasher.copy(), offset, b""
        while left and (chunk := next(chunks, b"")):
            hasher.update(memoryview(chunk)[:left])
            rest, left = chunk[left:], max(0, left - len(chunk))
        return replace(self, hasher=hasher), chain((rest,) if rest else (), chunks)

    def slice(self, piece: Piece, *, now: Instant) -> "tuple[Release, SealedFrame]":
        """Send the next slice of M_EMR || zeros."""
        hasher = self.hasher.copy()
        hasher.update(piece.content)
        sending, sealed = self.sending.seal_slice("h2", piece.padded, sent_at=now)
        return replace(self, sending=sending, hasher=hasher), sealed

    def end(self, version: int, *, now: Instant) -> SessionFrame:
        """Send the last frame, signed over all of M_EMR (C8)."""
        request = self.request
        covered = record_transcript(
            request.session.transcript_hash,
            request.patient_commitment,
            self.hasher.digest(),
            Shown.of(self.query).digest,
            version,
            now,
        )
        signature = request.signing_key.sign(covered)
        end = RecordEnd(outcome=pb.SESSION_OUTCOME_SERVED, version=version, sent_at=now, signature=signature)
        return self.sending.seal_message("h2", end, sent_at=now)[1]


@dataclass(frozen=True, repr=False)
class Brought(Generic[M]):
    """A message with slices before it, which STOACK answers."""

    request: AwaitingRequest
    opened: Opened[M]
    sent_at: Instant

    @property
    def digest(self) -> bytes:
        """Return H of the message's plaintext."""
        return digest(self.opened.plaintext)

    def refuse(self, outcome: "pb.SessionOutcome.ValueType", *, now: Instant) -> SessionFrame:
        """Say to the confirmed asker why it is not taken."""
        return self._ended(DepositEnd(outcome=outcome, sent_at=now))

    def answer(self, receipt: SignedStatement, *, now: Instant) -> SessionFrame:
        """Send STOACK: the receipt as it was signed when this was kept."""
        return self._ended(DepositEnd(outcome=pb.SESSION_OUTCOME_SERVED, receipt=receipt, sent_at=now))

    def receipt(self, handle: bytes, version: int, *, now: Instant) -> SignedStatement:
        """Sign STOACK."""
        receipt = DepositReceipt(deposit_digest=self.digest, handle=handle, version=version, stored_at=now)
        return sign_statement("stoack", receipt, self.request.signing_key)

    def _ended(self, end: DepositEnd) -> SessionFrame:
        return self.request.sending.seal_message("stoack", end, sent_at=end.sent_at)[1]


@dataclass(frozen=True, repr=False)
class ReceivedDeposit(Brought[Deposit]):
    """STO is whole. If H(sto) was answered before, give that answer again; else check it."""

    @property
    def sto(self) -> Deposit:
        """Return the message."""
        return self.opened.payload

    def decide(self, verifier: Verifier, receiver: Receiver, *, now: Instant) -> "Logged[AcceptedDeposit]":
        """Check all that D4 would, then Sig_P2 and Sig_D5. Raises Authorization for the access, Rejected, StaleMessage."""
        sto, request = self.sto, self.request
        verifier.freshness.require_since(self.sent_at, heard_at=request.heard_at or now, now=now)  # STO.5
        with after_opening():
            require_same_time(sto.sent_at, self.sent_at)  # STO.6
            _require_commitment(request, sto, pb.PURPOSE_STORE)
            biosignal, diagnosis = deposit_content(sto, request.pieces)
        _decided(request, sto, RIGHT_WRITE, verifier, receiver, now)
        with after_opening():
            if sto.scope.department_class == ANY:
                raise FieldInvalid("a deposit names one department class")  # STO.15
            self._require_signatures(verifier, now)
        return Logged(self.event("OK"), AcceptedDeposit(self, biosignal, diagnosis))

    def event(self, reason: str) -> AccessEvent:
        """Return the entry for the access log."""
        return _event("STORE", self.sto, reason)

    def _require_signatures(self, verifier: Verifier, now: Instant) -> None:
        sto, doctor, shown = self.sto, self.request.asker, Shown.of(self.sto)
        # Whoever came signed both, the patient or its deputy: the decision has taken nothing but a consent.
        patient = verifier.party(sto.access.consent.key_statement, ROLE_PATIENT, now=now)  # STO.16
        # Over this doctor and the grant that is shown: one that the patient gave another doctor, or with another grant,
        # lies readable in that record's evidence, and is none here.
        biosignal = biosignal_transcript(
            sto.consultation_digest,
            doctor.doctor_id,
            doctor.certificate,
            shown.patient_id,
            sto.biosignal_digest,
            shown.grant_digest,
            sto.biosignal_sent_at,
        )
        verify_signature(patient.key, sto.biosignal_signature, biosignal)  # STO.17
        diagnosis = diagnosis_transcript(
            sto.consultation_digest,
            sto.diagnosis_digest,
            sto.biosignal_signature,
            listing(list(sto.based_on)),
            sto.diagnosis_sent_at,
            sto.amends,
        )
        verify_signature(doctor.key, sto.diagnosis_signature, diagnosis)  # STO.18


@dataclass(frozen=True, repr=False)
class AcceptedDeposit:
    """The deposit may be kept. Keep it and its publication in one transaction, then answer with the receipt."""

    received: ReceivedDeposit
    biosignal: bytes
    diagnosis: bytes

    @property
    def sto(self) -> Deposit:
        """Return the message."""
        return self.received.sto

    @property
    def doctor(self) -> Peer:
        """Return whose deposit it is."""
        return self.received.request.asker

    def receipt(self, handle: bytes, version: int, *, now: Instant) -> SignedStatement:
        """Sign STOACK."""
        return self.received.receipt(handle, version, now=now)


@dataclass(frozen=True, repr=False)
class ReceivedDocument(Brought[OwnDocument]):
    """OWN is whole. If H(own) was answered before, give that answer again; else check it."""

    @property
    def own(self) -> OwnDocument:
        """Return the message."""
        return self.opened.payload

    def decide(self, verifier: Verifier, receiver: Receiver, *, now: Instant) -> "Logged[AcceptedDocument]":
        """Check all that D4 would, then its author's signature. Raises Authorization for the access, Rejected, StaleMessage."""
        own, request = self.own, self.request
        verifier.freshness.require_since(self.sent_at, heard_at=request.heard_at or now, now=now)  # OWN.5
        with after_opening():
            require_same_time(own.sent_at, self.sent_at)  # OWN.6
            _require_commitment(request, own, pb.PURPOSE_ADD)
            content = document_content(own, request.pieces)
        _decided(request, own, RIGHT_ADD, verifier, receiver, now)
        with after_opening():
            if own.scope.department_class == ANY or own.scope.handles:
                raise FieldInvalid("a document is for one department class, and by no handle")  # OWN.15
            covered = document_transcript(own, request.session.own.hospital_id)
            verify_signature(request.asker.key, own.signature, covered)  # OWN.16
        return Logged(self.event("OK"), AcceptedDocument(self, content, covered))

    def event(self, reason: str) -> AccessEvent:
        """Return the entry for the access log."""
        return _event("ADD", self.own, reason)


@dataclass(frozen=True, repr=False)
class AcceptedDocument:
    """The document may be kept. Keep it and its publication in one transaction, then answer with the receipt.

    `covered` is what its author signed.
    """

    received: ReceivedDocument
    content: bytes
    covered: bytes

    @property
    def own(self) -> OwnDocument:
        """Return the message."""
        return self.received.own

    @property
    def author(self) -> Peer:
        """Return who wrote it."""
        return self.received.request.asker


def _event(kind: str, message: Request, reason: str) -> AccessEvent:
    shown = Shown.of(message)
    return AccessEvent(
        kind=kind,
        asker_id=sender_of(message),
        patient_id=shown.patient_id,
        scope=message.scope.department_class,
        authorization=shown.digest,
        ground=shown.ground,
        reason=reason,
        grant_digest=shown.grant_digest,
    )
