"""The doctor's client: a room for a patient, a search, records, a diagnosis, its deposit."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from federation.clock import Clock
from federation.errors import (
    FederationError,
    GrantMissing,
    Limit,
    OutOfOrder,
    Rejected,
    SealInvalid,
    StaleMessage,
    Unavailable,
)
from federation.party.audit import Audit, refusal
from federation.party.channels import call
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.person.broken_records import BrokenRecords
from federation.person.code import DoctorCode
from federation.person.dealing import Connect, dealing
from federation.person.deposits import DepositStore, PreparedDeposit, prepare_deposit, send_deposit
from federation.person.duties import Duties
from federation.person.emergencies import DoctorEmergencies
from federation.person.errors import NoAnswer
from federation.person.evidence import EvidenceBook
from federation.person.finding import OnMore, RecordFinder
from federation.person.hospital_session import OnSent, SessionOpener, say_nothing
from federation.person.maintenance import follow
from federation.person.places import OnBrought, locations_brought
from federation.person.profile import Profile
from federation.person.records import Allowance, FetchedRecord, Pause, Progress, RecordFetcher, no_progress
from federation.person.relay import Mailbox
from federation.person.trace import Trace
from federation.protocol import access, exhibits
from federation.protocol.access import covers
from federation.protocol.consultation import (
    AwaitingBiosignal,
    AwaitingReceipt,
    InConsultation,
    code_digest,
    receive_opening,
)
from federation.protocol.identities import require_identity
from federation.protocol.parties import Entropy, reason_of
from federation.protocol.room_requests import ask_for_room, ask_to_close
from federation.protocol.search import RecordLocation
from federation.protocol.time import Instant
from federation.store.party import Evidence, ReplayMemory
from federation.v1 import consultation_pb2 as pb
from federation.v1.consultation_pb2 import RelayFrame
from federation.v1.consultation_pb2_grpc import RelayServiceStub
from federation.v1.diagnosis_pb2 import DiagnosisReceipt
from federation.v1.envelope_pb2 import SealedOpening, SessionFrame, SessionRefusal
from federation.v1.record_pb2 import DepositReceipt
from federation.wire.coarse import until_answer
from keystore.errors import KeystoreError
from keystore.identities import ANY, HospitalId, PatientId, class_of
from keystore.transcript import digest

ROOM_SECONDS = 12 * 3600.0
REFUSAL_FLOOR_SECONDS = 0.05
MOST_SESSIONS = 8
"""How many patients may be between P1 and P2 in one room; the oldest gives way."""

WORN_FRAMES = 768
WORN_BYTES = 16 * 1024 * 1024
"""Of a room: three quarters of the frames, and half of the bytes, that a relay takes."""

LISTS_KEPT_MS = 60_000
LOOKED_THROUGH_MS = 10_000
"""What lay in a room has been read so long after somebody began to wait in it."""

OnRefusal = Callable[[str], None]
"""Told the reason for which a message in the room was refused; its sender learns only that it was."""


OnReceipt = Callable[[str, DiagnosisReceipt], None]
"""Told whose receipt came for an earlier diagnosis of the room."""


@dataclass(frozen=True, repr=False)
class SentDiagnosis:
    """D5 as it was sent, and what waits for its receipt: the same report again is the same message again."""

    report: bytes
    awaiting: AwaitingReceipt
    frame: SessionFrame

    @property
    def receipt_key(self) -> tuple[bytes, int]:
        """Return session and number of the frame that P6 has, whether earlier ones came or not."""
        return self.awaiting.session_id, self.awaiting.consultation.receiving.sequence


@dataclass
class Unattended:
    """From when to when nobody was last waited for in a room: what was sent then may have lain too long, by no fault of its
    sender's. It goes on while `until` is None.
    """

    since: Instant
    until: Instant | None = None

    def end(self, now: Instant) -> None:
        """Note that somebody is waited for from now on, unless that was so before."""
        if self.until is None:
            self.until = now

    def explains(self, frame: RelayFrame, now: Instant) -> bool:
        """Return whether this asked in that time, by its sender's clock; who did asks anew by itself.

        What is read later than what lay there came later: its sender's clock is behind.
        """
        if self.until is None or now > self.until + LOOKED_THROUGH_MS:
            return False
        return frame.HasField("opening") and self.since <= frame.opening.sent_at <= self.until


@dataclass
class DoctorRoom:
    """A room that is open, its code, and who is between P1 and P2 in it: of several patients one after the other.

    `diagnosed` are the diagnoses of each session, the newest last; `owed` those of them that lie in the room and are not
    signed for yet, by `receipt_key`; `set_aside` came while the doctor waited for something else.
    """

    code: DoctorCode
    expires_at: Instant
    mailbox: Mailbox
    duty: access.Duty
    unattended: Unattended
    sessions: dict[bytes, AwaitingBiosignal] = field(default_factory=dict, repr=False)
    diagnosed: dict[bytes, list[SentDiagnosis]] = field(default_factory=dict, repr=False)
    owed: dict[tuple[bytes, int], SentDiagnosis] = field(default_factory=dict, repr=False)
    set_aside: list[RelayFrame] = field(default_factory=list, repr=False)
    taken_bytes: int = 0

    @property
    def is_needed(self) -> bool:
        """Return whether a session's newest diagnosis lies in it that is not signed for: a room that is closed loses it."""
        return any(sent[-1].receipt_key in self.owed for sent in self.diagnosed.values())

    @property
    def is_worn(self) -> bool:
        """Return whether the next patient had better get another room: the relay's holds so much, and no more."""
        return self.mailbox.next_read >= WORN_FRAMES or self.taken_bytes >= WORN_BYTES

    def follow(self, *, seconds: float) -> Iterator[RelayFrame]:
        """Yield the patients' frames, first those that were set aside. Raises NoSuchRoom."""
        while self.set_aside:
            yield self.set_aside.pop(0)
        for frame in self.mailbox.follow(seconds=seconds):
            self.taken_bytes += frame.ByteSize()
            yield frame


class DoctorClient:
    """A registered doctor at work. Every method raises `federation.errors` and, for the token, `hsm.errors`."""

    def __init__(
        self,
        member: Member,
        cloud: CloudClient,
        connect: Connect,
        replay: ReplayMemory,
        evidence: Evidence,
        audit: Audit,
        profile: Profile,
        trace: Trace,
        *,
        clock: Clock,
        entropy: Entropy,
        pause: Pause = time.sleep,
    ) -> None:
        """Put the client together, with its directory."""
        self._member = member
        self._cloud = cloud
        self._connect = dealing(connect, member)
        self._replay = replay
        self._audit = audit
        self._trace = trace
        self._clock = clock
        self._entropy = entropy
        self.book = EvidenceBook(member, evidence)
        self._sessions = SessionOpener(member, self._connect, self.book, trace, clock, entropy)
        self._deposits = DepositStore(profile.deposits, member)
        self._fetcher = RecordFetcher(self._sessions, BrokenRecords(profile, member, clock), pause)
        self._finder = RecordFinder(member, cloud, self.book, clock)
        self._duties = Duties(member, self._connect, trace, clock, entropy)
        self._lists_read_at = 0
        self.emergencies = DoctorEmergencies(
            member, self._duties, self._finder, self._fetcher, profile.emergencies, self._refreshed, entropy
        )

    def open_room(self, hospital_id: HospitalId, address: str) -> DoctorRoom:
        """Open a room at the relay of the doctor's hospital; its code is what the patient gets.

        Raises FieldInvalid, NotOnDuty, and Authorization for a duty that is none of this doctor's.
        """
        require_identity("hospital", hospital_id)
        require_identity("address", address)
        channel = self._connect(address, hospital_id)
        now = self._refreshed()
        party = self._member.party(now)
        request = ask_for_room(party, hospital_id, now=now, entropy=self._entropy)
        answer = call(RelayServiceStub(channel).OpenRoom, request)
        self._trace.note("room", self._member.identity, hospital_id, request)
        mailbox = Mailbox(channel, answer.room_id, pb.DIRECTION_TO_PATIENT)
        self._member.lists.hear(answer.revocations)
        duty = self._duties.take(answer.duty, hospital_id, address)
        statement = request.key_statement
        digest = code_digest(statement.statement, statement.signature, party.certificate)
        code = DoctorCode(address, hospital_id, answer.room_id, digest)
        return DoctorRoom(code, answer.expires_at, mailbox, duty, Unattended(now))

    def close_room(self, room: DoctorRoom) -> None:
        """Close a room that nobody needs any more. Raises NoSuchRoom, Unavailable: then it goes by itself, hours later."""
        party = self._member.party(self._clock())
        channel = self._connect(room.code.address, room.code.hospital_id)
        call(RelayServiceStub(channel).CloseRoom, ask_to_close(party, room.code.hospital_id, room.code.room_id))

    def duty(self, hospital_id: HospitalId, address: str) -> access.Duty:
        """Ask the doctor's hospital for the duty that it states now. Raises FieldInvalid, NotOnDuty."""
        require_identity("hospital", hospital_id)
        require_identity("address", address)
        self._refreshed()
        return self._duties.ask(hospital_id, address)

    def await_patient(
        self,
        room: DoctorRoom,
        *,
        seconds: float = ROOM_SECONDS,
        on_refusal: OnRefusal = lambda _reason: None,
        on_receipt: OnReceipt = lambda _patient_id, _receipt: None,
    ) -> InConsultation:
        """Answer who asks in the room until one patient is present: P1, D1, P2. Raises NoAnswer, NoSuchRoom.

        Who is refused gets a SessionRefusal, and the room goes on waiting. `on_refusal` is not told of who asked while nobody
        was waited for, and is out of date for that alone.
        """
        room.unattended.end(self._clock())
        for frame in room.follow(seconds=seconds):
            began = time.monotonic()
            try:
                present = self._take(room, frame, on_receipt)
            except (FederationError, KeystoreError) as error:
                self._audit.record(refusal(error, "await_patient", ""), now=self._clock())
                if not (isinstance(error, StaleMessage) and room.unattended.explains(frame, self._clock())):
                    on_refusal(reason_of(error))
                self._refuse(room, frame, began)
                continue
            if present is not None:
                room.unattended = Unattended(self._clock())
                return present
        raise NoAnswer("No patient came to the room in time.")

    def search(
        self,
        consultation: InConsultation,
        department_class: str | None = None,
        on_more: OnMore = lambda: None,
        on_brought: OnBrought | None = None,
    ) -> list[RecordLocation]:
        """Ask the public cloud where the patient's records are: every page, of one class or of all that the grant covers.

        No record yet is an empty list. `on_more` is told of a search that has more pages than are read. Where the cloud does not
        answer, and only then, what the patient brought takes its place, and `on_brought` is told; without it, nothing does.
        Raises GrantMissing without a grant, Authorization for what is wrong with it, and as `read_places`.
        """
        grant = consultation.shown.claimed_grant
        if grant is None:
            raise GrantMissing("The patient gave no consent to look for records.")
        self._refreshed()
        asked = [department_class] if department_class else _classes(grant)
        shown = self._duties.refreshed(consultation.shown)
        try:
            return self._finder.find(shown, asked, consultation.session.session_id, on_more)
        except Unavailable:
            if on_brought is None or consultation.places is None:
                raise
            now = self._clock()
            brought = locations_brought(
                consultation.places, consultation.patient_id, grant, self._member, self._connect, now
            )
        on_brought(brought)
        return [it for it in brought.locations if department_class in (None, ANY, class_of(it.department_id))]

    def fetch(
        self,
        consultation: InConsultation,
        locations: Sequence[RecordLocation],
        progress: Progress = no_progress,
        allowance: Allowance | None = None,
    ) -> Iterator[FetchedRecord]:
        """Fetch the records at these locations; each is whole and verified when it comes. Close each after use.

        `allowance` is what the visit may take; give the same one to all its fetches.
        """
        self._refreshed()
        shown = self._duties.refreshed(consultation.shown)
        return self._fetcher.fetch(shown, locations, progress, allowance or Allowance())

    def diagnose(
        self, room: DoctorRoom, consultation: InConsultation, report: bytes, records: Sequence[FetchedRecord]
    ) -> AwaitingReceipt:
        """Sign and send the diagnosis, a FHIR DiagnosticReport that rests on these records: D5.

        The same report again is the same message again, as after a lost connection; another one would use its nonce twice,
        and raises OutOfOrder: the diagnosis is then to be amended. Raises SessionExpired.
        """
        session_id = consultation.session.session_id
        if session_id not in room.diagnosed:
            now = self._clock()
            self._sent(room, report, consultation.diagnose(report, _signatures(records), now=now), now)
        if room.diagnosed[session_id][-1].report != report:
            raise OutOfOrder("this consultation has its diagnosis already")
        return self._put_newest(room, session_id)

    def amend(
        self, room: DoctorRoom, diagnosed: AwaitingReceipt, report: bytes, records: Sequence[FetchedRecord]
    ) -> AwaitingReceipt:
        """Sign and send what takes the place of this diagnosis, the newest of its consultation: a further D5 that names it.

        The report says so too (`diagnostic_report(amends=...)`). The same report again is the same message again. Both stay
        evidence, and each gets its own receipt. Raises OutOfOrder if another amended it, Limit after as many as there may
        be, SessionExpired.
        """
        session_id = diagnosed.session_id
        newest, now = room.diagnosed[session_id][-1], self._clock()
        if newest.awaiting == diagnosed:
            self._sent(room, report, diagnosed.amend(report, _signatures(records), now=now), now)
        elif newest.report != report or newest.awaiting.diagnosis.amends != digest(diagnosed.diagnosis.signature):
            raise OutOfOrder("this diagnosis is amended already")
        return self._put_newest(room, session_id)

    def await_receipt(self, room: DoctorRoom, awaiting: AwaitingReceipt, *, seconds: float) -> DiagnosisReceipt | None:
        """Wait so long for the patient's receipt, P6; None if none came, for it is the patient's to give.

        What else comes is set aside, for `await_patient`.
        """
        set_aside: list[RelayFrame] = []
        try:
            for frame in room.follow(seconds=seconds):
                if frame.WhichOneof("content") != "frame" or frame.frame.session_id != awaiting.session_id:
                    set_aside.append(frame)
                    continue
                receipt = self._take_receipt(room, frame.frame)
                if receipt is not None and receipt.diagnosis_digest == digest(awaiting.diagnosis.signature):
                    return receipt
        finally:
            room.set_aside[:0] = set_aside
        return None

    def prepare_deposit(
        self, awaiting: AwaitingReceipt, hospital_id: HospitalId, address: str, department_class: str
    ) -> PreparedDeposit:
        """Put the deposit together, and keep it until there is a receipt. Raises GrantMissing, NotOnDuty, Unavailable."""
        blind, duty = self._entropy(32), self._duties.at_hand(hospital_id, address)
        prepared = prepare_deposit(awaiting, address, hospital_id, duty, department_class, blind, now=self._clock())
        self._deposits.put(prepared)
        return prepared

    def deposit(self, prepared: PreparedDeposit, on_sent: OnSent = say_nothing) -> DepositReceipt:
        """Deposit at the doctor's own hospital; the same prepared deposit again gets the same receipt.

        One that it amends and that has no receipt yet goes first: the hospital keeps them in their order.
        """
        self._refreshed()
        amended = self._deposits.amended_by(prepared)
        if amended is not None:
            self.deposit(amended, on_sent)
        return send_deposit(self._sessions, self._deposits, self._duties, prepared, on_sent)

    def waiting_deposits(self) -> list[PreparedDeposit]:
        """Return the deposits that have no receipt yet, of earlier runs of the program too."""
        return self._deposits.all()

    def _take(self, room: DoctorRoom, frame: RelayFrame, on_receipt: OnReceipt) -> InConsultation | None:
        content = frame.WhichOneof("content")
        if content == "opening":
            self._answer(room, frame.opening)
        elif content == "frame" and frame.frame.session_id in room.sessions:
            return self._take_frame(room, frame.frame)
        elif content == "frame" and (owed := room.owed.get((frame.frame.session_id, frame.frame.sequence))) is not None:
            receipt = self._take_receipt(room, frame.frame)
            if receipt is not None:
                on_receipt(owed.awaiting.consultation.patient_id, receipt)
        return None

    def _sent(self, room: DoctorRoom, report: bytes, made: tuple[AwaitingReceipt, SessionFrame], now: Instant) -> None:
        """Keep D5 before it is sent: made anew, it would use its nonce again."""
        sent = SentDiagnosis(report, *made)
        session_id = sent.awaiting.session_id
        room.diagnosed.setdefault(session_id, []).append(sent)
        self.book.keep(exhibits.of_own_diagnosis(sent.awaiting), session_id, now=now)
        room.owed[sent.receipt_key] = sent

    def _put_newest(self, room: DoctorRoom, session_id: bytes) -> AwaitingReceipt:
        newest = room.diagnosed[session_id][-1]
        self._put_frame(room, "D5", newest.awaiting.consultation.patient.patient_id, newest.frame)
        return newest.awaiting

    def _take_receipt(self, room: DoctorRoom, frame: SessionFrame) -> DiagnosisReceipt | None:
        """Take P6 for the diagnosis that its number answers; None for what is none: anybody with the code may put frames."""
        owed = room.owed.get((frame.session_id, frame.sequence))
        if owed is None:
            return None
        patient = owed.awaiting.consultation.patient
        self._trace.note("P6", patient.identity, self._member.identity, frame)
        try:
            receipt, signed = owed.awaiting.receive(frame, self._member.verifier(), now=self._clock())
        except FederationError:
            return None
        self.book.keep(exhibits.of_receipt(signed, patient), frame.session_id, now=self._clock())
        del room.owed[owed.receipt_key]
        return receipt

    def _answer(self, room: DoctorRoom, opening: SealedOpening) -> None:
        """Take P1 and send D1. The replay key is in this doctor's own store before anything is answered."""
        if opening.session_id in room.sessions:
            return  # the relay's room says who is asking already; a second P1 of that name changes nothing
        now, heard_at = self._refreshed(), time.monotonic()
        try:
            pending = receive_opening(self._member.party(now), opening, self._member.verifier(), now=now)
            inserted = self._replay.admit(pending.replay_key, now=now, until=pending.keep_until)
            received = pending.admit(inserted)  # P1.9
        except FederationError:
            self._trace.note("P1", "?", self._member.identity, opening)
            raise
        patient_id = received.peer.identity
        self._trace.note("P1", patient_id, self._member.identity, opening)
        state, reply = received.reply(now=self._clock(), entropy=self._entropy)
        while len(room.sessions) >= MOST_SESSIONS:
            del room.sessions[next(iter(room.sessions))]
        room.sessions[opening.session_id] = state
        self._trace.note("D1", self._member.identity, patient_id, reply)
        time.sleep(until_answer(time.monotonic() - heard_at))
        room.mailbox.put(RelayFrame(reply=reply))

    def _take_frame(self, room: DoctorRoom, frame: SessionFrame) -> InConsultation | None:
        """Take a frame of P2; the last one makes the patient present. One that does not open is somebody else's: passed over."""
        state = room.sessions.pop(frame.session_id)
        self._trace.note("P2", state.patient.identity, self._member.identity, frame)
        now, duty = self._clock(), self._duties.at_hand(room.code.hospital_id, room.code.address)
        try:
            outcome = state.receive(frame, self._member.verifier(), duty, now=now)
        except Rejected as error:
            if not isinstance(error.__cause__, SealInvalid | OutOfOrder):
                raise
            room.sessions[frame.session_id] = state
            self._audit.record(refusal(error, "await_patient", ""), now=now)
            return None
        if isinstance(outcome, AwaitingBiosignal):
            room.sessions[frame.session_id] = outcome
            return None
        self._send_away(room)
        self.book.keep(exhibits.of_opening(outcome.session), frame.session_id, now=now)
        self.book.keep(exhibits.of_biosignal(outcome), frame.session_id, now=now)
        return outcome

    def _refuse(self, room: DoctorRoom, frame: RelayFrame, began: float) -> None:
        """Say no and nothing else, not before a fixed floor (B9)."""
        session_id = _session_id(frame)
        if len(session_id) == 16:
            time.sleep(max(0.0, REFUSAL_FLOOR_SECONDS - (time.monotonic() - began)))
            answer = SessionRefusal(session_id=session_id, sent_at=self._clock())
            self._trace.note("refusal", self._member.identity, "?", answer)
            room.mailbox.put(RelayFrame(refusal=answer))

    def _send_away(self, room: DoctorRoom) -> None:
        """Tell who else is between P1 and P2 that the doctor sees somebody: their P2 would be stale before it is read."""
        for session_id in list(room.sessions):
            del room.sessions[session_id]
            with suppress(Unavailable, Limit):
                room.mailbox.put(RelayFrame(refusal=SessionRefusal(session_id=session_id, sent_at=self._clock())))

    def _put_frame(self, room: DoctorRoom, name: str, patient_id: PatientId, frame: SessionFrame) -> None:
        self._trace.note(name, self._member.identity, patient_id, frame)
        room.mailbox.put(RelayFrame(frame=frame))

    def _refreshed(self) -> Instant:
        """Bring lists and epoch up to date if a minute has passed; give now."""
        now = self._clock()
        if not 0 <= now - self._lists_read_at < LISTS_KEPT_MS:
            # Without the cloud the kept lists do, as long as they are current: whoever uses them checks that.
            with suppress(Unavailable):
                follow(self._member, self._cloud, now)
                self._lists_read_at = now
        return now


def _signatures(records: Sequence[FetchedRecord]) -> tuple[bytes, ...]:
    return tuple(record.end.signature for record in records)


def _classes(grant: access.Grant) -> Sequence[str]:
    """Return what to ask for: all classes at once where the grant covers all, else each that it names."""
    named = grant.department_classes
    return [ANY] if covers(named, ANY) else named


def _session_id(frame: RelayFrame) -> bytes:
    content = frame.WhichOneof("content")
    if content == "opening":
        return frame.opening.session_id
    return frame.frame.session_id if content == "frame" else b""
