"""The patient's side of a consultation: P1, D1, P2, D5, P6 (eq. 11-13, 20-23, 50)."""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass

from federation.errors import (
    CertificateForeign,
    IdentityMismatch,
    KeyConfirmationFailed,
    Limit,
    OutOfOrder,
    SessionExpired,
    SessionUnknown,
)
from federation.protocol import consultation as common
from federation.protocol.padding import pieces
from federation.protocol.parsing import check, parse
from federation.protocol.parties import Entropy, Party
from federation.protocol.schedule import SessionKeys, agree, derive
from federation.protocol.sealing import UNNAMED, Context, after_opening, open_payload, seal_opening
from federation.protocol.session import Direction
from federation.protocol.statements import digest_or_empty, verify_signature
from federation.protocol.time import Instant, milliseconds, require_same_time
from federation.protocol.verifier import EncryptionKey, VerifiedParty, Verifier
from federation.v1.consultation_pb2 import BiosignalDelivery, ConsultationOpening, ConsultationReply, GetRoomResponse
from federation.v1.diagnosis_pb2 import DiagnosisDelivery, DiagnosisReceipt
from federation.v1.envelope_pb2 import SealedOpening, SealedReply, SessionFrame
from federation.v1.statement_pb2 import SignedStatement
from keystore.encryption import DecryptionKey
from keystore.group import multiply_base, scalar_from_seed
from keystore.transcript import digest, listing


@dataclass(frozen=True)
class AddressedDoctor:
    """The doctor of the code that the patient scanned, verified."""

    party: VerifiedParty
    certificate: bytes
    encryption_key: EncryptionKey


def check_room(room: GetRoomResponse, code: bytes, verifier: Verifier, *, now: Instant) -> AddressedDoctor:
    """Check what the relay serves against the doctor's code, and CRED(D), Cert_D, EK_D (X13, B4).

    Raises IdentityMismatch if the relay serves somebody else's statements; Authentication, MalformedMessage.
    """
    check(room)
    served = common.code_digest(room.key_statement.statement, room.key_statement.signature, room.doctor_certificate)
    if not hmac.compare_digest(served, code):
        raise IdentityMismatch("the relay serves another doctor than the code names")
    party = verifier.doctor(room.key_statement, room.doctor_certificate, now=now)
    encryption_key = verifier.encryption_key(room.encryption_key_statement, party, now=now)
    return AddressedDoctor(party, room.doctor_certificate, encryption_key)


def begin(
    patient: Party,
    doctor: AddressedDoctor,
    biometric_password: bytes,
    verifier: Verifier,
    *,
    now: Instant,
    entropy: Entropy,
) -> "tuple[AwaitingReply, SealedOpening]":
    """Send P1: pick r5, R_P2 = r5 B (eq. 11), sign it for this doctor (eq. 13) and seal it to it (eq. 12)."""
    scalar, session_id = scalar_from_seed(entropy(64)), entropy(16)
    payload = ConsultationOpening(
        patient_id=patient.identity,
        biometric_password=biometric_password,
        registration_point=patient.self_.registration_point,
        ephemeral_point=multiply_base(scalar),
        sent_at=now,
        contribution=entropy(32),
        key_statement=patient.self_.key_statement,
        encryption_key_statement=patient.encryption_key_statement,
    )
    issuer, key_id = patient.self_.issuer_public_key, doctor.encryption_key.key_id
    payload.signature = patient.signing_key.sign(
        common.opening_transcript(payload, issuer, doctor.party.identity, key_id, session_id)
    )
    context = Context("p1", UNNAMED, doctor.party.identity, key_id, session_id, now)
    opening, plaintext = seal_opening(payload, doctor.encryption_key.encryption_key, context)
    # The pending session holds its key: the answer opens even if the epoch ends meanwhile.
    own_key = verifier.encryption_key(patient.encryption_key_statement, patient.self_, now=now).key_id
    state = AwaitingReply(
        patient, doctor, session_id, scalar, payload.contribution, plaintext, now, patient.keyring.find(own_key)
    )
    return state, opening


@dataclass(frozen=True, repr=False)
class AwaitingReply:
    """P1 is sent. r5 lives here and nowhere else."""

    patient: Party
    doctor: AddressedDoctor
    session_id: bytes
    scalar: bytes
    contribution: bytes
    opening_plaintext: bytes
    sent_at: Instant
    decryption_key: DecryptionKey

    def receive(self, reply: SealedReply, verifier: Verifier, *, now: Instant) -> "Established":
        """Take D1 (eq. 20-22). Raises precise errors for clear fields, Rejected for anything after opening."""
        check(reply)
        if reply.session_id != self.session_id:
            raise SessionUnknown("the answer belongs to another session")
        verifier.freshness.require(reply.sent_at, now=now)
        with after_opening():
            return self._accept(reply, verifier, now)

    def _accept(self, reply: SealedReply, verifier: Verifier, now: Instant) -> "Established":
        doctor = self.doctor.party
        context = Context(
            "d1",
            doctor.identity,
            self.patient.identity,
            self.decryption_key.key_id,
            self.session_id,
            reply.sent_at,
        )
        d1 = open_payload(ConsultationReply, reply.sealed, self.decryption_key, context).payload
        if d1.doctor_id != doctor.identity:
            raise IdentityMismatch("another doctor answers than the one addressed")
        if d1.doctor_certificate != self.doctor.certificate:
            raise CertificateForeign("Cert_D is not the one that was checked")
        replying = verifier.doctor(d1.key_statement, d1.doctor_certificate, now=now)
        if replying.identity != doctor.identity or replying.registration_point != d1.registration_point:
            raise IdentityMismatch("the key statement is not of the doctor who answers")
        transcript_hash = self._transcript_hash(d1, replying)
        shared = agree(self.patient.registration_secret, d1.ephemeral_point, self.scalar, replying)
        keys = derive(shared, (self.contribution, d1.contribution), transcript_hash, "PD")
        if not hmac.compare_digest(keys.key_confirmation, d1.key_confirmation):
            raise KeyConfirmationFailed("the doctor does not hold the session key")
        signed = _reply_signed(d1, replying.issuer_public_key, transcript_hash)
        verify_signature(replying.key, d1.signature, signed)
        return Established(self.patient, self.doctor, self.session_id, transcript_hash, keys, self.sent_at)

    def _transcript_hash(self, d1: ConsultationReply, doctor: VerifiedParty) -> bytes:
        return common.consultation_transcript_hash(
            self.opening_plaintext,
            d1.doctor_id,
            doctor.credential,
            d1.registration_point,
            d1.doctor_certificate,
            d1.ephemeral_point,
            d1.sent_at,
            self.session_id,
        )


@dataclass(frozen=True, repr=False)
class Established:
    """The doctor has proved itself and the key."""

    patient: Party
    doctor: AddressedDoctor
    session_id: bytes
    transcript_hash: bytes
    keys: SessionKeys
    began_at: Instant

    def deliver(
        self, biosignal: bytes, grant: SignedStatement | None, *, now: Instant
    ) -> "tuple[AwaitingDiagnosis, Iterator[SessionFrame]]":
        """Send P2 (eq. 23): M_SD in slices, then what signs it for this doctor, and the grant. Raises Limit."""
        if len(biosignal) > common.MOST_BIOSIGNAL_BYTES:
            raise Limit(f"a biosignal has at most {common.MOST_BIOSIGNAL_BYTES} bytes, not {len(biosignal)}")
        biosignal_digest = digest(biosignal)
        signed = common.biosignal_transcript(
            self.transcript_hash,
            self.doctor.party.identity,
            self.doctor.certificate,
            biosignal_digest,
            digest_or_empty("grant", grant),
            now,
        )
        payload = BiosignalDelivery(
            biosignal_size_bytes=len(biosignal),
            biosignal_digest=biosignal_digest,
            patient_id=self.patient.identity,
            sent_at=now,
            signature=self.patient.signing_key.sign(signed),
        )
        if grant is not None:
            payload.grant.CopyFrom(grant)
        check(payload)
        frames = list(_frames(Direction(self.session_id, self.keys.forward), biosignal, payload, now))
        state = AwaitingDiagnosis(
            self.patient,
            self.doctor,
            self.session_id,
            self.transcript_hash,
            Direction(self.session_id, self.keys.forward, len(frames)),
            Direction(self.session_id, self.keys.backward),
            payload.signature,
            self.began_at,
        )
        return state, iter(frames)


def _frames(direction: Direction, biosignal: bytes, payload: BiosignalDelivery, now: Instant) -> Iterator[SessionFrame]:
    for piece in pieces([biosignal]):
        direction, frame = direction.seal("p2", piece.padded, last=False, sent_at=now)
        yield frame
    yield direction.seal("p2", payload.SerializeToString(deterministic=True), last=True, sent_at=now)[1]


@dataclass(frozen=True, repr=False)
class AwaitingDiagnosis:
    """P2 is sent. This state may be kept, sealed under a token key, until the diagnosis comes (at most 12 hours)."""

    patient: Party
    doctor: AddressedDoctor
    session_id: bytes
    transcript_hash: bytes
    sending: Direction
    receiving: Direction
    biosignal_signature: bytes
    began_at: Instant

    def receive(self, frame: SessionFrame, verifier: Verifier, *, now: Instant) -> "Diagnosed":
        """Take D5 (eq. 50). Its T lies within the consultation's life; the sequence stops a replay (D2)."""
        with after_opening():
            return self._accept(frame, verifier, now)

    def _accept(self, frame: SessionFrame, verifier: Verifier, now: Instant) -> "Diagnosed":
        receiving, plaintext = self.receiving.open("d5", frame)
        if not frame.last:
            raise OutOfOrder("a diagnosis is one frame")
        d5 = parse(DiagnosisDelivery, plaintext)
        require_same_time(d5.sent_at, frame.sent_at)
        verifier.freshness.require_not_future(d5.sent_at, now=now)
        ends_at = self.began_at + milliseconds(common.CONSULTATION_LIFE)
        if not self.began_at - milliseconds(verifier.freshness.skew) <= d5.sent_at < ends_at:
            raise SessionExpired("the diagnosis was not made within the consultation's life")
        if d5.doctor_certificate != self.doctor.certificate:
            raise CertificateForeign("Cert_D is not the one of the consultation")
        doctor = verifier.doctor(self.doctor.party.key_statement, d5.doctor_certificate, now=now)
        verify_signature(doctor.key, d5.signature, self._signed(d5))
        return Diagnosed(self, receiving, d5)

    def _signed(self, d5: DiagnosisDelivery) -> bytes:
        return common.diagnosis_transcript(
            self.transcript_hash,
            digest(d5.diagnosis),
            self.biosignal_signature,
            listing(list(d5.based_on)),
            d5.sent_at,
        )


@dataclass(frozen=True, repr=False)
class Diagnosed:
    """The signed diagnosis is here: `delivery` and the consultation's TH1 are the patient's evidence."""

    consultation: AwaitingDiagnosis
    receiving: Direction
    delivery: DiagnosisDelivery

    def receipt(self, *, now: Instant) -> SessionFrame:
        """Send P6: a receipt for the diagnosis."""
        signature_digest = digest(self.delivery.signature)
        signature = self.consultation.patient.signing_key.sign(common.receipt_transcript(signature_digest, now))
        payload = DiagnosisReceipt(diagnosis_digest=signature_digest, sent_at=now, signature=signature)
        sending = self.consultation.sending
        return sending.seal("p6", payload.SerializeToString(deterministic=True), last=True, sent_at=now)[1]


def _reply_signed(d1: ConsultationReply, issuer_public_key: bytes, transcript_hash: bytes) -> bytes:
    return common.reply_transcript(
        d1.ephemeral_point,
        d1.doctor_id,
        d1.sent_at,
        d1.doctor_certificate,
        d1.key_confirmation,
        issuer_public_key,
        transcript_hash,
    )
