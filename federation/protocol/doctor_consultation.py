"""The doctor's side of a consultation: P1, D1, P2, D5, P6 (eq. 14-19, 24, 49)."""

from dataclasses import dataclass, replace

from federation.errors import (
    CredentialInvalid,
    IdentityMismatch,
    OutOfOrder,
    RecordDigestMismatch,
    SessionExpired,
    SignatureInvalid,
)
from federation.protocol import consultation as common
from federation.protocol.grant import open_grant_for
from federation.protocol.padding import padded_size, unpad_content
from federation.protocol.parsing import check, parse
from federation.protocol.parties import Entropy, Party, Pending
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
from federation.protocol.session import Direction, with_slice
from federation.protocol.statements import digest_or_empty, verify_signature
from federation.protocol.time import Instant, milliseconds, require_same_time
from federation.protocol.verifier import EncryptionKey, VerifiedParty, Verifier
from federation.v1.consultation_pb2 import BiosignalDelivery, ConsultationOpening, ConsultationReply
from federation.v1.diagnosis_pb2 import DiagnosisDelivery, DiagnosisReceipt
from federation.v1.envelope_pb2 import SealedOpening, SealedReply, SessionFrame, SessionRefusal
from federation.v1.statement_pb2 import ROLE_PATIENT, SignedStatement
from keystore.encryption import DecryptionKey
from keystore.group import multiply_base, scalar_from_seed
from keystore.transcript import digest, listing, text, transcript


def receive_opening(doctor: Party, opening: SealedOpening, verifier: Verifier, *, now: Instant) -> "Pending[Asked]":
    """Take P1 (eq. 14, 15). Raises precise errors for clear fields, Rejected for anything after opening."""
    key = find_key(opening, doctor.keyring, freshness=verifier.freshness, now=now)
    require_session_id(opening, size=16)
    with after_opening():
        asked = _accept_opening(doctor, opening, key, verifier, now)
    p1 = asked.opened.payload
    replay_key = digest(transcript("P1", text(p1.patient_id), p1.ephemeral_point))
    return Pending(replay_key, verifier.freshness.replay_key_until(now=now), asked)


def _accept_opening(
    doctor: Party, opening: SealedOpening, key: DecryptionKey, verifier: Verifier, now: Instant
) -> "Asked":
    context = Context("p1", UNNAMED, doctor.identity, key.key_id, opening.session_id, opening.sent_at)
    opened = open_payload(ConsultationOpening, opening.sealed, key, context)
    p1 = opened.payload
    patient = verifier.party(p1.key_statement, ROLE_PATIENT, now=now)
    if p1.patient_id != patient.identity or p1.registration_point != patient.registration_point:
        raise IdentityMismatch("the key statement is another patient's")
    if digest(transcript("bp", p1.biometric_password)) != patient.attribute:
        raise CredentialInvalid("the biometric password is not the one registered")
    encryption_key = verifier.encryption_key(p1.encryption_key_statement, patient, now=now)
    issuer = patient.issuer_public_key
    signed = common.opening_transcript(p1, issuer, doctor.identity, key.key_id, opening.session_id)
    verify_signature(patient.key, p1.signature, signed)
    return Asked(doctor, patient, encryption_key, opening.session_id, opened)


@dataclass(frozen=True, repr=False)
class Asked:
    """P1 held: a patient asks this doctor. It is present only once P2 confirms the key."""

    doctor: Party
    patient: VerifiedParty
    patient_key: EncryptionKey
    session_id: bytes
    opened: Opened[ConsultationOpening]

    def reply(self, *, now: Instant, entropy: Entropy) -> "tuple[AwaitingBiosignal, SealedReply]":
        """Send D1: pick r6, R_D2 = r6 B (eq. 16), derive SEK_1 (eq. 17), confirm it (eq. 18, 19)."""
        scalar, contribution = scalar_from_seed(entropy(64)), entropy(32)
        p1, doctor = self.opened.payload, self.doctor
        ephemeral_point = multiply_base(scalar)
        transcript_hash = self._transcript_hash(ephemeral_point, now)
        with after_opening():
            shared = agree(doctor.registration_secret, p1.ephemeral_point, scalar, self.patient)
        keys = derive(shared, (p1.contribution, contribution), transcript_hash, "PD")
        payload = ConsultationReply(
            doctor_id=doctor.identity,
            doctor_certificate=doctor.certificate,
            key_statement=doctor.self_.key_statement,
            registration_point=doctor.self_.registration_point,
            ephemeral_point=ephemeral_point,
            contribution=contribution,
            key_confirmation=keys.key_confirmation,
            sent_at=now,
            signature=doctor.signing_key.sign(self._signed(ephemeral_point, keys, transcript_hash, now)),
        )
        context = Context("d1", doctor.identity, p1.patient_id, self.patient_key.key_id, self.session_id, now)
        reply = seal_reply(payload, self.patient_key.encryption_key, context)
        receiving = Direction(self.session_id, keys.forward)
        sending = Direction(self.session_id, keys.backward)
        state = AwaitingBiosignal(self, transcript_hash, receiving, sending, p1.sent_at, ())
        return state, reply

    def refuse(self, *, now: Instant) -> SessionRefusal:
        """Refuse through the relay, in the one form that refusals have."""
        return SessionRefusal(session_id=self.session_id, sent_at=now)

    def _transcript_hash(self, ephemeral_point: bytes, now: Instant) -> bytes:
        own = self.doctor.self_
        return common.consultation_transcript_hash(
            self.opened.plaintext,
            own.identity,
            own.credential,
            own.registration_point,
            self.doctor.certificate,
            ephemeral_point,
            now,
            self.session_id,
        )

    def _signed(self, ephemeral_point: bytes, keys: SessionKeys, transcript_hash: bytes, now: Instant) -> bytes:
        return common.reply_transcript(
            ephemeral_point,
            self.doctor.identity,
            now,
            self.doctor.certificate,
            keys.key_confirmation,
            self.doctor.self_.issuer_public_key,
            transcript_hash,
        )


@dataclass(frozen=True, repr=False)
class AwaitingBiosignal:
    """D1 is sent; slices of M_SD come in."""

    asked: Asked
    transcript_hash: bytes
    receiving: Direction
    sending: Direction
    began_at: Instant
    pieces: tuple[bytes, ...]
    heard_at: Instant | None = None

    def receive(self, frame: SessionFrame, verifier: Verifier, *, now: Instant) -> "AwaitingBiosignal | InConsultation":
        """Take one frame of P2 (eq. 24). Opening the first confirms the key: only now is the patient present (B2).

        With the last one everything is decided anew: the patient may have been revoked since P1.
        """
        check(frame)
        heard_at = now if self.heard_at is None else self.heard_at
        verifier.freshness.require_since(frame.sent_at, heard_at=heard_at, now=now)
        with after_opening():
            receiving, plaintext = self.receiving.open("p2", frame)
            if not frame.last:
                return replace(self._with_slice(receiving, plaintext), heard_at=heard_at)
            verifier.party(self.asked.patient.key_statement, ROLE_PATIENT, now=now)
            outcome = self._complete(receiving, parse(BiosignalDelivery, plaintext), frame)
            if outcome.grant is not None:
                self._require_own_grant(outcome.grant, verifier, now)
            return outcome

    def _with_slice(self, receiving: Direction, piece: bytes) -> "AwaitingBiosignal":
        pieces = with_slice(self.pieces, piece, most_bytes=padded_size(common.MOST_BIOSIGNAL_BYTES))
        return replace(self, receiving=receiving, pieces=pieces)

    def _complete(self, receiving: Direction, p2: BiosignalDelivery, frame: SessionFrame) -> "InConsultation":
        patient = self.asked.patient
        require_same_time(p2.sent_at, frame.sent_at)
        if p2.patient_id != patient.identity:
            raise IdentityMismatch("P2 names another patient")
        biosignal = unpad_content(b"".join(self.pieces), p2.biosignal_size_bytes)
        if p2.biosignal_digest != digest(biosignal):
            raise RecordDigestMismatch("the biosignal is not the one that was signed")
        grant = p2.grant if p2.HasField("grant") else None
        signed = common.biosignal_transcript(
            self.transcript_hash,
            self.asked.doctor.identity,
            self.asked.doctor.certificate,
            p2.biosignal_digest,
            digest_or_empty("grant", grant),
            p2.sent_at,
        )
        verify_signature(patient.key, p2.signature, signed)
        return InConsultation(
            self.asked, self.transcript_hash, receiving, self.sending, self.began_at, biosignal, p2, grant
        )

    def _require_own_grant(self, signed: SignedStatement, verifier: Verifier, now: Instant) -> None:
        own = self.asked.doctor
        open_grant_for(signed, self.asked.patient, own.identity, digest(own.certificate), verifier.freshness, now=now)


@dataclass(frozen=True, repr=False)
class InConsultation:
    """The patient is present, its biosignal and grant are here."""

    asked: Asked
    transcript_hash: bytes
    receiving: Direction
    sending: Direction
    began_at: Instant
    biosignal: bytes
    delivery: BiosignalDelivery
    grant: SignedStatement | None

    def diagnose(
        self, diagnosis: bytes, record_signatures: tuple[bytes, ...], *, now: Instant
    ) -> "tuple[AwaitingReceipt, SessionFrame]":
        """Send D5 (eq. 49), signed over the biosignal's and the records' signatures that it rests on.

        Raises SessionExpired after 12 hours.
        """
        if now >= self.began_at + milliseconds(common.CONSULTATION_LIFE):
            raise SessionExpired("the consultation's life is over")
        based_on = [digest(signature) for signature in record_signatures]
        signed = common.diagnosis_transcript(
            self.transcript_hash, digest(diagnosis), self.delivery.signature, listing(based_on), now
        )
        doctor = self.asked.doctor
        payload = DiagnosisDelivery(
            diagnosis=diagnosis,
            based_on=based_on,
            doctor_certificate=doctor.certificate,
            sent_at=now,
            signature=doctor.signing_key.sign(signed),
        )
        check(payload)
        sending, frame = self.sending.seal("d5", payload.SerializeToString(deterministic=True), last=True, sent_at=now)
        return AwaitingReceipt(replace(self, sending=sending), payload), frame


@dataclass(frozen=True, repr=False)
class AwaitingReceipt:
    """D5 is sent; the patient may send a receipt."""

    consultation: InConsultation
    diagnosis: DiagnosisDelivery

    def receive(self, frame: SessionFrame, verifier: Verifier, *, now: Instant) -> DiagnosisReceipt:
        """Take P6. Raises Rejected for anything but the patient's own receipt for this diagnosis."""
        with after_opening():
            _, plaintext = self.consultation.receiving.open("p6", frame)
            if not frame.last:
                raise OutOfOrder("a receipt is one frame")
            receipt = parse(DiagnosisReceipt, plaintext)
            require_same_time(receipt.sent_at, frame.sent_at)
            verifier.freshness.require_not_future(receipt.sent_at, now=now)
            if receipt.diagnosis_digest != digest(self.diagnosis.signature):
                raise SignatureInvalid("the receipt is for another diagnosis")
            signed = common.receipt_transcript(receipt.diagnosis_digest, receipt.sent_at)
            verify_signature(self.consultation.asked.patient.key, receipt.signature, signed)
            return receipt
