"""Consultations of a patient that wait for their diagnosis, or for one that amends it, kept through an end of the program.

Each holds its session keys, sealed under a key of the patient's token: another token, or another patient, opens nothing. A
consultation lives at most 12 hours; what is older is removed (docs/protocol.md, 6).
"""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from federation.errors import Authentication
from federation.party.member import Member
from federation.person.code import DoctorCode
from federation.person.sealed_files import SealedFiles
from federation.protocol.consultation import CONSULTATION_LIFE, AwaitingDiagnosis
from federation.protocol.frames import Direction, DirectionKeys
from federation.protocol.parties import Party
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import EncryptionKey, Peer
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.statement_pb2 import ROLE_DOCTOR, SignedStatement
from keystore.errors import GenerationUnknown
from keystore.identities import DoctorId

PENDING = "pending"
"""What these files are called in their seals."""


@dataclass(frozen=True, repr=False)
class PendingConsultation:
    """A consultation whose P2 is sent, and where in its room it stands.

    `receipt` is P6 of the newest diagnosis until the room has it: it is sent as it is, for a second one would use its nonce
    again.
    """

    state: AwaitingDiagnosis
    code: DoctorCode
    next_put: int
    next_read: int
    receipt: SessionFrame | None = None

    @property
    def doctor_id(self) -> DoctorId:
        """Return whose diagnosis is waited for."""
        return self.state.doctor.doctor_id

    @property
    def has_diagnosis(self) -> bool:
        """Return whether a diagnosis came: what may come now amends it, and may well never come."""
        return bool(self.state.newest)

    def to_bytes(self) -> bytes:
        """Write it, session keys included: to be sealed under the token's key."""
        return json.dumps(self._content()).encode()

    def _content(self) -> dict[str, Any]:
        state, doctor = self.state, self.state.doctor
        return {
            "code": str(self.code),
            "next_put": self.next_put,
            "next_read": self.next_read,
            "receipt": None if self.receipt is None else _encode(self.receipt.SerializeToString(deterministic=True)),
            "key_statement": _encode_statement(doctor.party.key_statement),
            "certificate": _encode(doctor.certificate),
            "authority": doctor.party.authority_id,
            "encryption_key": _encode(doctor.encryption_key.encryption_key),
            "encryption_key_id": _encode(doctor.encryption_key.key_id),
            "encryption_key_statement": _encode_statement(doctor.encryption_key.statement),
            "own_key": _encode(state.patient.self_.verifying_key),
            "session_id": _encode(state.session_id),
            "transcript_hash": _encode(state.transcript_hash),
            "sending": _encode_direction(state.sending),
            "receiving": _encode_direction(state.receiving),
            "biosignal_signature": _encode(state.biosignal_signature),
            "began_at": state.began_at,
            "newest": _encode(state.newest),
        }

    @classmethod
    def from_bytes(cls, content: bytes, member: Member, *, now: Instant) -> "PendingConsultation":
        """Read it, and check the doctor again. Raises Authentication, StaleRevocationList."""
        return _restored(json.loads(content), member, member.party(now), now)


class PendingStore:
    """The consultations of one patient that still live."""

    def __init__(self, directory: Path, member: Member) -> None:
        """Keep them in this directory."""
        self._files = SealedFiles(directory, member, PENDING)
        self._member = member

    def put(self, pending: PendingConsultation) -> None:
        """Keep it, in the place of its earlier state; durable when this returns."""
        self._files.put(pending.state.session_id, pending.to_bytes())

    def remove(self, pending: PendingConsultation) -> None:
        """Forget it, its session keys with it."""
        self._files.remove(pending.state.session_id)

    def with_receipt(
        self, pending: PendingConsultation, make: Callable[[], PendingConsultation], *, now: Instant
    ) -> PendingConsultation:
        """Return what follows a diagnosis, its P6 with it: made now, unless another program has taken this diagnosis too."""
        with self._files.alone():
            content = self._files.get(pending.state.session_id)
            if content is None:  # another program has done all that there was to do
                return pending
            kept = PendingConsultation.from_bytes(content, self._member, now=now)
            if kept.state.newest == pending.state.newest:
                kept = make()
                self.put(kept)
            return kept

    def acknowledged(self, pending: PendingConsultation, *, now: Instant) -> None:
        """Note that the room has this P6, and where the room stands; nothing of a diagnosis that was amended since."""
        with self._files.alone():
            content = self._files.get(pending.state.session_id)
            if content is None:
                return
            kept = PendingConsultation.from_bytes(content, self._member, now=now)
            if kept.state.newest == pending.state.newest:
                self.put(pending)

    def all(self, *, now: Instant) -> Iterator[PendingConsultation]:
        """Yield those that still live, the oldest first; remove what is over."""
        opened = []
        for name, content in self._files.all():
            if now >= json.loads(content)["began_at"] + milliseconds(CONSULTATION_LIFE):
                self._files.remove(name)  # its session keys too, also of a doctor whose credential fell
                continue
            with suppress(
                Authentication, GenerationUnknown
            ):  # a doctor whose credential fell; an own key that was revoked
                opened.append(PendingConsultation.from_bytes(content, self._member, now=now))
        yield from sorted(opened, key=lambda one: one.state.began_at)


def _restored(content: dict[str, Any], member: Member, party: Party, now: Instant) -> PendingConsultation:
    key_statement = _decode_statement(content["key_statement"])
    certificate = _decode(content["certificate"])
    stated = member.verifier().party(key_statement, ROLE_DOCTOR, now=now)
    doctor = replace(stated, authority_id=content["authority"])  # whether Cert_D still holds is asked when D5 comes
    encryption_key = EncryptionKey(
        owner=doctor.identity,
        key_id=_decode(content["encryption_key_id"]),
        encryption_key=_decode(content["encryption_key"]),
        statement=_decode_statement(content["encryption_key_statement"]),
    )
    session_id = _decode(content["session_id"])
    # P6 is signed by the key that P1 showed, also where the patient has rotated it since.
    signing_key = member.keys.signing_key_for(_decode(content["own_key"]))
    state = AwaitingDiagnosis(
        patient=replace(party, signing_key=signing_key),
        doctor=Peer(doctor, encryption_key, certificate),
        session_id=session_id,
        transcript_hash=_decode(content["transcript_hash"]),
        sending=_decode_direction(session_id, content["sending"]),
        receiving=_decode_direction(session_id, content["receiving"]),
        biosignal_signature=_decode(content["biosignal_signature"]),
        began_at=content["began_at"],
        newest=_decode(content["newest"]),
    )
    receipt = content["receipt"]
    return PendingConsultation(
        state=state,
        code=DoctorCode.parse(content["code"]),
        next_put=content["next_put"],
        next_read=content["next_read"],
        receipt=None if receipt is None else SessionFrame.FromString(_decode(receipt)),
    )


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decode(value: str) -> bytes:
    return base64.b64decode(value)


def _encode_statement(signed: SignedStatement) -> str:
    return _encode(signed.SerializeToString(deterministic=True))


def _decode_statement(value: str) -> SignedStatement:
    return SignedStatement.FromString(_decode(value))


def _encode_direction(direction: Direction) -> list[Any]:
    return [_encode(direction.keys.key), _encode(direction.keys.iv), direction.sequence]


def _decode_direction(session_id: bytes, value: list[Any]) -> Direction:
    return Direction(session_id, DirectionKeys(_decode(value[0]), _decode(value[1])), value[2])
