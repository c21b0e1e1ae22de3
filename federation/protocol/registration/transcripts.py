"""What both sides of registration sign and hash."""

from federation.protocol.statements import ROLE_NAMES
from federation.v1 import statement_pb2 as pb
from federation.v1.registration_pb2 import RegistrationAnswer, RegistrationRequest
from keystore.transcript import digest, text, transcript, u64


def attribute_of(role: "pb.Role.ValueType", evidence: bytes) -> bytes:
    """Give the credential's attribute: H(T("bp", B_P)) of a patient, H(Cert_D) or H(licence) of the others."""
    return digest(transcript("bp", evidence)) if role == pb.ROLE_PATIENT else digest(evidence)


def request_transcript(request: RegistrationRequest, cloud_id: str) -> bytes:
    """Give what reg1's signature covers: its fields, and the cloud."""
    return transcript(
        "reg1",
        text(ROLE_NAMES[request.role]),
        text(request.identity),
        request.evidence,
        request.verifying_key,
        request.encryption_key_statement.statement,
        request.ticket,
        request.challenge,
        u64(request.sent_at),
        text(cloud_id),
    )


def renewal_transcript(request: RegistrationRequest, cloud_id: str) -> bytes:
    """Give what the live PRK_X covers where a member registers again by itself: T("renew", the transcript of reg1)."""
    return transcript("renew", request_transcript(request, cloud_id))


def answer_transcript(request_digest: bytes, answer: RegistrationAnswer, public_point: bytes) -> bytes:
    """Give what reg2's signature covers: T("reg2", H(reg1 plaintext), M_X, R_X1, U_X, T)."""
    return transcript(
        "reg2", request_digest, answer.credential, answer.registration_point, public_point, u64(answer.sent_at)
    )
