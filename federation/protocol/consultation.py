"""Consultation, Chen et al. 2020, eq. 11-24, 49, 50: both sides.

P1  The patient, who has the doctor's statements from the relay and checked them against the doctor's code, sends its
    identity, B_P and R_P2 = r5 B sealed to the doctor, signed for this doctor.
D1  The doctor checks who the patient is, picks r6, and both compute SEK_1 from K = S_D R_P2 + r6 U_P = S_P R_D2 + r5 U_D
    and Z = r5 r6 B. The doctor proves that it has the key by kc_D, and who it is by its signature.
P2  The patient, only then, sends M_SD and its grant under SEK_1: this confirms the key to the doctor.
D5  The doctor signs its diagnosis over what it rests on. A further one amends it: it names the newest before it.
P6  The patient gives a receipt, for each.

Long because it is one exchange seen from both of its sides: what each builds must fit the other.

Before, the doctor opens a room of the relay, and closes it after: it shows who it is, in clear, signed for this hospital. Nothing
of that is secret: a room's statements are served to whoever has the room's number. So refusals are precise.

P1 and D1 are the handshake's, with the row `CONSULTATION`; the room comes last, after the patient's states and the doctor's.
"""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from federation.errors import (
    AmendmentMismatch,
    CertificateForeign,
    CredentialInvalid,
    IdentityMismatch,
    Limit,
    RecordDigestMismatch,
    SessionExpired,
    SignatureInvalid,
)
from federation.protocol import access, handshake
from federation.protocol.access import Question, Receiver
from federation.protocol.duty import verify_duty
from federation.protocol.frames import (
    MOST_BIOSIGNAL_BYTES,
    Direction,
    padded_size,
    parse_last,
    pieces,
    unpad_content,
    with_slice,
)
from federation.protocol.handshake import AwaitingReply, Kind, ReceivedOpening, Session, Side
from federation.protocol.parsing import check
from federation.protocol.parties import Entropy, Party, Pending
from federation.protocol.sealing import after_opening
from federation.protocol.shown import Shown, asker_of
from federation.protocol.statements import Signed
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import Peer, VerifiedParty, Verifier
from federation.v1.access_pb2 import Consent, ShownDuty
from federation.v1.consultation_pb2 import (
    BiosignalDelivery,
    ConsultationOpening,
    ConsultationReply,
    GetRoomResponse,
)
from federation.v1.diagnosis_pb2 import DiagnosisDelivery, DiagnosisReceipt
from federation.v1.envelope_pb2 import SealedOpening, SessionFrame
from federation.v1.search_pb2 import KeptPlaces
from federation.v1.statement_pb2 import ROLE_DOCTOR, ROLE_PATIENT
from keystore.identities import DoctorId, HospitalId, PatientId
from keystore.transcript import digest, listing, text, transcript, u64

CONSULTATION_LIFE = timedelta(hours=12)

MOST_AMENDMENTS = 8
"""Of one consultation's diagnosis. Frame k of the doctor's direction is D5 k, so its number counts them."""


def code_digest(key_statement: bytes, signature: bytes, certificate: bytes) -> bytes:
    """Return SHA-256(T("code", KS_D, its signature, Cert_D)): what the doctor's code shows (X13, B4)."""
    return digest(transcript("code", key_statement, signature, certificate))


def opening_transcript(
    opening: ConsultationOpening, issuer_public_key: bytes, doctor_id: str, key_id: bytes, session_id: bytes
) -> bytes:
    """Return what Sig_P1 covers: eq. 13, and the doctor (B4)."""
    return transcript(
        "P1",
        opening.registration_point,
        text(opening.patient_id),
        opening.agreement_point,
        opening.ephemeral_point,
        opening.biometric_password,
        issuer_public_key,
        u64(opening.sent_at),
        text(doctor_id),
        opening.responder_serial,
        key_id,
        session_id,
        digest(opening.contribution),
    )


def consultation_transcript_hash(
    opening_plaintext: bytes, reply: ConsultationReply, credential: bytes, session_id: bytes
) -> bytes:
    """Return TH1 = H(T("th1", H(p1 plaintext), ID_D, M_D, R_D1, H(Cert_D), R_D2, E_D, T_D1, session id)) (B11, B13)."""
    return digest(
        transcript(
            "th1",
            digest(opening_plaintext),
            text(reply.doctor_id),
            credential,
            reply.registration_point,
            digest(reply.doctor_certificate),
            reply.agreement_point,
            reply.ephemeral_point,
            u64(reply.sent_at),
            session_id,
        )
    )


def reply_transcript(reply: ConsultationReply, issuer_public_key: bytes, transcript_hash: bytes) -> bytes:
    """Return what Sig_D1 covers: eq. 19 with kc_D in SEK_1's slot (B5)."""
    return transcript(
        "D1",
        reply.agreement_point,
        reply.ephemeral_point,
        text(reply.doctor_id),
        u64(reply.sent_at),
        digest(reply.doctor_certificate),
        reply.key_confirmation,
        issuer_public_key,
        transcript_hash,
    )


def biosignal_transcript(
    transcript_hash: bytes,
    doctor_id: DoctorId,
    certificate: bytes,
    patient_id: PatientId,
    biosignal_digest: bytes,
    grant_digest: bytes,
    sent_at: Instant,
) -> bytes:
    """Return what Sig_P2 covers: T("P2", TH1, ID_D, H(Cert_D), ID_P, H(M_SD), H(grant) or empty, T_P2) (B15).

    Whom the patient addressed, and whose visit it is, stand in it in clear fields: it fits no other doctor's deposit, and a
    judge needs no TH1.
    """
    people = text(doctor_id), digest(certificate), text(patient_id)
    return transcript("P2", transcript_hash, *people, biosignal_digest, grant_digest, u64(sent_at))


def diagnosis_transcript(
    transcript_hash: bytes,
    diagnosis_digest: bytes,
    biosignal_signature: bytes,
    based_on: bytes,
    sent_at: Instant,
    amends: bytes = b"",
) -> bytes:
    """Return what Sig_D5 covers: T("D5", TH1, H(M_DINF), H(Sig_P2), [H(Sig_HPC2)...], T_D5, amends) (D1 of the findings).

    `amends` is H(Sig_D5) of the diagnosis whose place it takes; empty for none.
    """
    rests_on = digest(biosignal_signature), based_on
    return transcript("D5", transcript_hash, diagnosis_digest, *rests_on, u64(sent_at), amends)


def receipt_transcript(diagnosis_signature_digest: bytes, sent_at: Instant) -> bytes:
    """Return what P6's signature covers: T("P6", H(Sig_D5), T)."""
    return transcript("P6", diagnosis_signature_digest, u64(sent_at))


def _require_biometric_password(opening: ConsultationOpening, patient: VerifiedParty) -> None:
    if digest(transcript("bp", opening.biometric_password)) != patient.attribute:
        raise CredentialInvalid("the biometric password is not the one registered")  # P1.5


CONSULTATION = Kind(
    initiator=Side("P1", ConsultationOpening, (ROLE_PATIENT,), lambda p1: p1.patient_id),
    responder=Side("D1", ConsultationReply, (ROLE_DOCTOR,), lambda d1: d1.doctor_id, lambda d1: d1.doctor_certificate),
    opening_transcript=opening_transcript,
    transcript_hash=consultation_transcript_hash,
    reply_transcript=reply_transcript,
    key_roles="PD",
    reply_of=lambda doctor: ConsultationReply(doctor_id=doctor.identity, doctor_certificate=doctor.certificate),
    require_opening=_require_biometric_password,
)


def check_room(room: GetRoomResponse, code: bytes, verifier: Verifier, *, now: Instant) -> Peer:
    """Check what the relay serves against the doctor's code, and CRED(D), Cert_D, EK_D (X13, B4).

    Raises IdentityMismatch if the relay serves somebody else's statements; Authentication, MalformedMessage.
    """
    check(room)  # code.1
    served = code_digest(room.key_statement.statement, room.key_statement.signature, room.doctor_certificate)
    if not hmac.compare_digest(served, code):
        raise IdentityMismatch("the relay serves another doctor than the code names")  # code.2
    party = verifier.doctor(room.key_statement, room.doctor_certificate, now=now)  # code.3
    encryption_key = verifier.encryption_key(room.encryption_key_statement, party, now=now)  # code.4
    return Peer(party, encryption_key, room.doctor_certificate)


def check_duty(
    room: GetRoomResponse, doctor: Peer, hospital_id: HospitalId, verifier: Verifier, *, now: Instant
) -> access.Duty:
    """Check that the room's doctor is on duty at the relay's hospital, and give where: what the patient is shown.

    Raises DutyInvalid, DutyExpired, DutyRevoked; Authentication, MalformedMessage.
    """
    return verify_duty(room.duty, doctor.party, hospital_id, verifier, now=now)


def begin(
    patient: Party, doctor: Peer, biometric_password: bytes, verifier: Verifier, *, now: Instant, entropy: Entropy
) -> "tuple[AwaitingReply[ConsultationOpening, ConsultationReply, Established], SealedOpening]":
    """Send P1 (eq. 11-13) to the doctor of a code."""
    opening = ConsultationOpening(patient_id=patient.identity, biometric_password=biometric_password)
    return handshake.begin(CONSULTATION, patient, doctor, opening, verifier, Established, now=now, entropy=entropy)


@dataclass(frozen=True, repr=False)
class Established:
    """The doctor has proved itself and the key."""

    session: Session

    def deliver(
        self, biosignal: bytes, shown: Shown, *, now: Instant, places: KeptPlaces | None = None
    ) -> "tuple[AwaitingDiagnosis, Iterator[SessionFrame]]":
        """Send P2 (eq. 23): M_SD in slices, then what signs it for this doctor, and the consent. Raises Limit.

        `shown` is whose visit it is, and the consent, if there is one: signed by this patient, for itself or as a deputy.
        `places` is where it has records, for where the public cloud is silent.
        """
        if len(biosignal) > MOST_BIOSIGNAL_BYTES:
            raise Limit(f"a biosignal has at most {MOST_BIOSIGNAL_BYTES} bytes, not {len(biosignal)}")
        session, doctor, biosignal_digest = self.session, self.session.peer, digest(biosignal)
        signed = biosignal_transcript(
            session.transcript_hash,
            doctor.doctor_id,
            doctor.certificate,
            shown.patient_id,
            biosignal_digest,
            shown.grant_digest,
            now,
        )
        payload = BiosignalDelivery(
            biosignal_size_bytes=len(biosignal),
            biosignal_digest=biosignal_digest,
            patient_id=shown.patient_id,
            sent_at=now,
            signature=session.signing_key.sign(signed),
            consent=shown.consent,
            places=places,
        )
        check(payload)
        frames = list(_frames(session.sending, biosignal, payload, now))
        state = AwaitingDiagnosis(
            patient=session.own,
            doctor=doctor,
            session_id=session.session_id,
            transcript_hash=session.transcript_hash,
            sending=replace(session.sending, sequence=len(frames)),
            receiving=session.receiving,
            biosignal_signature=payload.signature,
            began_at=session.began_at,
        )
        return state, iter(frames)


def _frames(direction: Direction, biosignal: bytes, payload: BiosignalDelivery, now: Instant) -> Iterator[SessionFrame]:
    for piece in pieces([biosignal]):
        direction, frame = direction.seal("p2", piece.padded, last=False, sent_at=now)
        yield frame
    yield direction.seal_message("p2", payload, sent_at=now)[1]


@dataclass(frozen=True, repr=False)
class AwaitingDiagnosis:
    """P2 is sent. This state may be kept, sealed under a token key, until the diagnosis comes (at most 12 hours).

    `newest` is H(Sig_D5) of the diagnosis that came last, empty before the first: the next one has to amend it.
    """

    patient: Party
    doctor: Peer
    session_id: bytes
    transcript_hash: bytes
    sending: Direction
    receiving: Direction
    biosignal_signature: bytes
    began_at: Instant
    newest: bytes = b""

    def receive(self, frame: SessionFrame, verifier: Verifier, *, now: Instant) -> "Diagnosed":
        """Take D5 (eq. 50), the first or one that amends the newest.

        Its T lies within the consultation's life; the sequence stops a replay (D2).
        """
        with after_opening():
            return self._accept(frame, verifier, now)

    def _accept(self, frame: SessionFrame, verifier: Verifier, now: Instant) -> "Diagnosed":
        receiving, opened = self.receiving.open_message("d5", frame, DiagnosisDelivery)  # D5.1, D5.2, D5.3, D5.4
        d5 = opened.payload
        verifier.freshness.require_not_future(d5.sent_at, now=now)  # D5.5
        ends_at = self.began_at + milliseconds(CONSULTATION_LIFE)
        if not self.began_at - milliseconds(verifier.freshness.skew) <= d5.sent_at < ends_at:
            raise SessionExpired("the diagnosis was not made within the consultation's life")  # D5.6
        if d5.doctor_certificate != self.doctor.certificate:
            raise CertificateForeign("Cert_D is not the one of the consultation")  # D5.7
        self.doctor.require_still_good(verifier, now=now)  # D5.8
        covered = _diagnosis_signed(d5, self.transcript_hash, self.biosignal_signature)
        signed = Signed("D5", covered, d5.signature, opened.plaintext)
        signed.verify(self.doctor.key)  # D5.9
        if self.receiving.sequence > MOST_AMENDMENTS:
            raise Limit(f"a diagnosis is amended at most {MOST_AMENDMENTS} times")  # D5.10
        if not hmac.compare_digest(d5.amends, self.newest):
            raise AmendmentMismatch("the diagnosis does not amend the newest before it")  # D5.11
        return Diagnosed(self, receiving, d5, signed)


@dataclass(frozen=True, repr=False)
class Diagnosed:
    """The signed diagnosis is here: it and the consultation's TH1 are the patient's evidence."""

    consultation: AwaitingDiagnosis
    receiving: Direction
    delivery: DiagnosisDelivery
    signed: Signed

    def receipt(self, *, now: Instant) -> tuple[AwaitingDiagnosis, SessionFrame]:
        """Send P6, a receipt for the diagnosis; the state that follows takes an amendment.

        P6 k answers D5 k under that number, so a receipt that never arrives leaves no gap for the next one.
        """
        signature_digest, held = digest(self.delivery.signature), self.consultation
        signature = held.patient.signing_key.sign(receipt_transcript(signature_digest, now))
        payload = DiagnosisReceipt(diagnosis_digest=signature_digest, sent_at=now, signature=signature)
        sending, frame = held.sending.seal_message("p6", payload, sent_at=now)
        return replace(held, sending=sending, receiving=self.receiving, newest=signature_digest), frame


def receive_opening(
    doctor: Party, opening: SealedOpening, verifier: Verifier, *, now: Instant
) -> "Pending[ReceivedOpening[ConsultationOpening, ConsultationReply, AwaitingBiosignal]]":
    """Take P1 (eq. 14, 15). Raises precise errors for clear fields, Rejected for anything after opening."""
    return handshake.receive_opening(CONSULTATION, doctor, opening, verifier, _replied, now=now)


def _replied(session: Session, _opening: ConsultationOpening) -> "AwaitingBiosignal":
    return AwaitingBiosignal(session, session.receiving)


@dataclass(frozen=True, repr=False)
class AwaitingBiosignal:
    """D1 is sent; slices of M_SD come in."""

    session: Session
    receiving: Direction
    pieces: tuple[bytes, ...] = ()
    heard_at: Instant | None = None

    @property
    def patient(self) -> VerifiedParty:
        """Return who asks: present only once P2 has confirmed the key."""
        return self.session.peer.party

    def receive(
        self, frame: SessionFrame, verifier: Verifier, duty: ShownDuty | None = None, *, now: Instant
    ) -> "AwaitingBiosignal | InConsultation":
        """Take one frame of P2 (eq. 24). Opening the first confirms the key: only now is the patient present (B2).

        With the last one everything is decided anew: the patient may have been revoked since P1. `duty` is the doctor's own.
        """
        check(frame)  # P2.1
        heard_at = now if self.heard_at is None else self.heard_at
        verifier.freshness.require_since(frame.sent_at, heard_at=heard_at, now=now)  # P2.2
        with after_opening():
            receiving, plaintext = self.receiving.open("p2", frame)  # P2.3
            if not frame.last:
                return self._with_slice(receiving, plaintext, heard_at)
            self.session.peer.require_still_good(verifier, now=now)  # P2.5
            present = self._complete(receiving, plaintext, frame, duty)
            if present.shown.consent is not None:
                self._require_consent(present.shown, present.shown.consent, verifier, now)
            return present

    def _with_slice(self, receiving: Direction, piece: bytes, heard_at: Instant) -> "AwaitingBiosignal":
        slices = with_slice(self.pieces, piece, most_bytes=padded_size(MOST_BIOSIGNAL_BYTES))  # P2.4
        return replace(self, receiving=receiving, pieces=slices, heard_at=heard_at)

    def _complete(
        self, receiving: Direction, plaintext: bytes, frame: SessionFrame, duty: ShownDuty | None
    ) -> "InConsultation":
        session, p2 = self.session, parse_last(plaintext, frame, BiosignalDelivery).payload  # P2.6, P2.7
        if p2.patient_id != self.patient.identity and not p2.consent.HasField("deputyship"):
            raise IdentityMismatch("P2 names another patient, and no deputyship for it")  # P2.8
        biosignal = unpad_content(b"".join(self.pieces), p2.biosignal_size_bytes)  # P2.9
        if p2.biosignal_digest != digest(biosignal):
            raise RecordDigestMismatch("the biosignal is not the one that was signed")  # P2.10
        consent = p2.consent if p2.HasField("consent") else None
        doctor, shown = session.own, Shown.by_consent(consent, PatientId(p2.patient_id), duty)
        covered = biosignal_transcript(
            session.transcript_hash,
            doctor.doctor_id,
            doctor.certificate,
            shown.patient_id,
            p2.biosignal_digest,
            shown.grant_digest,
            p2.sent_at,
        )
        signed = Signed("P2", covered, p2.signature, plaintext)
        signed.verify(self.patient.key)  # P2.11
        return InConsultation(session, session.sending, receiving, biosignal, p2, signed, shown)

    def _require_consent(self, shown: Shown, consent: Consent, verifier: Verifier, now: Instant) -> None:
        """Require that this patient signed the consent, for this doctor: it is of use now."""
        if consent.key_statement != self.patient.key_statement:
            raise IdentityMismatch("the consent is of another patient than the one who came")  # P2.12
        own = self.session.own.self_
        question = Question(asker_of(own), None, shown.patient_id)
        shown.decide(own, question, verifier, Receiver(), now=now)  # P2.13


@dataclass(frozen=True, repr=False)
class InConsultation:
    """The patient is present, its biosignal and consent are here: `shown` is what the doctor may show elsewhere.

    Whose visit it is stands in `shown`: the patient's who came, or of one whom it stands for.
    """

    session: Session
    sending: Direction
    receiving: Direction
    biosignal: bytes
    delivery: BiosignalDelivery
    signed: Signed
    shown: Shown

    @property
    def patient(self) -> VerifiedParty:
        """Return who came: the patient, or its deputy."""
        return self.session.peer.party

    @property
    def patient_id(self) -> PatientId:
        """Return whose visit it is."""
        return self.shown.patient_id

    @property
    def places(self) -> KeptPlaces | None:
        """Return where the patient says that it has records, unverified; None where it says nothing."""
        return self.delivery.places if self.delivery.HasField("places") else None

    def diagnose(
        self, diagnosis: bytes, record_signatures: tuple[bytes, ...], *, now: Instant
    ) -> "tuple[AwaitingReceipt, SessionFrame]":
        """Send D5 (eq. 49), signed over the biosignal's and the records' signatures that it rests on.

        Raises SessionExpired after 12 hours.
        """
        return _delivered(self, diagnosis, record_signatures, None, now)


def _delivered(
    consultation: InConsultation,
    diagnosis: bytes,
    record_signatures: tuple[bytes, ...],
    amends: bytes | None,
    now: Instant,
) -> "tuple[AwaitingReceipt, SessionFrame]":
    session = consultation.session
    if now >= session.began_at + milliseconds(CONSULTATION_LIFE):
        raise SessionExpired("the consultation's life is over")
    payload = DiagnosisDelivery(
        diagnosis=diagnosis,
        based_on=[digest(signature) for signature in record_signatures],
        doctor_certificate=session.own.certificate,
        sent_at=now,
        amends=amends,
    )
    covered = _diagnosis_signed(payload, session.transcript_hash, consultation.delivery.signature)
    payload.signature = session.own.signing_key.sign(covered)
    check(payload)
    sending, frame = consultation.sending.seal_message("d5", payload, sent_at=now)
    signed = Signed("D5", covered, payload.signature, payload.SerializeToString(deterministic=True))
    return AwaitingReceipt(replace(consultation, sending=sending), payload, signed), frame


@dataclass(frozen=True, repr=False)
class AwaitingReceipt:
    """D5 is sent; the patient may send a receipt, and the doctor may amend it."""

    consultation: InConsultation
    diagnosis: DiagnosisDelivery
    signed: Signed

    @property
    def session_id(self) -> bytes:
        """Return the session's id."""
        return self.consultation.session.session_id

    @property
    def is_last(self) -> bool:
        """Return whether this one can't be amended: it was so often as it may be."""
        return self.consultation.sending.sequence > MOST_AMENDMENTS

    def amend(
        self, diagnosis: bytes, record_signatures: tuple[bytes, ...], *, now: Instant
    ) -> "tuple[AwaitingReceipt, SessionFrame]":
        """Send a further D5, which takes the place of this one and names it by H(Sig_D5). This state still takes its own P6.

        Raises SessionExpired after 12 hours, Limit.
        """
        if self.is_last:
            raise Limit(f"a diagnosis is amended at most {MOST_AMENDMENTS} times")
        receiving = self.consultation.receiving
        # P6 of this D5 has the number before, whether it comes or not.
        after = replace(self.consultation, receiving=replace(receiving, sequence=receiving.sequence + 1))
        return _delivered(after, diagnosis, record_signatures, digest(self.diagnosis.signature), now)

    def receive(self, frame: SessionFrame, verifier: Verifier, *, now: Instant) -> tuple[DiagnosisReceipt, Signed]:
        """Take P6. Raises Rejected for anything but the patient's own receipt for this diagnosis."""
        with after_opening():
            # P6.1, P6.2, P6.3, P6.4
            _, opened = self.consultation.receiving.open_message("p6", frame, DiagnosisReceipt)
            receipt = opened.payload
            verifier.freshness.require_not_future(receipt.sent_at, now=now)  # P6.5
            if receipt.diagnosis_digest != digest(self.diagnosis.signature):
                raise SignatureInvalid("the receipt is for another diagnosis")  # P6.6
            covered = receipt_transcript(receipt.diagnosis_digest, receipt.sent_at)
            signed = Signed("P6", covered, receipt.signature, opened.plaintext)
            signed.verify(self.consultation.patient.key)  # P6.7
            return receipt, signed


def _diagnosis_signed(d5: DiagnosisDelivery, transcript_hash: bytes, biosignal_signature: bytes) -> bytes:
    based_on = listing(list(d5.based_on))
    diagnosis_digest = digest(d5.diagnosis)
    return diagnosis_transcript(transcript_hash, diagnosis_digest, biosignal_signature, based_on, d5.sent_at, d5.amends)
