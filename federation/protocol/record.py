"""The session of a doctor, or of a patient in its place, with a hospital, Chen et al. 2020, eq. 33-48: who asks.

D3  The doctor, who addresses one hospital, sends R_D3 and a commitment c_P to patient, access and scope (X5, C3).
H1  The hospital answers R_HPC2; both compute SEK_2; the hospital proves the key by kc_H and itself by its signature (C4).
D4  The doctor opens c_P under SEK_2 and shows its access; the hospital decides, logs, and only then releases (C1, C7).
    With the purpose "log" the patient asks who did, and M_EMR is a manifest of accesses alone.
H2  M_EMR comes in slices; the last frame signs the whole (C8).
STO In D4's place: the new encounter, with what the patient and the doctor signed in the consultation; STOACK answers.
OWN In D4's place, of a patient: a document of its own; STOACK answers, too.

D3 and H1 are the handshake's, with the row `RECORD`. What both sides sign and commit to comes first. The hospital's side is
`federation.protocol.record_hospital`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from federation.errors import (
    AnswerMismatch,
    Authorization,
    FederationError,
    MissingField,
)
from federation.protocol import handshake, outcomes
from federation.protocol.documents import SignedDocument
from federation.protocol.frames import (
    Direction,
    IncomingRecord,
    parse_last,
    pieces,
)
from federation.protocol.handshake import AwaitingReply, Kind, Session, Side
from federation.protocol.parsing import check
from federation.protocol.parties import Entropy, Party
from federation.protocol.sealing import Opened, after_opening
from federation.protocol.shown import Shown
from federation.protocol.statements import (
    Signed,
    certificate_digest,
    open_statement,
)
from federation.protocol.time import Instant
from federation.protocol.verifier import Peer, Verifier
from federation.v1 import record_pb2 as pb
from federation.v1.envelope_pb2 import SealedOpening, SessionFrame
from federation.v1.record_pb2 import (
    Deposit,
    DepositEnd,
    DepositReceipt,
    OwnDocument,
    RecordEnd,
    RecordOpening,
    RecordQuery,
    RecordReply,
    Scope,
)
from federation.v1.statement_pb2 import (
    ROLE_DOCTOR,
    ROLE_HOSPITAL,
    ROLE_PATIENT,
    SignedStatement,
)
from keystore.signatures import VerifyingKey
from keystore.transcript import digest, listing, text, transcript, u64

PURPOSE_NAMES: dict["pb.Purpose.ValueType", str] = {
    pb.PURPOSE_READ: "read",
    pb.PURPOSE_STORE: "store",
    pb.PURPOSE_LOG: "log",
    pb.PURPOSE_ADD: "add",
}


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
