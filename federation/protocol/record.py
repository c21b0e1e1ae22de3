"""The session of a doctor with a hospital, Chen et al. 2020, eq. 33-48: what both sides compute, in words.

D3  The doctor, who addresses one hospital, sends R_D3 and a commitment c_P to patient, grant and scope (X5, C3).
H1  The hospital answers R_HPC2; both compute SEK_2; the hospital proves the key by kc_H and itself by its signature (C4).
D4  The doctor opens c_P under SEK_2 and shows the grant; the hospital decides, logs, and only then releases (C1, C7).
H2  M_EMR comes in slices; the last frame signs the whole (C8).
STO In D4's place: the new encounter, with what the patient and the doctor signed in the consultation; STOACK answers.

The two sides are `doctor_record` and `hospital_record`; the transcripts that both must build alike are here.
"""

from federation.errors import (
    Authorization,
    EmergencyNotSupported,
    GrantExpired,
    GrantMissing,
    GrantRevoked,
    GrantScope,
)
from federation.protocol.time import Instant
from federation.v1 import record_pb2 as pb
from federation.v1.record_pb2 import Deposit, RecordOpening, RecordQuery, RecordReply, Scope
from federation.v1.statement_pb2 import SignedStatement
from keystore.transcript import digest, listing, statement_digest, text, transcript, u64

PURPOSE_NAMES: dict["pb.Purpose.ValueType", str] = {pb.PURPOSE_READ: "read", pb.PURPOSE_STORE: "store"}
OUTCOME_NAMES: dict["pb.SessionOutcome.ValueType", str] = {
    pb.SESSION_OUTCOME_NO_RECORD: "no-record",
    pb.SESSION_OUTCOME_GRANT_EXPIRED: "grant-expired",
    pb.SESSION_OUTCOME_GRANT_REVOKED: "grant-revoked",
    pb.SESSION_OUTCOME_GRANT_SCOPE: "grant-scope",
    pb.SESSION_OUTCOME_GRANT_MISSING: "grant-missing",
    pb.SESSION_OUTCOME_EMERGENCY_REFUSED: "emergency-refused",
}

_OUTCOME_OF: dict[type[Authorization], "pb.SessionOutcome.ValueType"] = {
    GrantExpired: pb.SESSION_OUTCOME_GRANT_EXPIRED,
    GrantRevoked: pb.SESSION_OUTCOME_GRANT_REVOKED,
    GrantScope: pb.SESSION_OUTCOME_GRANT_SCOPE,
    GrantMissing: pb.SESSION_OUTCOME_GRANT_MISSING,
    EmergencyNotSupported: pb.SESSION_OUTCOME_EMERGENCY_REFUSED,
}


def scope_digest(scope: Scope) -> bytes:
    """Give H(scope): of T("scope", purpose, class, [handle...])."""
    fields = text(PURPOSE_NAMES[scope.purpose]), text(scope.department_class), listing(list(scope.handles))
    return digest(transcript("scope", *fields))


def authorization_digest(message: RecordQuery | Deposit) -> bytes:
    """Give H(grant or emergency), or nothing where there is neither."""
    if isinstance(message, RecordQuery) and message.HasField("emergency"):
        return statement_digest("bg", message.emergency.statement)
    return statement_digest("grant", message.grant.statement) if message.HasField("grant") else b""


def commitment(patient_id: str, authorization: bytes, scope: Scope, blind: bytes) -> bytes:
    """Give c_P = H(T("cp", ID_P, H(grant or emergency), H(scope), rho))."""
    return digest(transcript("cp", text(patient_id), authorization, scope_digest(scope), blind))


def opening_transcript(
    opening: RecordOpening, issuer_public_key: bytes, hospital_id: str, key_id: bytes, session_id: bytes
) -> bytes:
    """Give what Sig_D3 covers: eq. 35 with c_P for ID_P, and the hospital (C3)."""
    return transcript(
        "D3",
        issuer_public_key,
        u64(opening.sent_at),
        opening.patient_commitment,
        opening.ephemeral_point,
        opening.registration_point,
        text(hospital_id),
        key_id,
        session_id,
        digest(opening.contribution),
        digest(opening.doctor_certificate),
    )


def session_transcript_hash(
    opening_plaintext: bytes,
    hospital_id: str,
    credential: bytes,
    registration_point: bytes,
    ephemeral_point: bytes,
    sent_at: Instant,
    session_id: bytes,
) -> bytes:
    """Give TH2 = H(T("th2", H(d3 plaintext), ID_HPC, M_HPC, R_HPC1, R_HPC2, T_HPC1, session id))."""
    fields = text(hospital_id), credential, registration_point, ephemeral_point
    return digest(transcript("th2", digest(opening_plaintext), *fields, u64(sent_at), session_id))


def reply_transcript(reply: RecordReply, issuer_public_key: bytes, transcript_hash: bytes) -> bytes:
    """Give what Sig_HPC1 covers: eq. 41, and the session (C4)."""
    return transcript(
        "H1",
        issuer_public_key,
        u64(reply.sent_at),
        text(reply.hospital_id),
        reply.key_confirmation,
        transcript_hash,
    )


def record_transcript(
    transcript_hash: bytes,
    patient_commitment: bytes,
    record_digest: bytes,
    authorization_id: bytes,
    version: int,
    sent_at: Instant,
) -> bytes:
    """Give what Sig_HPC2 covers: T("H2", TH2, c_P, H(M_EMR), grant id or emergency nonce, version, T_HPC2) (C8)."""
    fields = transcript_hash, patient_commitment, record_digest, authorization_id, u64(version), u64(sent_at)
    return transcript("H2", *fields)


def grant_of(message: RecordQuery | Deposit) -> SignedStatement | None:
    """Give the grant that a message carries, if any."""
    return message.grant if message.HasField("grant") else None


def outcome_of(error: Authorization) -> "pb.SessionOutcome.ValueType | None":
    """Give what a confirmed doctor may be told of a refusal, or None where it is REJECTED like any other."""
    return _OUTCOME_OF.get(type(error))
