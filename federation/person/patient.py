"""The patient's client: a visit to the doctor of a code, its diagnosis, consents given and taken back."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from federation.clock import Clock
from federation.errors import (
    FederationError,
    FieldInvalid,
    GrantRevoked,
    Limit,
    MessageTooLarge,
    NoSuchRoom,
    Refused,
    Unavailable,
)
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.person import exhibits
from federation.person.code import DoctorCode
from federation.person.errors import NoAnswer, NoSuchGrant
from federation.person.evidence import EvidenceBook
from federation.person.maintenance import follow
from federation.person.pending import PendingConsultation, PendingStore
from federation.person.relay import Connect, Mailbox, open_mailbox
from federation.person.trace import Trace
from federation.protocol import consultation
from federation.protocol.access import Terms, make_grant
from federation.protocol.consultation import Diagnosed, Established
from federation.protocol.frames import MOST_BIOSIGNAL_BYTES
from federation.protocol.handshake import AwaitingReply, Session
from federation.protocol.parsing import check
from federation.protocol.parties import Entropy
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant, milliseconds
from federation.store.party import Evidence
from federation.v1 import consultation_pb2 as pb
from federation.v1.consultation_pb2 import ConsultationOpening, ConsultationReply, GetRoomResponse, RelayFrame
from federation.v1.diagnosis_pb2 import DiagnosisDelivery
from federation.v1.directory_pb2 import GetDirectoryResponse
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.statement_pb2 import Grant, SignedStatement
from keystore.biometric import BiometricPassword
from keystore.identities import DoctorId, PatientId

REPLY_SECONDS = 45.0
"""How long a doctor has to answer P1: the message is stale after 30 seconds, and clocks differ."""

Asking = AwaitingReply[ConsultationOpening, ConsultationReply, Established]

Started = Callable[[str], None]
"""Told whom the patient is about to address, before anything of the patient's is sent."""


@dataclass(frozen=True)
class Diagnosis:
    """A diagnosis that a doctor signed: a FHIR DiagnosticReport, whose it is, when it came."""

    doctor_id: DoctorId
    report: bytes
    sent_at: Instant
    received_at: Instant
    records: int
    session_id: bytes


@dataclass(frozen=True)
class KeptGrant:
    """A consent that this patient gave, and whether it was taken back."""

    grant: Grant
    signed: SignedStatement
    revoked: bool


def require_sendable(biosignal: bytes) -> None:
    """Require that a doctor takes a biosignal of this size. Raises MessageTooLarge, FieldInvalid for none at all."""
    if not biosignal:
        raise FieldInvalid("the biosignal is empty")
    if len(biosignal) > MOST_BIOSIGNAL_BYTES:
        raise MessageTooLarge(f"the biosignal has {len(biosignal)} bytes; a doctor takes {MOST_BIOSIGNAL_BYTES}")


def require_terms(terms: Terms) -> None:
    """Require that a grant can say these terms, before anybody is asked to wait for it. Raises MalformedMessage."""
    check(
        Grant(
            grant_id=bytes(16),
            patient_id="P:x",
            patient_serial=bytes(16),
            doctor_id="D:x",
            doctor_certificate_digest=bytes(32),
            hospitals=terms.hospitals,
            department_classes=terms.department_classes,
            rights=terms.rights,
            purpose=terms.purpose,
            not_before=0,
            not_after=milliseconds(terms.life),
        )
    )


class PatientClient:
    """A registered patient. Every method raises `federation.errors` and, for the token, `hsm.errors`."""

    def __init__(
        self,
        member: Member,
        cloud: CloudClient,
        connect: Connect,
        evidence: Evidence,
        pending: Path,
        password: BiometricPassword,
        trace: Trace,
        *,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """Put the client together; `pending` is a directory, `password` what this reading of the body gave."""
        self._member = member
        self._cloud = cloud
        self._connect = connect
        self._password = password
        self._trace = trace
        self._clock = clock
        self._entropy = entropy
        self.book = EvidenceBook(member, evidence)
        self.pending = PendingStore(pending, member)

    def visit(
        self,
        code: DoctorCode,
        biosignal: bytes,
        terms: Terms | None,
        *,
        started: Started = lambda _doctor_id: None,
    ) -> PendingConsultation:
        """Visit the doctor of a code: P1, D1, P2 with a grant on these terms, or none.

        Raises FieldInvalid or MessageTooLarge, before anything is sent, for what could not be; IdentityMismatch if the relay
        serves another doctor, Refused, NoAnswer, Rejected for a false answer, NoSuchRoom.
        """
        require_sendable(biosignal)
        if terms is not None:
            require_terms(terms)
        mailbox = self._mailbox(code)
        room = mailbox.room()
        self._refresh(room)
        now = self._clock()
        verifier = self._member.verifier()
        doctor = consultation.check_room(room, code.digest, verifier, now=now)
        started(doctor.identity)
        party = self._member.party(now)
        awaiting, opening = consultation.begin(
            party, doctor, self._password.value, verifier, now=now, entropy=self._entropy
        )
        self._trace.note("P1", party.identity, doctor.identity, opening)
        mailbox.put(RelayFrame(opening=opening))
        established = self._await_reply(mailbox, awaiting)
        grant = None if terms is None else self._grant(established.session, terms)
        return self._deliver(code, mailbox, established, biosignal, grant)

    def await_diagnosis(self, waiting: PendingConsultation, *, seconds: float) -> Diagnosis:
        """Wait for D5, keep it as evidence, and send the receipt. Raises NoAnswer, Refused, NoSuchRoom, Rejected.

        What is not the doctor's own next message is passed over: anybody with the code may put frames. A receipt is made once
        and kept before it is sent: a second one under the same nonce would give the session key's secrets away.
        """
        if waiting.receipt is None:
            waiting = self._receive_diagnosis(waiting, seconds)
        self._send_receipt(waiting)
        self.pending.remove(waiting)
        return next(found for found in self.diagnoses() if found.session_id == waiting.state.session_id)

    def waiting(self) -> Iterator[PendingConsultation]:
        """Return the consultations that wait for a diagnosis, the oldest first."""
        return self.pending.all(now=self._clock())

    def diagnoses(self) -> list[Diagnosis]:
        """Return the diagnoses that came, the newest first."""
        found: dict[bytes, Diagnosis] = {}
        for kept in self.book.all("D5"):
            d5 = DiagnosisDelivery.FromString(kept.exhibit.message)
            found[kept.reference] = Diagnosis(
                doctor_id=DoctorId(kept.exhibit.signer),
                report=d5.diagnosis,
                sent_at=d5.sent_at,
                received_at=kept.received_at,
                records=len(d5.based_on),
                session_id=kept.reference,
            )
        return list(found.values())[::-1]

    def grants(self) -> list[KeptGrant]:
        """Return the consents given from this profile, the newest first, by the newest revocation list at hand."""
        lists = self._member.verifier().lists
        found = []
        for kept in self.book.all("grant"):
            signed = SignedStatement(statement=kept.exhibit.message, signature=kept.exhibit.signature)
            grant = peek_statement(Grant, signed)
            revoked = False
            try:
                lists.require_grant_good(PatientId(grant.patient_id), grant.grant_id)
            except GrantRevoked:
                revoked = True
            found.append(KeptGrant(grant, signed, revoked))
        return found[::-1]

    def revoke_grant(self, grant_id: bytes) -> None:
        """Take a consent back: the cloud's next list names it. Raises NoSuchGrant, and the cloud's refusal."""
        for kept in self.grants():
            if kept.grant.grant_id == grant_id:
                self._cloud.revoke_grant(self._member, kept.signed)
                return
        raise NoSuchGrant("You gave no consent of this number from here.")

    def refresh(self) -> None:
        """Bring the lists up to date."""
        follow(self._member, self._cloud, self._clock())

    def _mailbox(self, code: DoctorCode, next_put: int = 0, next_read: int = 0) -> Mailbox:
        return open_mailbox(
            self._connect,
            code.address,
            code.hospital_id,
            code.room_id,
            pb.DIRECTION_TO_DOCTOR,
            next_put=next_put,
            next_read=next_read,
        )

    def _refresh(self, room: GetRoomResponse) -> None:
        """Take the cloud's lists, or the relay's where the cloud does not answer; both are signed, none goes back."""
        try:
            follow(self._member, self._cloud, self._clock())
        except Unavailable:
            known = self._member.directory or GetDirectoryResponse()
            newer = GetDirectoryResponse(
                revocation_list=room.revocation_list,
                certificate_revocation_lists=[room.certificate_revocation_list],
            )
            if known.HasField("trust_bundle"):
                newer.trust_bundle.CopyFrom(known.trust_bundle)
            if known.HasField("cloud_encryption_key_statement"):
                newer.cloud_encryption_key_statement.CopyFrom(known.cloud_encryption_key_statement)
            self._member.update(newer)

    def _await_reply(self, mailbox: Mailbox, awaiting: Asking) -> Established:
        doctor_id, own = awaiting.peer.identity, self._member.identity
        failure: FederationError = NoAnswer("The doctor did not answer; ask for a new code and try again.")
        for frame in self._frames(mailbox, awaiting.session_id, seconds=REPLY_SECONDS):
            if frame.WhichOneof("content") != "reply":
                continue
            self._trace.note("D1", doctor_id, own, frame.reply)
            now, verifier = self._clock(), self._member.verifier()
            try:
                established = awaiting.receive(frame.reply, verifier, now=now)
            except FederationError as error:
                failure = error  # not the doctor's: anybody with the code may put frames
                continue
            self.book.keep(exhibits.of_reply(established.session), awaiting.session_id, now=now)
            return established
        raise failure

    def _grant(self, session: Session, terms: Terms) -> SignedStatement:
        now, patient, doctor = self._clock(), session.own, session.peer
        grant = make_grant(patient, doctor.doctor_id, doctor.certificate, terms, now=now, entropy=self._entropy)
        grant_id = peek_statement(Grant, grant).grant_id
        self.book.keep(exhibits.of_grant(grant, patient.self_), grant_id, now=now)
        return grant

    def _deliver(
        self,
        code: DoctorCode,
        mailbox: Mailbox,
        established: Established,
        biosignal: bytes,
        grant: SignedStatement | None,
    ) -> PendingConsultation:
        state, frames = established.deliver(biosignal, grant, now=self._clock())
        waiting = PendingConsultation(state, code, mailbox.next_put, mailbox.next_read)
        # Kept before it is sent: the diagnosis may come while this program no longer runs.
        self.pending.put(waiting)
        for frame in frames:
            self._trace.note("P2", self._member.identity, established.session.peer.identity, frame)
            mailbox.put(RelayFrame(frame=frame))
        waiting = replace(waiting, next_put=mailbox.next_put, next_read=mailbox.next_read)
        self.pending.put(waiting)
        return waiting

    def _receive_diagnosis(self, waiting: PendingConsultation, seconds: float) -> PendingConsultation:
        state = waiting.state
        mailbox = self._mailbox(waiting.code, waiting.next_put, waiting.next_read)
        failure: FederationError = NoAnswer("There is no diagnosis yet.")
        for frame in self._frames(mailbox, state.session_id, seconds=seconds):
            if frame.WhichOneof("content") != "frame":
                continue
            self._trace.note("D5", state.doctor.identity, self._member.identity, frame.frame)
            try:
                diagnosed = self._opened(waiting, frame.frame)
            except FederationError as error:
                failure = error
                continue
            return self._kept(waiting, mailbox, diagnosed)
        raise failure

    def _opened(self, waiting: PendingConsultation, frame: SessionFrame) -> Diagnosed:
        with suppress(Unavailable):
            follow(self._member, self._cloud, self._clock())
        return waiting.state.receive(frame, self._member.verifier(), now=self._clock())

    def _kept(self, waiting: PendingConsultation, mailbox: Mailbox, diagnosed: Diagnosed) -> PendingConsultation:
        now = self._clock()
        self.book.keep(exhibits.of_diagnosis(diagnosed), waiting.state.session_id, now=now)
        moved = replace(waiting, next_put=mailbox.next_put, next_read=mailbox.next_read)
        return self.pending.with_receipt(moved, lambda: diagnosed.receipt(now=now), now=now)

    def _send_receipt(self, waiting: PendingConsultation) -> None:
        if waiting.receipt is not None:
            mailbox = self._mailbox(waiting.code, waiting.next_put, waiting.next_read)
            self._trace.note("P6", self._member.identity, waiting.state.doctor.identity, waiting.receipt)
            # A receipt is a courtesy: the room may be gone or full by now, and the diagnosis holds without it.
            with suppress(NoSuchRoom, Limit, Unavailable):
                mailbox.put(RelayFrame(frame=waiting.receipt))

    def _frames(self, mailbox: Mailbox, session_id: bytes, *, seconds: float) -> Iterator[RelayFrame]:
        """Yield what comes for this session. Raises Refused if the doctor refuses it."""
        for frame in mailbox.follow(seconds=seconds):
            content = frame.WhichOneof("content")
            if content is None or getattr(frame, content).session_id != session_id:
                continue
            if content == "refusal":
                self._trace.note("refusal", "?", self._member.identity, frame.refusal)
                raise Refused("The doctor's side refused the visit, and does not say why.")
            yield frame
