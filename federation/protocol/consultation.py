"""Consultation, Chen et al. 2020, eq. 11-24: what both sides compute, in words.

P1  The patient, who has the doctor's statements from the relay and checked them against the doctor's code, sends its
    identity, B_P and R_P2 = r5 B sealed to the doctor, signed for this doctor.
D1  The doctor checks who the patient is, picks r6, and both compute SEK_1 from K = S_D R_P2 + r6 U_P = S_P R_D2 + r5 U_D
    and Z = r5 r6 B. The doctor proves that it has the key by kc_D, and who it is by its signature.
P2  The patient, only then, sends M_SD and its grant under SEK_1: this confirms the key to the doctor.

The two sides are `patient_consultation` and `doctor_consultation`; the transcripts that both must build alike are here.
"""

from datetime import timedelta

from federation.protocol.time import Instant
from federation.v1.consultation_pb2 import ConsultationOpening
from keystore.transcript import digest, text, transcript, u64

CONSULTATION_LIFE = timedelta(hours=12)
MOST_BIOSIGNAL_BYTES = 16 * 1024 * 1024
"""Of M_SD, wherever it goes: what a doctor may diagnose, its hospital may keep."""


def code_digest(key_statement: bytes, signature: bytes, certificate: bytes) -> bytes:
    """Give SHA-256(T("code", KS_D, its signature, Cert_D)): what the doctor's code shows (X13, B4)."""
    return digest(transcript("code", key_statement, signature, certificate))


def opening_transcript(
    opening: ConsultationOpening, issuer_public_key: bytes, doctor_id: str, key_id: bytes, session_id: bytes
) -> bytes:
    """Give what Sig_P1 covers: eq. 13, and the doctor (B4)."""
    return transcript(
        "P1",
        opening.registration_point,
        text(opening.patient_id),
        opening.ephemeral_point,
        opening.biometric_password,
        issuer_public_key,
        u64(opening.sent_at),
        text(doctor_id),
        key_id,
        session_id,
        digest(opening.contribution),
    )


def consultation_transcript_hash(
    opening_plaintext: bytes,
    doctor_id: str,
    credential: bytes,
    registration_point: bytes,
    certificate: bytes,
    ephemeral_point: bytes,
    sent_at: Instant,
    session_id: bytes,
) -> bytes:
    """Give TH1 = H(T("th1", H(p1 plaintext), ID_D, M_D, R_D1, H(Cert_D), R_D2, T_D1, session id)) (B11, B13)."""
    fields = text(doctor_id), credential, registration_point, digest(certificate), ephemeral_point
    return digest(transcript("th1", digest(opening_plaintext), *fields, u64(sent_at), session_id))


def reply_transcript(
    ephemeral_point: bytes,
    doctor_id: str,
    sent_at: Instant,
    certificate: bytes,
    key_confirmation: bytes,
    issuer_public_key: bytes,
    transcript_hash: bytes,
) -> bytes:
    """Give what Sig_D1 covers: eq. 19 with kc_D in SEK_1's slot (B5)."""
    return transcript(
        "D1",
        ephemeral_point,
        text(doctor_id),
        u64(sent_at),
        digest(certificate),
        key_confirmation,
        issuer_public_key,
        transcript_hash,
    )


def biosignal_transcript(
    transcript_hash: bytes,
    doctor_id: str,
    certificate: bytes,
    biosignal_digest: bytes,
    grant_digest: bytes,
    sent_at: Instant,
) -> bytes:
    """Give what Sig_P2 covers: T("P2", TH1, ID_D, H(Cert_D), H(M_SD), H(grant) or empty, T_P2) (B15).

    Whom the patient addressed stands in it in clear fields: it fits no other doctor's deposit, and a judge needs no TH1.
    """
    doctor = text(doctor_id), digest(certificate)
    return transcript("P2", transcript_hash, *doctor, biosignal_digest, grant_digest, u64(sent_at))


def diagnosis_transcript(
    transcript_hash: bytes,
    diagnosis_digest: bytes,
    biosignal_signature: bytes,
    based_on: bytes,
    sent_at: Instant,
) -> bytes:
    """Give what Sig_D5 covers: T("D5", TH1, H(M_DINF), H(Sig_P2), [H(Sig_HPC2)...], T_D5) (D1 of the findings)."""
    return transcript("D5", transcript_hash, diagnosis_digest, digest(biosignal_signature), based_on, u64(sent_at))


def receipt_transcript(diagnosis_signature_digest: bytes, sent_at: Instant) -> bytes:
    """Give what P6's signature covers: T("P6", H(Sig_D5), T)."""
    return transcript("P6", diagnosis_signature_digest, u64(sent_at))
