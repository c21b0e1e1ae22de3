"""A doctor's duty: asked of its hospital before anything is deposited or shown, and checked by whom it is shown to in clear.

Nothing of it is secret, so refusals are precise, as a room's are. The request has no replay key: the same one again gets the same
duty, and who has it anew can't use it without PRK_D.
"""

from federation.protocol import access
from federation.protocol.consent import open_duty
from federation.protocol.parsing import check
from federation.protocol.parties import Entropy, Party
from federation.protocol.shown import require_shown_duty
from federation.protocol.statements import verify_signature
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
    """Make the request of a doctor to this hospital."""
    request = GetDutyRequest(
        key_statement=doctor.self_.key_statement,
        doctor_certificate=doctor.certificate,
        nonce=entropy(16),
        sent_at=now,
    )
    request.signature = doctor.signing_key.sign(duty_transcript(request, doctor.doctor_id, hospital_id))
    return request


def receive_duty_request(
    request: GetDutyRequest, hospital_id: HospitalId, verifier: Verifier, *, now: Instant
) -> VerifiedParty:
    """Check T, CRED(D), Cert_D and the signature; give who asks. Whether it is on duty is the roster's to say.

    Raises MalformedMessage, Authentication, StaleRevocationList.
    """
    check(request)  # GetDuty.1
    verifier.freshness.require(request.sent_at, now=now)  # GetDuty.2
    doctor = verifier.doctor(request.key_statement, request.doctor_certificate, now=now)  # GetDuty.3
    # GetDuty.4
    verify_signature(doctor.key, request.signature, duty_transcript(request, doctor.doctor_id, hospital_id))
    return doctor


def verify_duty(
    shown: ShownDuty, doctor: VerifiedParty, hospital_id: HospitalId, verifier: Verifier, *, now: Instant
) -> access.Duty:
    """Verify that this doctor is on duty at this hospital now, and give where.

    Raises DutyInvalid, DutyExpired, DutyRevoked; Authentication, MalformedMessage.
    """
    hospital = verifier.party(shown.key_statement, ROLE_HOSPITAL, now=now)  # code.5, GetDuty.6
    duty = open_duty(shown, hospital, doctor)  # code.6, GetDuty.7
    require_shown_duty(duty, hospital_id, doctor.identity, verifier, now=now)  # code.7, GetDuty.8
    return duty
