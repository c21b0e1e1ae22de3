"""What each message leaves as evidence: the transcript that its signature covers, rebuilt from the verified message."""

from federation.person.evidence import Exhibit
from federation.protocol import consultation, doctor_record, patient_consultation, record, search
from federation.protocol.anchors import Anchors
from federation.protocol.doctor_consultation import AwaitingReceipt, InConsultation
from federation.protocol.parsing import parse
from federation.protocol.patient_consultation import Diagnosed
from federation.protocol.sealing import Context, open_payload
from federation.protocol.statements import digest_or_empty, peek_statement
from federation.protocol.verifier import VerifiedParty
from federation.v1.consultation_pb2 import ConsultationReply
from federation.v1.diagnosis_pb2 import DiagnosisReceipt
from federation.v1.envelope_pb2 import SealedOpening, SealedReply
from federation.v1.record_pb2 import Deposit, RecordEnd, RecordReply
from federation.v1.statement_pb2 import Credential, Grant, KeyStatement, SignedStatement
from keystore.transcript import digest, listing, transcript


def of_opening(state: InConsultation, opening: SealedOpening) -> Exhibit:
    """P1, at the doctor: the patient addressed this doctor."""
    asked = state.asked
    p1, own, issuer = asked.opened.payload, asked.doctor.identity, asked.patient.issuer_public_key
    return Exhibit(
        kind="P1",
        signer=p1.patient_id,
        signed=consultation.opening_transcript(p1, issuer, own, opening.key_id, asked.session_id),
        signature=p1.signature,
        message=asked.opened.plaintext,
        key_statement=p1.key_statement,
        encryption_key_statement=p1.encryption_key_statement,
    )


def of_reply(state: patient_consultation.AwaitingReply, reply: SealedReply, anchors: Anchors) -> Exhibit:
    """D1, at the patient, once it held: the doctor answered this patient. Opens it a second time."""
    key, doctor = state.decryption_key, state.doctor.party
    context = Context("d1", doctor.identity, state.patient.identity, key.key_id, state.session_id, reply.sent_at)
    opened = open_payload(ConsultationReply, reply.sealed, key, context)
    d1 = opened.payload
    credential = peek_statement(KeyStatement, d1.key_statement).credential
    th1 = consultation.consultation_transcript_hash(
        state.opening_plaintext,
        d1.doctor_id,
        credential,
        d1.registration_point,
        d1.doctor_certificate,
        d1.ephemeral_point,
        d1.sent_at,
        state.session_id,
    )
    signed = consultation.reply_transcript(
        d1.ephemeral_point,
        d1.doctor_id,
        d1.sent_at,
        d1.doctor_certificate,
        d1.key_confirmation,
        anchors.issuer_at(parse(Credential, credential).not_before),
        th1,
    )
    return Exhibit(
        kind="D1",
        signer=d1.doctor_id,
        signed=signed,
        signature=d1.signature,
        message=opened.plaintext,
        key_statement=d1.key_statement,
        encryption_key_statement=state.doctor.encryption_key.statement,
        certificate=d1.doctor_certificate,
        openings={"opening": state.opening_plaintext},
    )


def of_biosignal(state: InConsultation) -> Exhibit:
    """P2, at the doctor: the patient's data and consent, for this doctor."""
    p2, doctor = state.delivery, state.asked.doctor
    grant = digest_or_empty("grant", state.grant)
    return Exhibit(
        kind="P2",
        signer=p2.patient_id,
        signed=consultation.biosignal_transcript(
            state.transcript_hash, doctor.identity, doctor.certificate, p2.biosignal_digest, grant, p2.sent_at
        ),
        signature=p2.signature,
        message=p2.SerializeToString(deterministic=True),
        key_statement=state.asked.patient.key_statement,
        openings={"doctor_certificate": doctor.certificate},
    )


def of_grant(grant: SignedStatement, opened: Grant, key_statement: SignedStatement) -> Exhibit:
    """A grant, at the patient who gave it."""
    return Exhibit(
        kind="grant",
        signer=opened.patient_id,
        signed=transcript("grant", grant.statement),
        signature=grant.signature,
        message=grant.statement,
        key_statement=key_statement,
    )


def of_answer(answer: search.Answer, doctor: VerifiedParty, cloud_id: str) -> tuple[Exhibit, Exhibit]:
    """D2 and C, at the doctor: what was asked of the public cloud, and what it answered."""
    query, signed = answer.query, answer.signed
    asked = Exhibit(
        kind="D2",
        signer=query.doctor_id,
        signed=search.query_transcript(query, doctor, cloud_id),
        signature=query.signature,
        message=query.SerializeToString(deterministic=True),
        key_statement=query.key_statement,
        certificate=query.doctor_certificate,
    )
    answered = Exhibit(
        kind="C",
        signer=cloud_id,
        signed=search.answer_transcript(signed, query, doctor),
        signature=signed.signature,
        message=signed.SerializeToString(deterministic=True),
    )
    return asked, answered


def of_hospital_reply(state: doctor_record.AwaitingReply, reply: SealedReply, anchors: Anchors) -> Exhibit:
    """H1, at the doctor, once it held: the hospital answered this session. Opens it a second time."""
    key, hospital = state.decryption_key, state.hospital.party
    context = Context("h1", hospital.identity, state.doctor.identity, key.key_id, state.session_id, reply.sent_at)
    opened = open_payload(RecordReply, reply.sealed, key, context)
    h1 = opened.payload
    credential = peek_statement(KeyStatement, h1.key_statement).credential
    issuer = anchors.issuer_at(parse(Credential, credential).not_before)
    th2 = record.session_transcript_hash(
        state.opening_plaintext,
        h1.hospital_id,
        credential,
        h1.registration_point,
        h1.ephemeral_point,
        h1.sent_at,
        state.session_id,
    )
    return Exhibit(
        kind="H1",
        signer=h1.hospital_id,
        signed=record.reply_transcript(h1, issuer, th2),
        signature=h1.signature,
        message=opened.plaintext,
        key_statement=h1.key_statement,
        encryption_key_statement=state.hospital.encryption_key.statement,
        openings={"opening": state.opening_plaintext},
    )


def of_record(session: doctor_record.Established, grant_id: bytes, record_digest: bytes, end: RecordEnd) -> Exhibit:
    """H2, at the doctor: the hospital gave this content, and what opens c_P."""
    intent = session.intent
    signed = record.record_transcript(
        session.transcript_hash, intent.commitment, record_digest, grant_id, end.version, end.sent_at
    )
    return Exhibit(
        kind="H2",
        signer=session.hospital.identity,
        signed=signed,
        signature=end.signature,
        message=end.SerializeToString(deterministic=True),
        key_statement=session.hospital.key_statement,
        openings=_commitment_openings(intent) | {"record_digest": record_digest},
    )


def of_own_diagnosis(state: AwaitingReceipt) -> Exhibit:
    """D5, at the doctor who made it."""
    held, d5 = state.consultation, state.diagnosis
    signed = consultation.diagnosis_transcript(
        held.transcript_hash,
        digest(d5.diagnosis),
        held.delivery.signature,
        listing(list(d5.based_on)),
        d5.sent_at,
    )
    doctor = held.asked.doctor
    return Exhibit(
        kind="D5",
        signer=doctor.identity,
        signed=signed,
        signature=d5.signature,
        message=d5.SerializeToString(deterministic=True),
        key_statement=doctor.self_.key_statement,
        certificate=d5.doctor_certificate,
    )


def of_diagnosis(state: Diagnosed) -> Exhibit:
    """D5, at the patient: the doctor's diagnosis."""
    held, d5 = state.consultation, state.delivery
    signed = consultation.diagnosis_transcript(
        held.transcript_hash, digest(d5.diagnosis), held.biosignal_signature, listing(list(d5.based_on)), d5.sent_at
    )
    return Exhibit(
        kind="D5",
        signer=held.doctor.party.identity,
        signed=signed,
        signature=d5.signature,
        message=d5.SerializeToString(deterministic=True),
        key_statement=held.doctor.party.key_statement,
        encryption_key_statement=held.doctor.encryption_key.statement,
        certificate=d5.doctor_certificate,
    )


def of_receipt(receipt: DiagnosisReceipt, patient: VerifiedParty) -> Exhibit:
    """P6, at the doctor: the patient has the diagnosis."""
    return Exhibit(
        kind="P6",
        signer=patient.identity,
        signed=consultation.receipt_transcript(receipt.diagnosis_digest, receipt.sent_at),
        signature=receipt.signature,
        message=receipt.SerializeToString(deterministic=True),
        key_statement=patient.key_statement,
    )


def of_deposit(receipt: SignedStatement, hospital: VerifiedParty, deposit: Deposit) -> Exhibit:
    """STOACK, at the doctor: the hospital keeps the encounter."""
    return Exhibit(
        kind="STOACK",
        signer=hospital.identity,
        signed=transcript("stoack", receipt.statement),
        signature=receipt.signature,
        message=receipt.statement,
        key_statement=hospital.key_statement,
        openings={"deposit": deposit.SerializeToString(deterministic=True)},
    )


def _commitment_openings(intent: doctor_record.Intent) -> dict[str, bytes]:
    grant = intent.grant
    return {
        "patient_id": intent.patient_id.encode(),
        "grant": b"" if grant is None else grant.statement,
        "grant_signature": b"" if grant is None else grant.signature,
        "scope": intent.scope.SerializeToString(deterministic=True),
        "blind": intent.blind,
    }
