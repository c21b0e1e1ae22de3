"""The doctor's side of a session with a hospital: D3, D4 or STO, and the checks of H1, H2, STOACK (eq. 33-35, 42-45, 48)."""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from federation.errors import (
    AnswerMismatch,
    Authorization,
    EmergencyNotSupported,
    FederationError,
    GrantExpired,
    GrantMissing,
    GrantRevoked,
    GrantScope,
    IdentityMismatch,
    KeyConfirmationFailed,
    MissingField,
    NoSuchRecord,
    OutOfOrder,
    SessionUnknown,
)
from federation.protocol import record as common
from federation.protocol.padding import pieces
from federation.protocol.parsing import check, parse
from federation.protocol.parties import Entropy, Party
from federation.protocol.record_content import IncomingRecord
from federation.protocol.schedule import SessionKeys, agree, derive
from federation.protocol.sealing import UNNAMED, Context, after_opening, open_payload, seal_opening
from federation.protocol.session import Direction
from federation.protocol.statements import digest_or_empty, open_statement, peek_statement, verify_signature
from federation.protocol.time import Instant, require_same_time
from federation.protocol.verifier import EncryptionKey, VerifiedParty, Verifier
from federation.v1 import record_pb2 as pb
from federation.v1.envelope_pb2 import SealedOpening, SealedReply, SessionFrame
from federation.v1.record_pb2 import (
    Deposit,
    DepositEnd,
    DepositReceipt,
    RecordEnd,
    RecordOpening,
    RecordQuery,
    RecordReply,
    Scope,
)
from federation.v1.statement_pb2 import ROLE_HOSPITAL, Grant, SignedStatement
from keystore.encryption import DecryptionKey
from keystore.group import multiply_base, scalar_from_seed
from keystore.transcript import digest

_ERRORS: dict["pb.SessionOutcome.ValueType", type[FederationError]] = {
    pb.SESSION_OUTCOME_NO_RECORD: NoSuchRecord,
    pb.SESSION_OUTCOME_GRANT_EXPIRED: GrantExpired,
    pb.SESSION_OUTCOME_GRANT_REVOKED: GrantRevoked,
    pb.SESSION_OUTCOME_GRANT_SCOPE: GrantScope,
    pb.SESSION_OUTCOME_GRANT_MISSING: GrantMissing,
    pb.SESSION_OUTCOME_EMERGENCY_REFUSED: EmergencyNotSupported,
}


@dataclass(frozen=True)
class AddressedHospital:
    """The hospital that the doctor addresses, verified."""

    party: VerifiedParty
    encryption_key: EncryptionKey


@dataclass(frozen=True, repr=False)
class Intent:
    """What the session is for: c_P commits to it. `blind` is rho; keep the intent to repeat a deposit."""

    patient_id: str
    scope: Scope
    grant: SignedStatement | None
    patient_key_statement: SignedStatement | None
    blind: bytes

    @property
    def commitment(self) -> bytes:
        """Give c_P."""
        return common.commitment(self.patient_id, digest_or_empty("grant", self.grant), self.scope, self.blind)


def begin(
    doctor: Party,
    hospital: AddressedHospital,
    intent: Intent,
    verifier: Verifier,
    *,
    now: Instant,
    entropy: Entropy,
) -> "tuple[AwaitingReply, SealedOpening]":
    """Send D3: pick r7, R_D3 = r7 B (eq. 33), commit to the patient, sign for this hospital (eq. 35), seal (eq. 34)."""
    scalar, session_id = scalar_from_seed(entropy(64)), entropy(16)
    payload = RecordOpening(
        doctor_certificate=doctor.certificate,
        sent_at=now,
        doctor_id=doctor.identity,
        ephemeral_point=multiply_base(scalar),
        registration_point=doctor.self_.registration_point,
        patient_commitment=intent.commitment,
        contribution=entropy(32),
        key_statement=doctor.self_.key_statement,
        encryption_key_statement=doctor.encryption_key_statement,
    )
    issuer, key_id = doctor.self_.issuer_public_key, hospital.encryption_key.key_id
    payload.signature = doctor.signing_key.sign(
        common.opening_transcript(payload, issuer, hospital.party.identity, key_id, session_id)
    )
    context = Context("d3", UNNAMED, hospital.party.identity, key_id, session_id, now)
    opening, plaintext = seal_opening(payload, hospital.encryption_key.encryption_key, context)
    own_key = verifier.encryption_key(doctor.encryption_key_statement, doctor.self_, now=now).key_id
    state = AwaitingReply(
        doctor, hospital, intent, session_id, scalar, payload.contribution, plaintext, doctor.keyring.find(own_key)
    )
    return state, opening


@dataclass(frozen=True, repr=False)
class AwaitingReply:
    """D3 is sent. r7 lives here and nowhere else."""

    doctor: Party
    hospital: AddressedHospital
    intent: Intent
    session_id: bytes
    scalar: bytes
    contribution: bytes
    opening_plaintext: bytes
    decryption_key: DecryptionKey

    def receive(self, reply: SealedReply, verifier: Verifier, *, now: Instant) -> "Established":
        """Take H1 (eq. 42-44). Raises precise errors for clear fields, Rejected for anything after opening."""
        check(reply)
        if reply.session_id != self.session_id:
            raise SessionUnknown("the answer belongs to another session")
        verifier.freshness.require(reply.sent_at, now=now)
        with after_opening():
            return self._accept(reply, verifier, now)

    def _accept(self, reply: SealedReply, verifier: Verifier, now: Instant) -> "Established":
        addressed = self.hospital.party.identity
        key_id = self.decryption_key.key_id
        context = Context("h1", addressed, self.doctor.identity, key_id, self.session_id, reply.sent_at)
        h1 = open_payload(RecordReply, reply.sealed, self.decryption_key, context).payload
        if h1.hospital_id != addressed:
            raise IdentityMismatch("another hospital answers than the one addressed")
        hospital = verifier.party(h1.key_statement, ROLE_HOSPITAL, now=now)
        if hospital.identity != addressed or hospital.registration_point != h1.registration_point:
            raise IdentityMismatch("the key statement is not of the hospital that answers")
        transcript_hash = common.session_transcript_hash(
            self.opening_plaintext,
            h1.hospital_id,
            hospital.credential,
            h1.registration_point,
            h1.ephemeral_point,
            h1.sent_at,
            self.session_id,
        )
        shared = agree(self.doctor.registration_secret, h1.ephemeral_point, self.scalar, hospital)
        keys = derive(shared, (self.contribution, h1.contribution), transcript_hash, "DH")
        if not hmac.compare_digest(keys.key_confirmation, h1.key_confirmation):
            raise KeyConfirmationFailed("the hospital does not hold the session key")
        signed = common.reply_transcript(h1, hospital.issuer_public_key, transcript_hash)
        verify_signature(hospital.key, h1.signature, signed)
        return Established(self.doctor, hospital, self.intent, self.session_id, transcript_hash, keys)


@dataclass(frozen=True, repr=False)
class Established:
    """The hospital has proved itself and the key."""

    doctor: Party
    hospital: VerifiedParty
    intent: Intent
    session_id: bytes
    transcript_hash: bytes
    keys: SessionKeys

    def query(self, *, now: Instant) -> "tuple[AwaitingRecord, SessionFrame]":
        """Send D4 (eq. 45): open c_P and show the grant."""
        intent = self.intent
        payload = RecordQuery(
            patient_id=intent.patient_id,
            doctor_id=self.doctor.identity,
            sent_at=now,
            doctor_certificate_digest=digest(self.doctor.certificate),
            blind=intent.blind,
            scope=intent.scope,
            grant=intent.grant,
            patient_key_statement=intent.patient_key_statement,
        )
        check(payload)
        sending = Direction(self.session_id, self.keys.forward)
        plaintext = payload.SerializeToString(deterministic=True)
        _, frame = sending.seal("d4", plaintext, last=True, sent_at=now)
        receiving = Direction(self.session_id, self.keys.backward)
        return AwaitingRecord(self, receiving, IncomingRecord(), _grant_id(intent.grant)), frame

    def deposit(
        self, biosignal: bytes, diagnosis: bytes, deposit: Deposit
    ) -> "tuple[AwaitingReceipt, Iterator[SessionFrame]]":
        """Send STO: M_SD and M_DINF in slices, then the deposit. The same deposit may be sent again in a new session."""
        check(deposit)
        plaintext = deposit.SerializeToString(deterministic=True)
        receiving = Direction(self.session_id, self.keys.backward)
        state = AwaitingReceipt(self.hospital, receiving, digest(plaintext))
        return state, self._deposit_frames(biosignal + diagnosis, plaintext, deposit.sent_at)

    def _deposit_frames(self, content: bytes, plaintext: bytes, sent_at: Instant) -> Iterator[SessionFrame]:
        sending = Direction(self.session_id, self.keys.forward)
        for piece in pieces([content]):
            sending, frame = sending.seal("sto", piece.padded, last=False, sent_at=sent_at)
            yield frame
        yield sending.seal("sto", plaintext, last=True, sent_at=sent_at)[1]


@dataclass(frozen=True, repr=False)
class Slice:
    """What a slice holds of M_EMR, its padding aside; not proved yet: spool it, show nothing (C8)."""

    content: bytes


@dataclass(frozen=True)
class Received:
    """M_EMR is whole and signed by the hospital."""

    record_digest: bytes
    end: RecordEnd


@dataclass(frozen=True, repr=False)
class AwaitingRecord:
    """D4 is sent; M_EMR comes in."""

    session: Established
    receiving: Direction
    incoming: IncomingRecord
    grant_id: bytes

    def receive(
        self, frame: SessionFrame, verifier: Verifier, *, now: Instant
    ) -> "tuple[AwaitingRecord, Slice | Received]":
        """Take one frame of H2 (eq. 48). T is checked on the first.

        Raises NotFound or Authorization for what the hospital says is wrong, Rejected for a false record.
        """
        check(frame)
        if frame.sequence == 0:
            verifier.freshness.require(frame.sent_at, now=now)
        with after_opening():
            receiving, plaintext = self.receiving.open("h2", frame)
            if not frame.last:
                incoming, content = self.incoming.take(plaintext)
                return replace(self, receiving=receiving, incoming=incoming), Slice(content)
            end = parse(RecordEnd, plaintext)
            require_same_time(end.sent_at, frame.sent_at)
            if end.outcome == pb.SESSION_OUTCOME_SERVED:
                # A large record takes its time: the hospital may have been revoked since H1.
                verifier.party(self.session.hospital.key_statement, ROLE_HOSPITAL, now=now)
                return replace(self, receiving=receiving), self._complete(end)
        raise _refusal(end.outcome)

    def _complete(self, end: RecordEnd) -> Received:
        if not end.HasField("signature") or not end.HasField("version"):
            raise MissingField("a served record is signed")
        record_digest = self.incoming.whole_digest()
        session = self.session
        signed = common.record_transcript(
            session.transcript_hash,
            session.intent.commitment,
            record_digest,
            self.grant_id,
            end.version,
            end.sent_at,
        )
        verify_signature(session.hospital.key, end.signature, signed)
        return Received(record_digest, end)


@dataclass(frozen=True)
class AwaitingReceipt:
    """STO is sent."""

    hospital: VerifiedParty
    receiving: Direction
    deposit_digest: bytes

    def receive(self, frame: SessionFrame, *, now: Instant) -> tuple[DepositReceipt, SignedStatement]:
        """Take STOACK: the receipt, and as the hospital signed it. Raises as for a record."""
        del now  # the receipt of a deposit that was made before is as old as that deposit
        with after_opening():
            _, plaintext = self.receiving.open("stoack", frame)
            if not frame.last:
                raise OutOfOrder("a receipt is one frame")
            end = parse(DepositEnd, plaintext)
            require_same_time(end.sent_at, frame.sent_at)
            if end.outcome == pb.SESSION_OUTCOME_SERVED:
                return self._receipt(end)
        raise _refusal(end.outcome)

    def _receipt(self, end: DepositEnd) -> tuple[DepositReceipt, SignedStatement]:
        if not end.HasField("receipt"):
            raise MissingField("a served deposit has a receipt")
        receipt = verify_deposit_receipt(end.receipt, self.hospital.key)
        if receipt.deposit_digest != self.deposit_digest:
            raise AnswerMismatch("the receipt is for another deposit")
        return receipt, end.receipt


def verify_deposit_receipt(signed: SignedStatement, hospital_key: Ed25519PublicKey) -> DepositReceipt:
    """Verify STOACK by PRK_HPC's public key. Raises SignatureInvalid, MalformedMessage."""
    return open_statement("stoack", DepositReceipt, signed, hospital_key)


def _refusal(outcome: "pb.SessionOutcome.ValueType") -> FederationError:
    return _ERRORS.get(outcome, Authorization)("the hospital refuses: " + common.OUTCOME_NAMES[outcome])


def _grant_id(grant: SignedStatement | None) -> bytes:
    return b"" if grant is None else peek_statement(Grant, grant).grant_id
