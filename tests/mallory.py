"""What an insider can do to a message: open it, change it, sign it again, seal it again.

A test holds every key, so it can play any party that does not follow the protocol. What comes out is well sealed and, where
the test says so, well signed: only the one thing that the test changed is wrong.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import pytest
from google.protobuf.message import Message

from federation.errors import FederationError, Rejected
from federation.party.member import Member
from federation.protocol import calls, consultation, record, registration, search
from federation.protocol.frames import Direction
from federation.protocol.parties import reason_of
from federation.protocol.sealing import UNNAMED, Context, unpad
from federation.protocol.statements import peek_statement
from federation.v1.consultation_pb2 import ConsultationOpening, ConsultationReply
from federation.v1.envelope_pb2 import SealedOpening, SealedReply, SessionFrame
from federation.v1.record_pb2 import RecordOpening, RecordReply
from federation.v1.registration_pb2 import RegistrationAnswer, RegistrationRequest
from federation.v1.search_pb2 import SearchAnswer, SearchQuery
from federation.v1.statement_pb2 import EncryptionKeyStatement, SignedStatement
from keystore.curve import FIELD_PRIME
from keystore.encryption import DecryptionKey, seal
from keystore.signatures import SigningKey
from keystore.transcript import frame, transcript
from tests.simulator import CLOUD_ID, Federation

PADDED = {ConsultationOpening: 4096, ConsultationReply: 8192, SearchQuery: 16384, SearchAnswer: 32768}
PADDED |= {RecordOpening: 8192, RecordReply: 4096}
BORROWED_POINTS = {
    "twist": (1).to_bytes(32, "big"),
    "twist_again": (2).to_bytes(32, "big"),
    "not_below_the_prime": FIELD_PRIME.to_bytes(32, "big"),
    "the_prime_and_five": (FIELD_PRIME + 5).to_bytes(32, "big"),
    "all_ones": b"\xff" * 32,
}
"""Points that no honest party sends (B6), by name."""

M = TypeVar("M", bound=Message)
Envelope = TypeVar("Envelope", SealedOpening, SealedReply)
Change = Callable[[M], object]


@contextmanager
def refused(cause: type[FederationError]) -> Iterator[None]:
    """Expect exactly this refusal, said precisely."""
    with pytest.raises(cause) as caught:
        yield
    assert type(caught.value) is cause, repr(caught.value)


@contextmanager
def rejected(cause: type[FederationError]) -> Iterator[None]:
    """Expect the one answer REJECTED, with exactly this cause for the audit log."""
    with pytest.raises(Rejected) as caught:
        yield
    assert type(caught.value.__cause__) is cause, repr(caught.value.__cause__)
    assert reason_of(caught.value) == cause.reason


@dataclass(frozen=True)
class Seal(Generic[M]):
    """One kind of sealed message between two parties, and the receiver's key."""

    name: str
    payload_type: type[M]
    sender: str
    receiver: str
    key: DecryptionKey

    def open(self, envelope: SealedOpening | SealedReply) -> M:
        """Give the payload."""
        info = self._context(envelope).info()
        return self.payload_type.FromString(unpad(self.payload_type, self.key.open(envelope.sealed, info)))

    def close(self, envelope: Envelope, payload: M | bytes, sent_at: int | None = None) -> Envelope:
        """Give the envelope with another payload (or bytes), and T in clear if it is to be another. Checks nothing."""
        closed = type(envelope)()
        closed.CopyFrom(envelope)
        if sent_at is not None:
            closed.sent_at = sent_at
        content = payload if isinstance(payload, bytes) else payload.SerializeToString(deterministic=True)
        size = PADDED.get(self.payload_type) or -(-(len(content) + 4) // 256) * 256
        closed.sealed = seal(self.key.encryption_key, frame(content).ljust(size, b"\0"), self._context(closed).info())
        return closed

    def change(self, envelope: Envelope, change: Change[M], sign: Change[M] = lambda _: None) -> Envelope:
        """Give the envelope with its payload changed, and signed again if `sign` does."""
        payload = self.open(envelope)
        change(payload)
        sign(payload)
        return self.close(envelope, payload)

    def _context(self, envelope: SealedOpening | SealedReply) -> Context:
        return Context(self.name, self.sender, self.receiver, self.key.key_id, envelope.session_id, envelope.sent_at)


def newest_key(member: Member, now: int) -> DecryptionKey:
    """Give the decryption key of a member's current epoch."""
    return member.epochs.find(peek_statement(EncryptionKeyStatement, member.epochs.current(now)).key_id)


def cloud_key(federation: Federation) -> DecryptionKey:
    """Give the decryption key of the cloud's current epoch."""
    return federation.cloud.epochs.find(federation.cloud.encryption_key().key_id)


def p1_to(federation: Federation, doctor: Member) -> Seal[ConsultationOpening]:
    """Give P1's seal."""
    key = newest_key(doctor, federation.clock.now)
    return Seal("p1", ConsultationOpening, UNNAMED, doctor.identity, key)


def d1_from(federation: Federation, doctor: Member, patient: Member | None = None) -> Seal[ConsultationReply]:
    """Give D1's seal."""
    patient = patient or federation.patient
    key = newest_key(patient, federation.clock.now)
    return Seal("d1", ConsultationReply, doctor.identity, patient.identity, key)


def d2(federation: Federation) -> Seal[SearchQuery]:
    """Give D2's seal."""
    return Seal("d2", SearchQuery, UNNAMED, CLOUD_ID, cloud_key(federation))


def c(federation: Federation) -> Seal[SearchAnswer]:
    """Give C's seal."""
    doctor = federation.doctor
    return Seal("c", SearchAnswer, CLOUD_ID, doctor.identity, newest_key(doctor, federation.clock.now))


def d3_to(federation: Federation, hospital: Member) -> Seal[RecordOpening]:
    """Give D3's seal."""
    key = newest_key(hospital, federation.clock.now)
    return Seal("d3", RecordOpening, UNNAMED, hospital.identity, key)


def h1_from(federation: Federation, hospital: Member) -> Seal[RecordReply]:
    """Give H1's seal."""
    doctor = federation.doctor
    key = newest_key(doctor, federation.clock.now)
    return Seal("h1", RecordReply, hospital.identity, doctor.identity, key)


def reg1(federation: Federation) -> Seal[RegistrationRequest]:
    """Give reg1's seal."""
    return Seal("reg1", RegistrationRequest, UNNAMED, CLOUD_ID, cloud_key(federation))


def reg2(identity: str, key: DecryptionKey) -> Seal[RegistrationAnswer]:
    """Give reg2's seal."""
    return Seal("reg2", RegistrationAnswer, CLOUD_ID, identity, key)


def call(federation: Federation, kind: calls.Call[M]) -> Seal[M]:
    """Give the seal of a single call."""
    return Seal(kind.name, kind.payload_type, UNNAMED, CLOUD_ID, cloud_key(federation))


def signs_p1(key: SigningKey, opening: SealedOpening, issuer: bytes, doctor_id: str) -> Change[ConsultationOpening]:
    """Sign P1 as that doctor's patient would."""

    def sign(payload: ConsultationOpening) -> None:
        signed = consultation.opening_transcript(payload, issuer, doctor_id, opening.key_id, opening.session_id)
        payload.signature = key.sign(signed)

    return sign


def signs_d2(federation: Federation, doctor: Member) -> Change[SearchQuery]:
    """Prove and sign D2 as that doctor would."""

    def sign(payload: SearchQuery) -> None:
        party = federation.party(doctor)
        shared = party.registration_secret.shared_key(party.identity, party.self_.serial)
        payload.proof = search.query_proof(shared, payload)
        payload.signature = party.signing_key.sign(search.query_transcript(payload, party.self_, CLOUD_ID))

    return sign


def signs_d3(key: SigningKey, opening: SealedOpening, issuer: bytes, hospital_id: str) -> Change[RecordOpening]:
    """Sign D3 as a doctor of that key would for that hospital."""

    def sign(payload: RecordOpening) -> None:
        signed = record.opening_transcript(payload, issuer, hospital_id, opening.key_id, opening.session_id)
        payload.signature = key.sign(signed)

    return sign


def signs_reg1(key: SigningKey) -> Change[RegistrationRequest]:
    """Sign reg1."""

    def sign(payload: RegistrationRequest) -> None:
        payload.signature = key.sign(registration.request_transcript(payload, CLOUD_ID))

    return sign


def restated(label: str, signed: SignedStatement, kind: type[M], key: SigningKey, change: Change[M]) -> SignedStatement:
    """Give a statement with its content changed and signed by that key, whatever the content's rules say."""
    content = kind.FromString(signed.statement)
    change(content)
    statement = content.SerializeToString(deterministic=True)
    return SignedStatement(statement=statement, signature=key.sign(transcript(label, statement)))


def reframed(direction: Direction, name: str, frame_: SessionFrame, change: Callable[[bytes], bytes]) -> SessionFrame:
    """Give a session frame with its plaintext changed, under the same key, number, T and last."""
    _, plaintext = direction.open(name, frame_)
    return direction.seal(name, change(plaintext), last=frame_.last, sent_at=frame_.sent_at)[1]


def altered(kind: type[M], change: Change[M]) -> Callable[[bytes], bytes]:
    """Make a change of a message into a change of its bytes."""

    def of_bytes(serialised: bytes) -> bytes:
        message = kind.FromString(serialised)
        change(message)
        return message.SerializeToString(deterministic=True)

    return of_bytes


def with_unknown_field(serialised: bytes) -> bytes:
    """Give a message's bytes with a field 15000, which no definition has."""
    return serialised + bytes.fromhex("c0a907") + b"\x01"


def outside(message: M, **fields: object) -> M:
    """Change clear fields of a message, outside its seal."""
    copy = type(message)()
    copy.CopyFrom(message)
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy
