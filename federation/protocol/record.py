"""The session of a doctor, or of a patient in its place, with a hospital, Chen et al. 2020, eq. 33-48: both sides.

D3  The doctor, who addresses one hospital, sends R_D3 and a commitment c_P to patient, access and scope (X5, C3).
H1  The hospital answers R_HPC2; both compute SEK_2; the hospital proves the key by kc_H and itself by its signature (C4).
D4  The doctor opens c_P under SEK_2 and shows its access; the hospital decides, logs, and only then releases (C1, C7).
    With the purpose "log" the patient asks who did, and M_EMR is a manifest of accesses alone.
H2  M_EMR comes in slices; the last frame signs the whole (C8).
STO In D4's place: the new encounter, with what the patient and the doctor signed in the consultation; STOACK answers.
OWN In D4's place, of a patient: a document of its own; STOACK answers, too.

D3 and H1 are the handshake's, with the row `RECORD`; the states of who asks come first, then the hospital's.

Long because it is one exchange seen from both of its sides, with three requests: what each builds must fit the other.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Generic, TypeVar

from google.protobuf.message import Message

from federation.errors import (
    AnswerMismatch,
    Authorization,
    CertificateForeign,
    CommitmentMismatch,
    FederationError,
    FieldInvalid,
    IdentityMismatch,
    MissingField,
    RecordChanged,
)
from federation.protocol import handshake, outcomes
from federation.protocol.access import BEGUN, AccessEvent, Allowed, Logged, Question, Receiver
from federation.protocol.consultation import biosignal_transcript, diagnosis_transcript
from federation.protocol.documents import SignedDocument, document_content, document_transcript
from federation.protocol.frames import (
    MOST_DEPOSIT_BYTES,
    SLICE_BYTES,
    Direction,
    IncomingRecord,
    Piece,
    SealedFrame,
    content_size,
    deposit_content,
    parse_last,
    pieces,
    with_slice,
)
from federation.protocol.handshake import AwaitingReply, Kind, ReceivedOpening, Session, Side
from federation.protocol.parsing import check, field_rule, parse, payload_rule
from federation.protocol.parties import Entropy, Party, Pending
from federation.protocol.sealing import Opened, after_opening
from federation.protocol.shown import Shown, asker_of
from federation.protocol.statements import (
    Signed,
    certificate_digest,
    open_statement,
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
    Scope,
)
from federation.v1.statement_pb2 import (
    RIGHT_ADD,
    RIGHT_LOG,
    RIGHT_READ,
    RIGHT_WRITE,
    ROLE_DOCTOR,
    ROLE_HOSPITAL,
    ROLE_PATIENT,
    SignedStatement,
)
from keystore.identities import ANY, PatientId
from keystore.signatures import SigningKey, VerifyingKey
from keystore.transcript import LENGTH_BYTES, digest, listing, text, transcript, u64

PURPOSE_NAMES: dict["pb.Purpose.ValueType", str] = {
    pb.PURPOSE_READ: "read",
    pb.PURPOSE_STORE: "store",
    pb.PURPOSE_LOG: "log",
    pb.PURPOSE_ADD: "add",
}
Request = RecordQuery | Deposit | OwnDocument
M = TypeVar("M", bound=Message)

MOST_LOGGED = field_rule(RecordManifest, "accesses").max_items
LOGGED_ROOM = payload_rule(RecordManifest.DESCRIPTOR).max_size - 256
"""Accesses of one answer, the newest, and bytes that they and their head may have together: beside both names."""

_ASKED = {pb.PURPOSE_READ: ("READ", RIGHT_READ), pb.PURPOSE_LOG: ("LOG", RIGHT_LOG)}
"""What D4 may be for -> the kind of its entry in the log, and the right that it asks for."""


def scope_digest(scope: Scope) -> bytes:
    """Return H(scope): of T("scope", purpose, class, [handle...])."""
    fields = text(PURPOSE_NAMES[scope.purpose]), text(scope.department_class), listing(list(scope.handles))
    return digest(transcript("scope", *fields))


def commitment(shown: Shown, scope: Scope, blind: bytes) -> bytes:
    """Return c_P = H(T("cp", ID_P, H(access), H(scope), rho))."""
    return digest(transcript("cp", text(shown.patient_id), shown.digest, scope_digest(scope), blind))


def opening_transcript(
    opening: RecordOpening, issuer_public_key: bytes, hospital_id: str, key_id: bytes, session_id: bytes
) -> bytes:
    """Return what Sig_D3 covers: eq. 35 with c_P for ID_P, and the hospital (C3)."""
    return transcript(
        "D3",
        issuer_public_key,
        u64(opening.sent_at),
        opening.patient_commitment,
        opening.agreement_point,
        opening.ephemeral_point,
        opening.registration_point,
        text(hospital_id),
        opening.responder_serial,
        key_id,
        session_id,
        digest(opening.contribution),
        certificate_digest(opening.doctor_certificate),
    )


def session_transcript_hash(
    opening_plaintext: bytes, reply: RecordReply, credential: bytes, session_id: bytes
) -> bytes:
    """Return TH2 = H(T("th2", H(d3 plaintext), ID_HPC, M_HPC, R_HPC1, R_HPC2, E_HPC, T_HPC1, session id))."""
    points = reply.registration_point, reply.agreement_point, reply.ephemeral_point
    fields = digest(opening_plaintext), text(reply.hospital_id), credential, *points, u64(reply.sent_at), session_id
    return digest(transcript("th2", *fields))


def reply_transcript(reply: RecordReply, issuer_public_key: bytes, transcript_hash: bytes) -> bytes:
    """Return what Sig_HPC1 covers: eq. 41, and the session (C4)."""
    return transcript(
        "H1",
        issuer_public_key,
        u64(reply.sent_at),
        reply.ephemeral_point,
        text(reply.hospital_id),
        reply.key_confirmation,
        transcript_hash,
    )


def record_transcript(
    transcript_hash: bytes,
    patient_commitment: bytes,
    record_digest: bytes,
    access_digest: bytes,
    version: int,
    sent_at: Instant,
) -> bytes:
    """Return what Sig_HPC2 covers: T("H2", TH2, c_P, H(M_EMR), H(access), version, T_HPC2) (C8)."""
    fields = transcript_hash, patient_commitment, record_digest, access_digest, u64(version), u64(sent_at)
    return transcript("H2", *fields)


RECORD = Kind(
    initiator=Side(
        "D3", RecordOpening, (ROLE_DOCTOR, ROLE_PATIENT), lambda d3: d3.asker_id, lambda d3: d3.doctor_certificate
    ),
    responder=Side("H1", RecordReply, (ROLE_HOSPITAL,), lambda h1: h1.hospital_id),
    opening_transcript=opening_transcript,
    transcript_hash=session_transcript_hash,
    reply_transcript=reply_transcript,
    key_roles="DH",
    reply_of=lambda hospital: RecordReply(hospital_id=hospital.identity),
)


@dataclass(frozen=True, repr=False)
class Intent:
    """What the session is for: c_P commits to it. `blind` is rho; keep the intent to repeat a deposit."""

    shown: Shown
    scope: Scope
    blind: bytes

    @property
    def commitment(self) -> bytes:
        """Return c_P."""
        return commitment(self.shown, self.scope, self.blind)


def begin(
    asker: Party, hospital: Peer, intent: Intent, verifier: Verifier, *, now: Instant, entropy: Entropy
) -> "tuple[AwaitingReply[RecordOpening, RecordReply, Established], SealedOpening]":
    """Send D3 (eq. 33-35) to this hospital, committed to the intent."""
    opening = RecordOpening(
        asker_id=asker.identity,
        doctor_certificate=asker.certificate or None,
        patient_commitment=intent.commitment,
    )
    established = partial(Established, intent=intent)
    return handshake.begin(RECORD, asker, hospital, opening, verifier, established, now=now, entropy=entropy)


@dataclass(frozen=True, repr=False)
class Established:
    """The hospital has proved itself and the key."""

    session: Session
    intent: Intent

    def query(
        self, *, now: Instant, known_size: int = 0, before: int | None = None, incoming: IncomingRecord | None = None
    ) -> "tuple[AwaitingRecord, SessionFrame]":
        """Send D4 (eq. 45): open c_P and show why it may; of a log, from which head on it is proved, and before which leaf.

        `incoming` is what came of the record before its session broke, in whole slices. Raises FieldInvalid for any other.
        """
        session, intent, shown = self.session, self.intent, self.intent.shown
        incoming = incoming or IncomingRecord()
        payload = RecordQuery(
            patient_id=shown.patient_id,
            asker_id=session.own.identity,
            sent_at=now,
            doctor_certificate_digest=certificate_digest(session.own.certificate) or None,
            blind=intent.blind,
            scope=intent.scope,
            access=shown.access,
            known_size=known_size or None,
            before=before,
            resumption=incoming.resumption(),
        )
        check(payload)
        _, frame = session.sending.seal_message("d4", payload, sent_at=now)
        return AwaitingRecord(session, intent, session.receiving, incoming), frame

    def deposit(
        self, biosignal: bytes, diagnosis: bytes, deposit: Deposit
    ) -> "tuple[AwaitingDepositReceipt, Iterator[SessionFrame]]":
        """Send STO: M_SD and M_DINF in slices, then the deposit. The same deposit may be sent again in a new session."""
        return self._bring("sto", biosignal + diagnosis, deposit)

    def add(self, document: SignedDocument) -> "tuple[AwaitingDepositReceipt, Iterator[SessionFrame]]":
        """Send OWN: the document in slices, then what its author signed. The same may be sent again in a new session."""
        return self._bring("own", document.content, document.message)

    def _bring(
        self, name: str, content: bytes, message: Deposit | OwnDocument
    ) -> "tuple[AwaitingDepositReceipt, Iterator[SessionFrame]]":
        check(message)
        session = self.session
        message_digest = digest(message.SerializeToString(deterministic=True))
        state = AwaitingDepositReceipt(session.peer, session.receiving, message_digest)
        return state, _content_frames(session.sending, name, content, message)


def _content_frames(
    sending: Direction, name: str, content: bytes, message: Deposit | OwnDocument
) -> Iterator[SessionFrame]:
    for piece in pieces([content]):
        sending, frame = sending.seal(name, piece.padded, last=False, sent_at=message.sent_at)
        yield frame
    yield sending.seal_message(name, message, sent_at=message.sent_at)[1]


@dataclass(frozen=True, repr=False)
class Slice:
    """What a slice holds of M_EMR, its padding aside; not proved yet: spool it, show nothing (C8)."""

    content: bytes


@dataclass(frozen=True)
class Received:
    """M_EMR is whole and signed by the hospital."""

    record_digest: bytes
    end: RecordEnd
    signed: Signed


@dataclass(frozen=True, repr=False)
class AwaitingRecord:
    """D4 is sent; M_EMR comes in."""

    session: Session
    intent: Intent
    receiving: Direction
    incoming: IncomingRecord

    def receive(
        self, frame: SessionFrame, verifier: Verifier, *, now: Instant
    ) -> "tuple[AwaitingRecord, Slice | Received]":
        """Take one frame of H2 (eq. 48). T is checked on the first.

        Raises NotFound or Authorization for what the hospital says is wrong, Rejected for a false record.
        """
        check(frame)  # H2.1
        if frame.sequence == 0:
            verifier.freshness.require(frame.sent_at, now=now)  # H2.2
        with after_opening():
            receiving, plaintext = self.receiving.open("h2", frame)  # H2.3
            if not frame.last:
                incoming, content = self.incoming.take(plaintext)
                return replace(self, receiving=receiving, incoming=incoming), Slice(content)
            opened = parse_last(plaintext, frame, RecordEnd)  # H2.9, H2.10
            if opened.payload.outcome == pb.SESSION_OUTCOME_SERVED:
                # A large record takes its time: the hospital may have been revoked since H1.
                self.session.peer.require_still_good(verifier, now=now)  # H2.11
                return replace(self, receiving=receiving), self._complete(opened)
        raise _refusal(opened.payload.outcome)  # H2.16

    def _complete(self, opened: Opened[RecordEnd]) -> Received:
        end = opened.payload
        if not end.HasField("signature") or not end.HasField("version"):
            raise MissingField("a served record is signed")  # H2.12
        record_digest = self.incoming.whole_digest()
        covered = record_transcript(
            self.session.transcript_hash,
            self.intent.commitment,
            record_digest,
            self.intent.shown.digest,
            end.version,
            end.sent_at,
        )
        signed = Signed("H2", covered, end.signature, opened.plaintext)
        signed.verify(self.session.peer.key)  # H2.15
        return Received(record_digest, end, signed)


@dataclass(frozen=True)
class AwaitingDepositReceipt:
    """STO or OWN is sent."""

    hospital: Peer
    receiving: Direction
    deposit_digest: bytes

    def receive(self, frame: SessionFrame, *, now: Instant) -> tuple[DepositReceipt, Signed]:
        """Take STOACK: the receipt, and as the hospital signed it. Raises as for a record."""
        del now  # the receipt of a deposit that was made before is as old as that deposit
        with after_opening():
            # STOACK.1, STOACK.2, STOACK.3, STOACK.4
            end = self.receiving.open_message("stoack", frame, DepositEnd)[1].payload
            if end.outcome == pb.SESSION_OUTCOME_SERVED:
                return self._receipt(end)
        raise _refusal(end.outcome)  # STOACK.8

    def _receipt(self, end: DepositEnd) -> tuple[DepositReceipt, Signed]:
        if not end.HasField("receipt"):
            raise MissingField("a served deposit has a receipt")  # STOACK.5
        receipt = verify_deposit_receipt(end.receipt, self.hospital.key)  # STOACK.6
        if receipt.deposit_digest != self.deposit_digest:
            raise AnswerMismatch("the receipt is for another deposit")  # STOACK.7
        return receipt, Signed.of_statement("stoack", end.receipt)


def verify_deposit_receipt(signed: SignedStatement, hospital_key: VerifyingKey) -> DepositReceipt:
    """Verify STOACK by PRK_HPC's public key. Raises SignatureInvalid, MalformedMessage."""
    return open_statement("stoack", DepositReceipt, signed, hospital_key)


def _refusal(outcome: "pb.SessionOutcome.ValueType") -> FederationError:
    row = outcomes.of_session(outcome)
    return (row.error or Authorization)(f"the hospital refuses: {row.name}")


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
