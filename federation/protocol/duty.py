"""A doctor's duty, as its hospital states it: asked for by GetDuty, of the hospital's roster of now."""

from federation.protocol import access
from federation.protocol.consent import open_duty
from federation.protocol.parsing import check
from federation.protocol.parties import Entropy, Party
from federation.protocol.shown import require_shown_duty
from federation.protocol.time import Instant
from federation.protocol.verifier import VerifiedParty, Verifier
from federation.v1.access_pb2 import ShownDuty
from federation.v1.record_pb2 import GetDutyRequest
from federation.v1.statement_pb2 import ROLE_HOSPITAL
from keystore.identities import DoctorId, HospitalId
from keystore.transcript import text, transcript, u64


def duty_transcript(request: GetDutyRequest, doctor_id: DoctorId, hospital_id: HospitalId) -> bytes:
    """Return T("duty-ask", ID_D, ID_HPC, nonce, T)."""
    return transcript("duty-ask", text(doctor_id), text(hospital_id), request.nonce, u64(request.sent_at))


def ask_for_duty(doctor: Party, hospital_id: HospitalId, *, now: Instant, entropy: Entropy) -> GetDutyRequest:
    """Make the request of a doctor to a hospital that it works for."""
    request = GetDutyRequest(
        key_statement=doctor.self_.key_statement,
        doctor_certificate=doctor.certificate,
        nonce=entropy(16),
        sent_at=now,
    )
    request.signature = doctor.signing_key.sign(duty_transcript(request, doctor.doctor_id, hospital_id))
    return request


def check_own_duty(
    stated: ShownDuty, doctor: VerifiedParty, hospital_id: HospitalId, verifier: Verifier, *, now: Instant
) -> access.Duty:
    """Check what a hospital states for the doctor who asked: it is of use there now.

    Raises DutyInvalid, DutyExpired, DutyRevoked; Authentication, MalformedMessage.
    """
    check(stated)
    hospital = verifier.party(stated.key_statement, ROLE_HOSPITAL, now=now)
    duty = open_duty(stated, hospital, doctor)
    require_shown_duty(duty, hospital_id, doctor.identity, verifier, now=now)
    return duty
