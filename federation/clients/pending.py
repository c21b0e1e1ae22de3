"""Consultations of a patient that wait for their diagnosis, kept through an end of the program (docs/protocol.md, 6).

A file per consultation holds its session keys, sealed under a key of the patient's token: another token, or another
patient, opens nothing. A consultation lives at most 12 hours; what is older is removed.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from federation.clients.code import DoctorCode
from federation.errors import Authentication
from federation.member import Member
from federation.protocol.consultation import CONSULTATION_LIFE
from federation.protocol.parties import Party
from federation.protocol.patient_consultation import AddressedDoctor, AwaitingDiagnosis
from federation.protocol.schedule import DirectionKeys
from federation.protocol.session import Direction
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import EncryptionKey
from federation.store.files import create, make_directory, publish
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.statement_pb2 import ROLE_DOCTOR, SignedStatement
from keystore.errors import SealBroken
from keystore.transcript import text, transcript

_SUFFIX = ".consultation"


@dataclass(frozen=True, repr=False)
class PendingConsultation:
    """A consultation whose P2 is sent, and where in its room it stands.

    `receipt` is P6 once it is made: it is then sent as it is, for a second one would use its nonce again.
    """

    state: AwaitingDiagnosis
    code: DoctorCode
    next_put: int
    next_read: int
    receipt: SessionFrame | None = None

    def to_sealed(self, member: Member) -> bytes:
        """Seal it under the token's key, for this patient and session alone."""
        content = json.dumps(self._content()).encode()
        return member.keys.sealing.seal(content, _context(member, self.state.session_id))

    def _content(self) -> dict[str, Any]:
        state, doctor = self.state, self.state.doctor
        return {
            "code": str(self.code),
            "next_put": self.next_put,
            "next_read": self.next_read,
            "receipt": None if self.receipt is None else _encode(self.receipt.SerializeToString(deterministic=True)),
            "key_statement": _encode_statement(doctor.party.key_statement),
            "certificate": _encode(doctor.certificate),
            "encryption_key": _encode(doctor.encryption_key.encryption_key),
            "encryption_key_id": _encode(doctor.encryption_key.key_id),
            "encryption_key_statement": _encode_statement(doctor.encryption_key.statement),
            "session_id": _encode(state.session_id),
            "transcript_hash": _encode(state.transcript_hash),
            "sending": _encode_direction(state.sending),
            "receiving": _encode_direction(state.receiving),
            "biosignal_signature": _encode(state.biosignal_signature),
            "began_at": state.began_at,
        }

    @classmethod
    def from_sealed(cls, sealed: bytes, session_id: bytes, member: Member, *, now: Instant) -> "PendingConsultation":
        """Open it and check the doctor again. Raises SealBroken for another token's or patient's, Authentication."""
        content = json.loads(member.keys.sealing.open(sealed, _context(member, session_id)))
        return _restored(content, member, member.party(now), now)


class PendingStore:
    """The waiting consultations of one patient, a file each."""

    def __init__(self, directory: Path, member: Member) -> None:
        """Keep them in this directory, made at need with mode 0700."""
        self._directory = directory
        self._member = member

    def put(self, pending: PendingConsultation) -> None:
        """Keep it, in the place of its earlier state; durable when this returns."""
        make_directory(self._directory)
        final = self._path(pending.state.session_id)
        partial = final.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        with create(partial) as file:
            file.write(pending.to_sealed(self._member))
            publish(file, partial, final)

    def remove(self, pending: PendingConsultation) -> None:
        """Forget it, its session keys with it."""
        self._path(pending.state.session_id).unlink(missing_ok=True)

    def all(self, *, now: Instant) -> Iterator[PendingConsultation]:
        """Give those that still live, the oldest first; remove what is over."""
        opened = []
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            # What another token sealed stays closed; a doctor whose credential fell says nothing more.
            with suppress(FileNotFoundError, SealBroken, Authentication):
                session_id = bytes.fromhex(path.stem)
                opened.append(PendingConsultation.from_sealed(path.read_bytes(), session_id, self._member, now=now))
        for pending in sorted(opened, key=lambda one: one.state.began_at):
            if is_over(pending, now=now):
                self.remove(pending)
            else:
                yield pending

    def _path(self, session_id: bytes) -> Path:
        return self._directory / (session_id.hex() + _SUFFIX)


def is_over(pending: PendingConsultation, *, now: Instant) -> bool:
    """Say whether the consultation's 12 hours are over."""
    return now >= pending.state.began_at + milliseconds(CONSULTATION_LIFE)


def _restored(content: dict[str, Any], member: Member, party: Party, now: Instant) -> PendingConsultation:
    key_statement = _decode_statement(content["key_statement"])
    certificate = _decode(content["certificate"])
    doctor = member.verifier().party(key_statement, ROLE_DOCTOR, now=now)
    encryption_key = EncryptionKey(
        owner=doctor.identity,
        key_id=_decode(content["encryption_key_id"]),
        encryption_key=_decode(content["encryption_key"]),
        statement=_decode_statement(content["encryption_key_statement"]),
    )
    session_id = _decode(content["session_id"])
    state = AwaitingDiagnosis(
        patient=party,
        doctor=AddressedDoctor(doctor, certificate, encryption_key),
        session_id=session_id,
        transcript_hash=_decode(content["transcript_hash"]),
        sending=_decode_direction(session_id, content["sending"]),
        receiving=_decode_direction(session_id, content["receiving"]),
        biosignal_signature=_decode(content["biosignal_signature"]),
        began_at=content["began_at"],
    )
    receipt = content["receipt"]
    return PendingConsultation(
        state=state,
        code=DoctorCode.parse(content["code"]),
        next_put=content["next_put"],
        next_read=content["next_read"],
        receipt=None if receipt is None else SessionFrame.FromString(_decode(receipt)),
    )


def _context(member: Member, session_id: bytes) -> bytes:
    return transcript("pending", text(member.identity), session_id)


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
