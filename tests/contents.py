"""What a hospital sends as M_EMR, put together without a hospital; and what a doctor deposits."""

from itertools import pairwise

from federation.protocol.consultation import InConsultation
from federation.protocol.frames import Piece, padded_size
from federation.protocol.record import Intent
from federation.v1.diagnosis_pb2 import DiagnosisDelivery
from federation.v1.record_pb2 import PART_KIND_ATTACHMENT, Deposit, RecordEntry, RecordManifest, RecordPart
from keystore.transcript import digest, frame


def manifest(contents: list[bytes]) -> RecordManifest:
    """List these parts, of one record."""
    parts = [
        RecordPart(
            kind=PART_KIND_ATTACHMENT,
            name=f"part-{number}",
            media_type="application/octet-stream",
            size_bytes=len(content),
            digest=digest(content),
        )
        for number, content in enumerate(contents)
    ]
    entry = RecordEntry(handle=bytes(16), version=1, department_id="H:alpha/cardiology", stored_at=1, parts=parts)
    return RecordManifest(patient_id="P:wang", hospital_id="H:alpha", records=[entry])


def record_of(*parts: bytes, patient_id: str = "P:wang", hospital_id: str = "H:alpha") -> bytes:
    """Give M_EMR = F(manifest) || the parts."""
    listed = manifest(list(parts))
    listed.patient_id, listed.hospital_id = patient_id, hospital_id
    return frame(listed.SerializeToString(deterministic=True)) + b"".join(parts)


def cut(content: bytes, *places: int) -> list[Piece]:
    """Cut content there, its zeros behind the last slice."""
    edges = [0, *places, len(content)]
    whole = [Piece(content[start:end]) for start, end in pairwise(edges)]
    return [*whole[:-1], Piece(whole[-1].content, padded_size(len(content)) - len(content))]


def deposit_of(consultation: InConsultation, d5: DiagnosisDelivery, intent: Intent, *, now: int) -> Deposit:
    """Give STO of P:wang's consultation with D:chen, before it is sent."""
    p2 = consultation.delivery
    return Deposit(
        patient_id="P:wang",
        doctor_id="D:chen",
        sent_at=now,
        blind=intent.blind,
        scope=intent.scope,
        access=intent.shown.access,
        consultation_digest=consultation.session.transcript_hash,
        biosignal_size_bytes=len(consultation.biosignal),
        biosignal_digest=p2.biosignal_digest,
        biosignal_sent_at=p2.sent_at,
        biosignal_signature=p2.signature,
        diagnosis_size_bytes=len(d5.diagnosis),
        diagnosis_digest=digest(d5.diagnosis),
        based_on=d5.based_on,
        diagnosis_sent_at=d5.sent_at,
        diagnosis_signature=d5.signature,
    )
