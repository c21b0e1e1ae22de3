"""Opening a room of the relay, and closing it: a registered doctor shows who it is, in clear, signed for this hospital.

Nothing here is secret: a room's statements are served to whoever has the room's number. So refusals are precise.
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from federation.protocol.parsing import check
from federation.protocol.parties import Entropy, Party, Pending
from federation.protocol.statements import peek_statement, verify_signature
from federation.protocol.time import Instant
from federation.protocol.verifier import Peer, Verifier
from federation.v1.consultation_pb2 import CloseRoomRequest, OpenRoomRequest
from federation.v1.statement_pb2 import KeyStatement, SignedStatement
from keystore.transcript import digest, text, transcript, u64


def request_transcript(request: OpenRoomRequest, doctor_id: str, hospital_id: str) -> bytes:
    """Give T("room", ID_D, ID_HPC, EK_D, nonce, T)."""
    statement = request.encryption_key_statement.statement
    fields = text(doctor_id), text(hospital_id), statement, request.nonce, u64(request.sent_at)
    return transcript("room", *fields)


def ask_for_room(doctor: Party, hospital_id: str, *, now: Instant, entropy: Entropy) -> OpenRoomRequest:
    """Make the request of a doctor to this hospital's relay."""
    request = OpenRoomRequest(
        key_statement=doctor.self_.key_statement,
        doctor_certificate=doctor.certificate,
        encryption_key_statement=doctor.encryption_key_statement,
        nonce=entropy(16),
        sent_at=now,
    )
    request.signature = doctor.signing_key.sign(request_transcript(request, doctor.identity, hospital_id))
    return request


def close_transcript(room_id: bytes, doctor_id: str, hospital_id: str) -> bytes:
    """Give T("room-close", ID_D, ID_HPC, room)."""
    return transcript("room-close", text(doctor_id), text(hospital_id), room_id)


def ask_to_close(doctor: Party, hospital_id: str, room_id: bytes) -> CloseRoomRequest:
    """Make the request by which a doctor closes a room of its own."""
    signature = doctor.signing_key.sign(close_transcript(room_id, doctor.identity, hospital_id))
    return CloseRoomRequest(room_id=room_id, signature=signature)


def verify_close(request: CloseRoomRequest, opened_by: SignedStatement, hospital_id: str) -> None:
    """Verify that whoever opened the room, by this KS_D, closes it. Raises SignatureInvalid.

    KS_D held when the room was opened. Whether it still does is not asked: a doctor who may open no room may close its own.
    """
    doctor = peek_statement(KeyStatement, opened_by)
    key = Ed25519PublicKey.from_public_bytes(doctor.verifying_key)
    verify_signature(key, request.signature, close_transcript(request.room_id, doctor.identity, hospital_id))


def receive_room_request(
    request: OpenRoomRequest, hospital_id: str, verifier: Verifier, *, now: Instant
) -> Pending[Peer]:
    """Check T, CRED(D), Cert_D, EK_D and the signature; give whose room it is.

    Raises MalformedMessage, Authentication, StaleRevocationList.
    """
    check(request)
    verifier.freshness.require(request.sent_at, now=now)
    doctor = verifier.doctor(request.key_statement, request.doctor_certificate, now=now)
    key = verifier.encryption_key(request.encryption_key_statement, doctor, now=now)
    verify_signature(doctor.key, request.signature, request_transcript(request, doctor.identity, hospital_id))
    replay_key = digest(transcript("ROOM", text(doctor.identity), request.nonce))
    holder = Peer(doctor, key, request.doctor_certificate)
    return Pending(replay_key, verifier.freshness.replay_key_until(now=now), holder)
