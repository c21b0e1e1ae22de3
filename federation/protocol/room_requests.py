"""OpenRoom and CloseRoom: what a doctor signs to have a room of its hospital's relay, and what the hospital verifies."""

from federation.protocol.parsing import check
from federation.protocol.parties import Entropy, Party, Pending
from federation.protocol.statements import peek_statement, verify_signature
from federation.protocol.time import Instant
from federation.protocol.verifier import Peer, Verifier
from federation.v1.consultation_pb2 import (
    CloseRoomRequest,
    OpenRoomRequest,
)
from federation.v1.statement_pb2 import KeyStatement, SignedStatement
from keystore.identities import DoctorId, HospitalId
from keystore.signatures import VerifyingKey
from keystore.transcript import digest, text, transcript, u64


def room_transcript(request: OpenRoomRequest, doctor_id: DoctorId, hospital_id: HospitalId) -> bytes:
    """Return T("room", ID_D, ID_HPC, EK_D, nonce, T)."""
    statement = request.encryption_key_statement.statement
    fields = text(doctor_id), text(hospital_id), statement, request.nonce, u64(request.sent_at)
    return transcript("room", *fields)


def ask_for_room(doctor: Party, hospital_id: HospitalId, *, now: Instant, entropy: Entropy) -> OpenRoomRequest:
    """Make the request of a doctor to this hospital's relay."""
    request = OpenRoomRequest(
        key_statement=doctor.self_.key_statement,
        doctor_certificate=doctor.certificate,
        encryption_key_statement=doctor.encryption_key_statement,
        nonce=entropy(16),
        sent_at=now,
    )
    request.signature = doctor.signing_key.sign(room_transcript(request, doctor.doctor_id, hospital_id))
    return request


def close_transcript(room_id: bytes, doctor_id: DoctorId, hospital_id: HospitalId) -> bytes:
    """Return T("room-close", ID_D, ID_HPC, room)."""
    return transcript("room-close", text(doctor_id), text(hospital_id), room_id)


def ask_to_close(doctor: Party, hospital_id: HospitalId, room_id: bytes) -> CloseRoomRequest:
    """Make the request by which a doctor closes a room of its own."""
    signature = doctor.signing_key.sign(close_transcript(room_id, doctor.doctor_id, hospital_id))
    return CloseRoomRequest(room_id=room_id, signature=signature)


def verify_close(request: CloseRoomRequest, opened_by: SignedStatement, hospital_id: HospitalId) -> None:
    """Verify that whoever opened the room, by this KS_D, closes it. Raises SignatureInvalid.

    KS_D held when the room was opened. Whether it still does is not asked: a doctor who may open no room may close its own.
    """
    doctor = peek_statement(KeyStatement, opened_by)
    key = VerifyingKey(doctor.verifying_key)
    # CloseRoom.3
    verify_signature(key, request.signature, close_transcript(request.room_id, DoctorId(doctor.identity), hospital_id))


def receive_room_request(
    request: OpenRoomRequest, hospital_id: HospitalId, verifier: Verifier, *, now: Instant
) -> Pending[Peer]:
    """Check T, CRED(D), Cert_D, EK_D and the signature; give whose room it is. Whether it is on duty is the roster's to say.

    Raises MalformedMessage, Authentication, StaleRevocationList.
    """
    check(request)  # OpenRoom.1
    verifier.freshness.require(request.sent_at, now=now)  # OpenRoom.2
    doctor = verifier.doctor(request.key_statement, request.doctor_certificate, now=now)  # OpenRoom.3
    key = verifier.encryption_key(request.encryption_key_statement, doctor, now=now)  # OpenRoom.4
    # OpenRoom.5
    verify_signature(doctor.key, request.signature, room_transcript(request, doctor.doctor_id, hospital_id))
    replay_key = digest(transcript("ROOM", text(doctor.identity), request.nonce))
    holder = Peer(doctor, key, request.doctor_certificate)
    return Pending(replay_key, verifier.freshness.replay_key_until(now=now), holder)
