"""The hospital's side of a session with a doctor: D3, H1, D4, H2, STO, STOACK (eq. 36-41, 46, 47)."""

import hashlib
from dataclasses import dataclass, replace

from federation.errors import (
    CertificateForeign,
    CommitmentMismatch,
    EmergencyNotSupported,
    FieldInvalid,
    GrantMissing,
    IdentityMismatch,
)
from federation.protocol import record as common
from federation.protocol.consultation import biosignal_transcript, diagnosis_transcript
from federation.protocol.deposit_content import MOST_DEPOSIT_BYTES, deposit_content
from federation.protocol.grant import Use, authorize
from federation.protocol.padding import Piece
from federation.protocol.parsing import check, parse
from federation.protocol.parties import BEGUN, AccessEvent, Entropy, Logged, Party, Pending
from federation.protocol.schedule import SessionKeys, agree, derive
from federation.protocol.sealing import (
    UNNAMED,
    Context,
    Opened,
    after_opening,
    find_key,
    open_payload,
    require_session_id,
    seal_reply,
)
from federation.protocol.search import classes_covered
from federation.protocol.session import Direction, with_slice
from federation.protocol.statements import sign_statement, verify_signature
from federation.protocol.time import Instant, require_same_time
from federation.protocol.verifier import EncryptionKey, VerifiedParty, Verifier
from federation.v1 import record_pb2 as pb
from federation.v1 import statement_pb2 as statement
from federation.v1.envelope_pb2 import SealedOpening, SealedReply, SessionFrame
from federation.v1.record_pb2 import (
    Deposit,
    DepositEnd,
    DepositReceipt,
    RecordEnd,
    RecordOpening,
    RecordQuery,
    RecordReply,
)
from federation.v1.statement_pb2 import RIGHT_READ, RIGHT_WRITE, ROLE_PATIENT, Grant, SignedStatement
from keystore.encryption import DecryptionKey
from keystore.group import multiply_base, scalar_from_seed
from keystore.identities import ANY
from keystore.transcript import digest, listing, text, transcript


def receive_opening(hospital: Party, opening: SealedOpening, verifier: Verifier, *, now: Instant) -> "Pending[Asked]":
    """Take D3 (eq. 36, 37). Raises precise errors for clear fields, Rejected for anything after opening."""
    key = find_key(opening, hospital.keyring, freshness=verifier.freshness, now=now)
    require_session_id(opening, size=16)
    with after_opening():
        asked = _accept_opening(hospital, opening, key, verifier, now)
    d3 = asked.opened.payload
    replay_key = digest(transcript("D3", text(d3.doctor_id), d3.ephemeral_point))
    return Pending(replay_key, verifier.freshness.replay_key_until(now=now), asked)


def _accept_opening(
    hospital: Party, opening: SealedOpening, key: DecryptionKey, verifier: Verifier, now: Instant
) -> "Asked":
    context = Context("d3", UNNAMED, hospital.identity, key.key_id, opening.session_id, opening.sent_at)
    opened = open_payload(RecordOpening, opening.sealed, key, context)
    d3 = opened.payload
    doctor = verifier.doctor(d3.key_statement, d3.doctor_certificate, now=now)
    if d3.doctor_id != doctor.identity or d3.registration_point != doctor.registration_point:
        raise IdentityMismatch("the key statement is another doctor's")
    encryption_key = verifier.encryption_key(d3.encryption_key_statement, doctor, now=now)
    issuer = doctor.issuer_public_key
    signed = common.opening_transcript(d3, issuer, hospital.identity, key.key_id, opening.session_id)
    verify_signature(doctor.key, d3.signature, signed)
    return Asked(hospital, doctor, encryption_key, opening.session_id, opened)


@dataclass(frozen=True, repr=False)
class Asked:
    """D3 held: a doctor asks this hospital, for a patient that only c_P knows."""

    hospital: Party
    doctor: VerifiedParty
    doctor_key: EncryptionKey
    session_id: bytes
    opened: Opened[RecordOpening]

    def require_still_allowed(self, verifier: Verifier, *, now: Instant) -> None:
        """Decide anew on the doctor, by the lists of now. Raises Rejected for one who is revoked since D3."""
        d3 = self.opened.payload
        with after_opening():
            verifier.doctor(d3.key_statement, d3.doctor_certificate, now=now)

    def reply(self, *, now: Instant, entropy: Entropy) -> "tuple[AwaitingRequest, SealedReply]":
        """Send H1: pick r8, R_HPC2 = r8 B (eq. 38), derive SEK_2 (eq. 39), confirm it (eq. 40, 41)."""
        scalar, contribution = scalar_from_seed(entropy(64)), entropy(32)
        d3, own = self.opened.payload, self.hospital.self_
        payload = RecordReply(
            hospital_id=own.identity,
            key_statement=own.key_statement,
            contribution=contribution,
            sent_at=now,
            ephemeral_point=multiply_base(scalar),
            registration_point=own.registration_point,
        )
        transcript_hash = common.session_transcript_hash(
            self.opened.plaintext,
            own.identity,
            own.credential,
            own.registration_point,
            payload.ephemeral_point,
            now,
            self.session_id,
        )
        with after_opening():
            shared = agree(self.hospital.registration_secret, d3.ephemeral_point, scalar, self.doctor)
        keys = derive(shared, (d3.contribution, contribution), transcript_hash, "DH")
        payload.key_confirmation = keys.key_confirmation
        payload.signature = self.hospital.signing_key.sign(
            common.reply_transcript(payload, own.issuer_public_key, transcript_hash)
        )
        context = Context("h1", own.identity, d3.doctor_id, self.doctor_key.key_id, self.session_id, now)
        return self._awaiting(transcript_hash, keys), seal_reply(payload, self.doctor_key.encryption_key, context)

    def _awaiting(self, transcript_hash: bytes, keys: SessionKeys) -> "AwaitingRequest":
        receiving = Direction(self.session_id, keys.forward)
        sending = Direction(self.session_id, keys.backward)
        return AwaitingRequest(self, transcript_hash, receiving, sending, ())


@dataclass(frozen=True, repr=False)
class AwaitingRequest:
    """H1 is sent. One D4 or one STO follows: D4 is one frame; STO has slices first."""

    asked: Asked
    transcript_hash: bytes
    receiving: Direction
    sending: Direction
    pieces: tuple[bytes, ...]
    heard_at: Instant | None = None

    def receive(
        self, frame: SessionFrame, verifier: Verifier, *, now: Instant
    ) -> "AwaitingRequest | ReceivedQuery | ReceivedDeposit":
        """Take one frame (eq. 46). Raises Rejected; STALE and the like for clear fields."""
        check(frame)
        is_query = frame.last and not self.pieces
        if is_query:
            verifier.freshness.require(frame.sent_at, now=now)
        with after_opening():
            receiving, plaintext = self.receiving.open("d4" if is_query else "sto", frame)
            opened = replace(self, receiving=receiving, heard_at=now if self.heard_at is None else self.heard_at)
            if is_query:
                return _received_query(opened, frame, plaintext)
            if not frame.last:
                return _with_slice(opened, plaintext)
            return ReceivedDeposit(opened, Opened(parse(Deposit, plaintext), plaintext), frame.sent_at)


def _received_query(session: AwaitingRequest, frame: SessionFrame, plaintext: bytes) -> "ReceivedQuery":
    query = parse(RecordQuery, plaintext)
    require_same_time(query.sent_at, frame.sent_at)
    if query.doctor_certificate_digest != digest(session.asked.opened.payload.doctor_certificate):
        raise CertificateForeign("D4 names another Cert_D than D3")
    _require_commitment(session.asked, query, pb.PURPOSE_READ)
    return ReceivedQuery(session, query)


def _with_slice(session: AwaitingRequest, piece: bytes) -> AwaitingRequest:
    return replace(session, pieces=with_slice(session.pieces, piece, most_bytes=MOST_DEPOSIT_BYTES))


def _require_commitment(asked: Asked, message: RecordQuery | Deposit, purpose: "pb.Purpose.ValueType") -> None:
    """Require that the message is D3's doctor's and that c_P opens to it (X5, C7)."""
    d3 = asked.opened.payload
    if message.doctor_id != d3.doctor_id:
        raise IdentityMismatch("the message names another doctor than D3")
    if message.scope.purpose != purpose:
        raise FieldInvalid("the scope has another purpose than the message")
    opened = common.commitment(message.patient_id, common.authorization_digest(message), message.scope, message.blind)
    if opened != d3.patient_commitment:
        raise CommitmentMismatch("c_P does not open to this patient, grant and scope")


def _authorized(
    asked: Asked,
    message: RecordQuery | Deposit,
    right: "statement.Right.ValueType",
    verifier: Verifier,
    now: Instant,
) -> Grant:
    """Decide anew: on the doctor of D3, then on CRED(P), then on the grant for this hospital.

    Raises Authorization for what is wrong with the grant; Rejected for a doctor who is revoked since D3, or a false patient.
    """
    d3 = asked.opened.payload
    asked.require_still_allowed(verifier, now=now)
    if not message.HasField("grant") or not message.HasField("patient_key_statement"):
        raise GrantMissing("no grant, no record")
    with after_opening():
        patient = verifier.party(message.patient_key_statement, ROLE_PATIENT, now=now)
        if patient.identity != message.patient_id:
            raise IdentityMismatch("the patient's key statement is another patient's")
    certificate_digest = digest(d3.doctor_certificate)
    asked_class = message.scope.department_class
    named_class = None if asked_class == ANY else asked_class
    use = Use(right, asked.doctor.identity, certificate_digest, asked.hospital.identity, named_class)
    return authorize(message.grant, patient, use, verifier, now=now)


@dataclass(frozen=True, repr=False)
class ReceivedQuery:
    """D4 is open and c_P opens to it. Decide on the grant, log, then release."""

    session: AwaitingRequest
    query: RecordQuery

    def decide(self, verifier: Verifier, *, now: Instant) -> "Logged[Release]":
        """Decide on doctor, patient and grant (C1). Raises Authorization for what is wrong with the grant, else Rejected."""
        if self.query.HasField("emergency"):
            raise EmergencyNotSupported("emergencies are not served in this release")
        grant = _authorized(self.session.asked, self.query, RIGHT_READ, verifier, now)
        classes = classes_covered(grant, self.query.scope.department_class, verifier.anchors.department_classes)
        release = Release(self.session, self.query, grant, classes, self.session.sending, hashlib.sha256())
        return Logged(self.event(BEGUN), release)

    def event(self, reason: str) -> AccessEvent:
        """Give the entry for the access log."""
        return _event("READ", self.query, reason)

    def refuse(self, outcome: "pb.SessionOutcome.ValueType", *, now: Instant) -> SessionFrame:
        """Say to the confirmed doctor why there is no record."""
        end = RecordEnd(outcome=outcome, sent_at=now)
        return _end_frame(self.session.sending, "h2", end.SerializeToString(deterministic=True), now)


@dataclass(frozen=True, repr=False)
class Release:
    """The grant allows it and the log knows it: M_EMR may go, slice by slice (eq. 47)."""

    session: AwaitingRequest
    query: RecordQuery
    grant: Grant
    classes: tuple[str, ...]
    sending: Direction
    hasher: "hashlib._Hash"

    def require_still_allowed(self, verifier: Verifier, *, now: Instant) -> None:
        """Decide anew, by the lists of now, from the doctor to the grant. Raises as `ReceivedQuery.decide`."""
        _authorized(self.session.asked, self.query, RIGHT_READ, verifier, now)

    def refuse(self, outcome: "pb.SessionOutcome.ValueType", *, now: Instant) -> SessionFrame:
        """Say to the confirmed doctor, in place of what was to follow, why the record ends here."""
        end = RecordEnd(outcome=outcome, sent_at=now)
        return _end_frame(self.sending, "h2", end.SerializeToString(deterministic=True), now)

    def slice(self, piece: Piece, *, now: Instant) -> "tuple[Release, SessionFrame]":
        """Send the next slice of M_EMR || zeros."""
        hasher = self.hasher.copy()
        hasher.update(piece.content)
        sending, frame = self.sending.seal("h2", piece.padded, last=False, sent_at=now)
        return replace(self, sending=sending, hasher=hasher), frame

    def end(self, version: int, *, now: Instant) -> SessionFrame:
        """Send the last frame, signed over all of M_EMR (C8)."""
        asked = self.session.asked
        signed = common.record_transcript(
            self.session.transcript_hash,
            asked.opened.payload.patient_commitment,
            self.hasher.digest(),
            self.grant.grant_id,
            version,
            now,
        )
        end = RecordEnd(
            outcome=pb.SESSION_OUTCOME_SERVED,
            version=version,
            sent_at=now,
            signature=asked.hospital.signing_key.sign(signed),
        )
        return _end_frame(self.sending, "h2", end.SerializeToString(deterministic=True), now)


@dataclass(frozen=True, repr=False)
class ReceivedDeposit:
    """STO is whole. If H(sto) was answered before, give that answer again; else check it."""

    session: AwaitingRequest
    opened: Opened[Deposit]
    sent_at: Instant

    @property
    def digest(self) -> bytes:
        """Give H(sto plaintext)."""
        return digest(self.opened.plaintext)

    def decide(self, verifier: Verifier, *, now: Instant) -> "Logged[AcceptedDeposit]":
        """Check all that D4 would, then Sig_P2 and Sig_D5. Raises Authorization for the grant, Rejected, StaleMessage."""
        sto = self.opened.payload
        verifier.freshness.require_since(self.sent_at, heard_at=self.session.heard_at or now, now=now)
        with after_opening():
            require_same_time(sto.sent_at, self.sent_at)
            _require_commitment(self.session.asked, sto, pb.PURPOSE_STORE)
            biosignal, diagnosis = deposit_content(sto, self.session.pieces)
        grant = _authorized(self.session.asked, sto, RIGHT_WRITE, verifier, now)
        with after_opening():
            if sto.scope.department_class == ANY:
                raise FieldInvalid("a deposit names one department class")
            self._require_signatures(verifier, now)
        return Logged(self.event("OK"), AcceptedDeposit(self, grant, biosignal, diagnosis))

    def event(self, reason: str) -> AccessEvent:
        """Give the entry for the access log."""
        return _event("STORE", self.opened.payload, reason)

    def refuse(self, outcome: "pb.SessionOutcome.ValueType", *, now: Instant) -> SessionFrame:
        """Say to the confirmed doctor why the deposit is not taken."""
        end = DepositEnd(outcome=outcome, sent_at=now)
        return _end_frame(self.session.sending, "stoack", end.SerializeToString(deterministic=True), now)

    def answer(self, receipt: SignedStatement, *, now: Instant) -> SessionFrame:
        """Send STOACK: the receipt as it was signed when the deposit was kept."""
        end = DepositEnd(outcome=pb.SESSION_OUTCOME_SERVED, receipt=receipt, sent_at=now)
        return _end_frame(self.session.sending, "stoack", end.SerializeToString(deterministic=True), now)

    def _require_signatures(self, verifier: Verifier, now: Instant) -> None:
        sto, d3 = self.opened.payload, self.session.asked.opened.payload
        patient = verifier.party(sto.patient_key_statement, ROLE_PATIENT, now=now)
        # Over this doctor and the grant that is shown: one that the patient gave another doctor, or with another grant,
        # lies readable in that record's evidence, and is none here.
        biosignal = biosignal_transcript(
            sto.consultation_digest,
            d3.doctor_id,
            d3.doctor_certificate,
            sto.biosignal_digest,
            common.authorization_digest(sto),
            sto.biosignal_sent_at,
        )
        verify_signature(patient.key, sto.biosignal_signature, biosignal)
        diagnosis = diagnosis_transcript(
            sto.consultation_digest,
            sto.diagnosis_digest,
            sto.biosignal_signature,
            listing(list(sto.based_on)),
            sto.diagnosis_sent_at,
        )
        verify_signature(self.session.asked.doctor.key, sto.diagnosis_signature, diagnosis)


@dataclass(frozen=True, repr=False)
class AcceptedDeposit:
    """The deposit may be kept. Keep it and its publication in one transaction, then answer with the receipt."""

    received: ReceivedDeposit
    grant: Grant
    biosignal: bytes
    diagnosis: bytes

    def receipt(self, handle: bytes, version: int, *, now: Instant) -> SignedStatement:
        """Sign STOACK."""
        receipt = DepositReceipt(deposit_digest=self.received.digest, handle=handle, version=version, stored_at=now)
        return sign_statement("stoack", receipt, self.received.session.asked.hospital.signing_key)


def _event(kind: str, message: RecordQuery | Deposit, reason: str) -> AccessEvent:
    return AccessEvent(
        kind=kind,
        doctor_id=message.doctor_id,
        patient_id=message.patient_id,
        scope=message.scope.department_class,
        authorization=common.authorization_digest(message),
        reason=reason,
    )


def _end_frame(sending: Direction, name: str, plaintext: bytes, now: Instant) -> SessionFrame:
    return sending.seal(name, plaintext, last=True, sent_at=now)[1]
