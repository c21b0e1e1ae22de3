"""The patient's client: a look at the doctor of a code, a visit, its diagnosis; one's own records; what one signed."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from federation.clock import Clock
from federation.errors import (
    FederationError,
    Limit,
    MessageTooLarge,
    NoSuchRoom,
    OutOfOrder,
    Refused,
    Rejected,
    SealInvalid,
    Unavailable,
)
from federation.party.cloud_client import CloudClient
from federation.party.log_peers import ask_for_stamp
from federation.party.member import Member
from federation.person.access_log import ReadAccess, joined
from federation.person.broken_records import BrokenRecords
from federation.person.code import DoctorCode
from federation.person.consents import Consents, KeptGrant, NewGrant, consent_of
from federation.person.dealing import Connect, dealing
from federation.person.documents import add_document
from federation.person.errors import NoAnswer, NoDeputy
from federation.person.evidence import EvidenceBook
from federation.person.finding import MOST_PAGES, OnMore, RecordFinder
from federation.person.hiding import HidingBook
from federation.person.hospital_session import OnSent, SessionOpener, say_nothing
from federation.person.interruption import Interruption
from federation.person.known_logs import KnownLogs, LogChecker
from federation.person.log_reading import LogReader, OnPage, no_page
from federation.person.maintenance import follow
from federation.person.pending import PendingConsultation, PendingStore
from federation.person.places import Handed, PlacesBook
from federation.person.profile import Profile
from federation.person.records import Allowance, FetchedRecord, Pause, Progress, RecordFetcher, no_progress
from federation.person.relay import Mailbox, open_mailbox
from federation.person.room_view import RoomView
from federation.person.trace import Trace
from federation.person.waiting import PatientActs, WaitingActs
from federation.protocol import consultation, exhibits
from federation.protocol.consent import peek_deputyship, write_grantee
from federation.protocol.consultation import Diagnosed, Established
from federation.protocol.documents import NewDocument
from federation.protocol.exhibit import KeptExhibit
from federation.protocol.frames import MOST_BIOSIGNAL_BYTES
from federation.protocol.handshake import AwaitingReply
from federation.protocol.parsing import check
from federation.protocol.parties import Entropy
from federation.protocol.search import Answer, RecordLocation
from federation.protocol.shown import Shown
from federation.protocol.time import Instant, milliseconds
from federation.protocol.told_log import ToldLog
from federation.store.party import Evidence
from federation.v1 import consultation_pb2 as pb
from federation.v1.access_pb2 import ACCESS_GROUND_EMERGENCY, Deputyship
from federation.v1.consultation_pb2 import ConsultationOpening, ConsultationReply, GetRoomResponse, RelayFrame
from federation.v1.diagnosis_pb2 import DiagnosisDelivery
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.log_pb2 import GetTimeStampResponse
from federation.v1.record_pb2 import DepositReceipt
from federation.v1.search_pb2 import KeptPlaces
from federation.v1.statement_pb2 import Grant, RevocationExcerpt
from keystore import pem
from keystore.biometric import BiometricPassword
from keystore.errors import CertificateRejected
from keystore.identities import ANY, DoctorId, HospitalId, PatientId
from keystore.transcript import digest

REPLY_SECONDS = 30.0
"""How long a doctor has to answer P1, which is stale then: who still waits says it anew, each time after twice as long."""

LONGEST_PAUSE_SECONDS = 120.0
"""Between two P1 of one patient: a room takes so many frames in all, and others may wait there too."""

SLICE_SECONDS = 2.0
"""How long a wait for the doctor's answer goes on before it is asked whether it is to go on."""

Asking = AwaitingReply[ConsultationOpening, ConsultationReply, Established]

Waiting = Callable[[], None]
"""Told that the doctor has not answered yet, and that the patient asks again."""

GoOn = Callable[[], None]
"""Asked again and again whether a wait is to go on: what it raises ends the wait."""

OnHanded = Callable[[Handed], None]
"""Told that where records are goes to the doctor, for the public cloud does not answer."""

Offer = NewGrant | KeptGrant
"""What a visit consents to: a new grant, or one that was given before."""


@dataclass(frozen=True)
class Diagnosis:
    """A diagnosis that a doctor signed: a FHIR DiagnosticReport, whose it is, when it came.

    `amends` is the one whose place it takes, as the doctor signed it.
    """

    doctor_id: DoctorId
    report: bytes
    sent_at: Instant
    received_at: Instant
    records: int
    session_id: bytes
    amends: "Diagnosis | None" = None


def require_sendable(biosignal: bytes) -> None:
    """Require that a doctor takes a biosignal of this size; none is 0 bytes. Raises MessageTooLarge."""
    if len(biosignal) > MOST_BIOSIGNAL_BYTES:
        raise MessageTooLarge(f"the biosignal has {len(biosignal)} bytes; a doctor takes {MOST_BIOSIGNAL_BYTES}")


def require_terms(new: NewGrant) -> None:
    """Require that a grant can say this, before anybody is asked to wait for it. Raises MalformedMessage."""
    terms = new.terms
    check(
        Grant(
            grant_id=bytes(16),
            patient_id="P:x",
            signer_id="P:x",
            signer_serial=bytes(16),
            grantee=write_grantee(new.grantee),
            hospitals=terms.hospitals,
            department_classes=terms.department_classes,
            highest_sensitivity=terms.highest_sensitivity,
            rights=terms.rights,
            purpose=terms.purpose,
            stated_at=0,
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
        profile: Profile,
        password: BiometricPassword,
        trace: Trace,
        *,
        clock: Clock,
        entropy: Entropy,
        pause: Pause = time.sleep,
    ) -> None:
        """Put the client together, with its directory; `password` is what this reading of the body gave."""
        self._member = member
        self._cloud = cloud
        self._connect = dealing(connect, member)
        self._password = password
        self._trace = trace
        self._clock = clock
        self._entropy = entropy
        self.book = EvidenceBook(member, evidence)
        self.pending = PendingStore(profile.pending, member)
        waiting = WaitingActs(profile.waiting, member)
        self.consents = Consents(member, cloud, self.book, waiting.is_taken_back, clock=clock, entropy=entropy)
        self.hiding = HidingBook(profile.hidden, member, cloud, self.consents, clock=clock)
        self._opener = SessionOpener(member, self._connect, self.book, trace, clock, entropy)
        self._fetcher = RecordFetcher(self._opener, BrokenRecords(profile, member, clock), pause)
        self._finder = RecordFinder(member, cloud, self.book, clock)
        self.known_logs = KnownLogs(profile.known_logs, member)
        self._checker = LogChecker(member, self.known_logs, self.book)
        self._logs = LogReader(member, self._finder, self._fetcher, self._checker, clock=clock, entropy=entropy)
        self.places = PlacesBook(profile.places, member)
        self._is_cloud_silent = False
        self.acts = PatientActs(waiting, self.consents, self.hiding, self.places, clock=clock, entropy=entropy)

    def look(self, code: DoctorCode) -> RoomView:
        """Look at the doctor of a code, and where that doctor is on duty; nothing of the patient goes out.

        Raises IdentityMismatch if the relay serves another doctor, DutyInvalid, DutyExpired, DutyRevoked, NoSuchRoom.
        """
        return self._view(code, self._mailbox(code))

    def require_use(self, offer: Offer | None, view: RoomView) -> None:
        """Require that a consent can be said, and would be of use to this doctor now. Raises MalformedMessage, Authorization."""
        if offer is not None:
            if isinstance(offer, NewGrant):
                require_terms(offer)
            now = self._clock()
            view.require_use(offer, self._member.party(now).self_, self._member.verifier(), now=now)

    def visit(
        self,
        view: RoomView,
        biosignal: bytes = b"",
        offer: Offer | None = None,
        *,
        answer_seconds: float = REPLY_SECONDS,
        waiting: Waiting = lambda: None,
        go_on: GoOn | None = None,
        on_handed: OnHanded = lambda _handed: None,
        on_sent: OnSent = say_nothing,
    ) -> PendingConsultation:
        """Visit the doctor who was looked at: P1, D1, P2 with this consent, or none.

        Where the public cloud does not answer, what is kept of where records are goes with it, as far as the consent covers
        it, and `on_handed` is told. `on_sent` is told of the biosignal on its way.

        P1 is said anew until the doctor answers, for so long: somebody else may be with the doctor. Raises, before anything is
        sent, MessageTooLarge, MalformedMessage and Authorization for what could not be, or would be of no use; RoomChanged if
        the room is not what was looked at; Refused, NoAnswer, Rejected for a false answer, NoSuchRoom; and what `go_on` raises,
        as long as the doctor has not answered: no consent is signed then.
        """
        require_sendable(biosignal)
        self.require_use(offer, view)
        mailbox = self._mailbox(view.code)
        established = self._established(view, mailbox, answer_seconds, waiting, go_on)
        shown = self._shown(offer, established)
        handed = self._handed(shown)
        if handed is not None:
            on_handed(handed)
        places = None if handed is None else handed.message
        return self._deliver(view.code, mailbox, established, biosignal, shown, places, on_sent)

    def find_records(
        self, deputyship: Deputyship | None = None, on_more: OnMore = lambda: None
    ) -> list[RecordLocation]:
        """Ask the public cloud where one's own records are, or of whom one stands for.

        What is found is kept, for where the cloud is silent. `on_more` is told of more pages than are read. Raises
        Authorization for what is wrong with the deputyship.
        """
        self.refresh()
        own, answers = self._own(deputyship), list[Answer]()
        found = self._finder.find(own, [ANY], self._entropy(16), on_more, answers.append)
        self._keep_places(own.patient_id, answers)
        return found

    def fetch_records(
        self,
        locations: Sequence[RecordLocation],
        progress: Progress = no_progress,
        allowance: Allowance | None = None,
        *,
        deputyship: Deputyship | None = None,
    ) -> Iterator[FetchedRecord]:
        """Fetch one's own records at these locations, as a doctor does: whole and verified. Close each after use."""
        return self._fetcher.fetch(self._own(deputyship), locations, progress, allowance or Allowance())

    def add_document(
        self,
        hospital_id: HospitalId,
        address: str,
        department_class: str,
        new: NewDocument,
        deputyship: Deputyship | None = None,
        on_sent: OnSent = say_nothing,
    ) -> DepositReceipt:
        """Add a document to one's own record at a hospital, or to that of whom one stands for. Raises as `documents`."""
        shown = self._own(deputyship)
        return add_document(self._opener, shown, hospital_id, address, department_class, new, on_sent)

    def accesses_at_cloud(
        self,
        deputyship: Deputyship | None = None,
        on_more: OnMore = lambda: None,
        *,
        most_pages: int | None = None,
    ) -> ToldLog:
        """Return who asked the public cloud for one's own records, or of whom one stands for, proved, the newest first.

        Raises Authorization for what is wrong with the deputyship, and as `LogChecker.checked`.
        """
        self.refresh()
        told = self._logs.at_cloud(self._own(deputyship), on_more, most_pages)
        self._have_dated(self._member.anchors.cloud_id, self._member.trust.newest().content.cloud_address)
        return told

    def accesses_at(
        self,
        hospital_id: HospitalId,
        address: str,
        deputyship: Deputyship | None = None,
        on_page: OnPage = no_page,
        *,
        most_pages: int = MOST_PAGES,
        before: ToldLog | None = None,
    ) -> ToldLog:
        """Return the same of a hospital, at this address: so many pages, or so many more, older than those before.

        Raises as `fetch_records`, and as `LogChecker.checked`.
        """
        own = self._own(deputyship)
        told = self._logs.at_hospital(own, hospital_id, address, on_page, most_pages, before)
        self._have_dated(hospital_id, address)
        return told

    def _have_dated(self, party_id: str, address: str) -> None:
        def ask(number: int, size: int) -> GetTimeStampResponse:
            return ask_for_stamp(self._connect(address, party_id), number, size)

        self._checker.have_dated(party_id, ask, now=self._clock())

    def new_emergencies(self) -> Sequence[ReadAccess]:
        """Return in which emergencies one's own records were looked for lately, since the log was last read from here.

        Only the newest page of the public cloud's log is asked for. Raises Unavailable, Rejected, and as `LogChecker.checked`.
        """
        cloud_id = self._member.anchors.cloud_id
        told = self.accesses_at_cloud(most_pages=1)
        seen = self.known_logs.leaves(PatientId(self._member.identity), cloud_id)
        return [
            access
            for access in joined(cloud_id, told.entries)
            if access.entry.leaf_index not in seen and access.entry.ground == ACCESS_GROUND_EMERGENCY
        ]

    def await_diagnosis(
        self, waiting: PendingConsultation, *, seconds: float, interruption: Interruption | None = None
    ) -> Diagnosis:
        """Wait for D5, keep it as evidence, and send the receipt. Raises NoAnswer, Refused, NoSuchRoom, Rejected.

        What is not the doctor's own next message is passed over: anybody with the code may put frames. A receipt is made once
        and kept before it is sent: a second one under the same nonce would give the session key's secrets away. The
        consultation stays until its life ends, for the diagnosis may be amended.
        """
        if not waiting.has_diagnosis:
            waiting = self._receive_diagnosis(waiting, seconds, interruption)
        self._send_receipt(waiting)
        return self._newest(waiting)

    def look_for_amendment(
        self, diagnosed: PendingConsultation, *, seconds: float, interruption: Interruption | None = None
    ) -> Diagnosis | None:
        """Take what amends a diagnosis, and return the newest; None if nothing came in so long, as mostly nothing does.

        A room that is gone holds none: then the consultation is forgotten. Raises Refused, Rejected, Unavailable.
        """
        newest = diagnosed
        try:
            while True:
                newest = self._receive_diagnosis(self._send_receipt(newest), seconds, interruption)
        except NoAnswer:
            pass
        except NoSuchRoom:
            self.pending.remove(newest)
        return None if newest.state.newest == diagnosed.state.newest else self._newest(newest)

    def waiting(self) -> Iterator[PendingConsultation]:
        """Return the consultations that wait for a diagnosis, the oldest first."""
        return (one for one in self.pending.all(now=self._clock()) if not one.has_diagnosis)

    def amendable(self) -> Iterator[PendingConsultation]:
        """Return the consultations whose diagnosis came and may still be amended, the oldest first."""
        return (one for one in self.pending.all(now=self._clock()) if one.has_diagnosis)

    def diagnoses(self) -> list[Diagnosis]:
        """Return the diagnoses that came, the newest first: of each consultation the one that stands, with what it amends."""
        came: dict[bytes, dict[bytes, KeptExhibit]] = {}
        for kept in self.book.all("D5"):
            amends = DiagnosisDelivery.FromString(kept.exhibit.message).amends
            came.setdefault(kept.reference, {})[amends] = kept
        found = [newest for by_amended in came.values() if (newest := _newest_of(by_amended)) is not None]
        return sorted(found, key=lambda diagnosis: diagnosis.received_at, reverse=True)

    def refresh(self) -> None:
        """Bring the lists up to date, and send what has waited for the public cloud. Raises Unavailable."""
        follow(self._member, self._cloud, self._clock())
        self.acts.send()

    def require_still_good(self, view: RoomView) -> None:
        """Decide anew on a room's doctor, by the newest lists that are to be had. Raises Authentication, StaleRevocationList."""
        with suppress(Unavailable):
            self.refresh()
        view.doctor.require_still_good(self._member.verifier(), now=self._clock())

    def _newest(self, diagnosed: PendingConsultation) -> Diagnosis:
        return next(found for found in self.diagnoses() if found.session_id == diagnosed.state.session_id)

    def _own(self, deputyship: Deputyship | None) -> Shown:
        if deputyship is None:
            return Shown.by_own_right(PatientId(self._member.identity))
        return Shown.by_own_right(peek_deputyship(deputyship).patient_id, deputyship)

    def _keep_places(self, patient_id: PatientId, answers: Sequence[Answer]) -> None:
        """Keep where records are, and what is hidden of them: a deputy who may not ask for that was not shown it either."""
        with suppress(FederationError):
            try:
                hidden = self.hiding.look(patient_id).restriction.hidden
            except NoDeputy:
                hidden = ()
            self.places.keep(patient_id, answers, hidden)

    def _handed(self, shown: Shown) -> Handed | None:
        """Return where records are, for a doctor whom the consent lets look, where the public cloud does not answer."""
        grant = shown.claimed_grant
        if not self._is_cloud_silent or grant is None:
            return None
        return self.places.handed(shown.patient_id, grant, self._clock())

    def _view(self, code: DoctorCode, mailbox: Mailbox) -> RoomView:
        room = mailbox.room()
        self._refresh(room)
        now, verifier = self._clock(), self._member.verifier()
        doctor = consultation.check_room(room, code.digest, verifier, now=now)
        duty = consultation.check_duty(room, doctor, code.hospital_id, verifier, now=now)
        return RoomView(code, doctor, duty)

    def _established(
        self, view: RoomView, mailbox: Mailbox, seconds: float, waiting: Waiting, go_on: GoOn | None
    ) -> Established:
        deadline, pause = time.monotonic() + seconds, REPLY_SECONDS
        while True:
            seen = self._view(view.code, mailbox)
            view.require_same(seen)
            now = self._clock()
            party = self._member.party(now)
            awaiting, opening = consultation.begin(
                party, seen.doctor, self._password.value, self._member.verifier(), now=now, entropy=self._entropy
            )
            self._trace.note("P1", party.identity, seen.doctor.identity, opening)
            mailbox.put(RelayFrame(opening=opening))
            try:
                return self._await_reply(mailbox, awaiting, min(pause, deadline - time.monotonic()), go_on)
            except (NoAnswer, Rejected):
                if time.monotonic() >= deadline:
                    raise
                waiting()
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _mailbox(
        self, code: DoctorCode, next_put: int = 0, next_read: int = 0, interruption: Interruption | None = None
    ) -> Mailbox:
        place, puts = (code.address, code.hospital_id, code.room_id), pb.DIRECTION_TO_DOCTOR
        return open_mailbox(
            self._connect, *place, puts, next_put=next_put, next_read=next_read, interruption=interruption
        )

    def _refresh(self, room: GetRoomResponse) -> None:
        """Take the cloud's lists, or the relay's where the cloud does not answer; both are signed, none goes back."""
        self._is_cloud_silent = True
        with suppress(Unavailable):
            follow(self._member, self._cloud, self._clock())
            self._is_cloud_silent = False
        excerpt = RevocationExcerpt(certificate_revocation_lists=[room.certificate_revocation_list])
        excerpt.MergeFrom(room.revocations)
        self._member.lists.hear(excerpt)
        if self._is_cloud_silent:
            # The authority may have made another since the newest list, which the relay's hospital fetched itself.
            with suppress(CertificateRejected):
                self._member.bring_crl(pem.read_crl(room.certificate_revocation_list), self._clock())

    def _await_reply(self, mailbox: Mailbox, awaiting: Asking, seconds: float, go_on: GoOn | None) -> Established:
        doctor_id, own = awaiting.peer.identity, self._member.identity
        failure: FederationError = NoAnswer("The doctor did not answer; ask for a new code and try again.")
        for frame in self._frames(mailbox, awaiting.session_id, seconds=seconds, go_on=go_on):
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

    def _shown(self, offer: Offer | None, established: Established) -> Shown:
        """Return whose visit it is and what it consents to; a new grant is signed only now that the doctor has proved itself."""
        own = established.session.own
        if offer is None:
            return Shown(own.patient_id)
        kept = self.consents.give(offer, own) if isinstance(offer, NewGrant) else offer
        return Shown.by_consent(consent_of(kept, own), kept.grant.patient_id)

    def _deliver(
        self,
        code: DoctorCode,
        mailbox: Mailbox,
        established: Established,
        biosignal: bytes,
        shown: Shown,
        places: KeptPlaces | None,
        on_sent: OnSent,
    ) -> PendingConsultation:
        now = self._clock()
        state, frames = established.deliver(biosignal, shown, now=now, places=places)
        self.book.keep(exhibits.of_own_biosignal(state, biosignal, shown, now), state.session_id, now=now)
        waiting = PendingConsultation(state, code, mailbox.next_put, mailbox.next_read)
        # Kept before it is sent: the diagnosis may come while this program no longer runs.
        self.pending.put(waiting)
        sent_bytes = 0
        for frame in frames:
            self._trace.note("P2", self._member.identity, established.session.peer.identity, frame)
            mailbox.put(RelayFrame(frame=frame))
            sent_bytes += len(frame.sealed)
            on_sent(sent_bytes)
        waiting = replace(waiting, next_put=mailbox.next_put, next_read=mailbox.next_read)
        self.pending.put(waiting)
        return waiting

    def _receive_diagnosis(
        self, waiting: PendingConsultation, seconds: float, interruption: Interruption | None
    ) -> PendingConsultation:
        state = waiting.state
        mailbox = self._mailbox(waiting.code, waiting.next_put, waiting.next_read, interruption)
        failure: FederationError = NoAnswer("There is no diagnosis yet.")
        for frame in self._frames(mailbox, state.session_id, seconds=seconds):
            if frame.WhichOneof("content") != "frame":
                continue
            self._trace.note("D5", state.doctor.identity, self._member.identity, frame.frame)
            try:
                diagnosed = self._opened(waiting, frame.frame)
            except FederationError as error:
                # One that doesn't open here is a stranger's, or a diagnosis once more that came before.
                if not isinstance(error.__cause__, SealInvalid | OutOfOrder):
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

        def following() -> PendingConsultation:
            state, receipt = diagnosed.receipt(now=now)
            return replace(
                waiting, state=state, receipt=receipt, next_put=mailbox.next_put, next_read=mailbox.next_read
            )

        return self.pending.with_receipt(waiting, following, now=now)

    def _send_receipt(self, diagnosed: PendingConsultation) -> PendingConsultation:
        """Put P6 into the room unless it is there; return where the room stands then."""
        if diagnosed.receipt is not None:
            mailbox = self._mailbox(diagnosed.code, diagnosed.next_put, diagnosed.next_read)
            self._trace.note("P6", self._member.identity, diagnosed.state.doctor.identity, diagnosed.receipt)
            # A receipt is a courtesy: the room may be gone or full by now, and the diagnosis holds without it.
            with suppress(NoSuchRoom, Limit, Unavailable):
                mailbox.put(RelayFrame(frame=diagnosed.receipt))
                diagnosed = replace(diagnosed, receipt=None, next_put=mailbox.next_put)
                self.pending.acknowledged(diagnosed, now=self._clock())
        return diagnosed

    def _frames(
        self, mailbox: Mailbox, session_id: bytes, *, seconds: float, go_on: GoOn | None = None
    ) -> Iterator[RelayFrame]:
        """Yield what comes for this session. Raises Refused if the doctor refuses it, and what `go_on` raises."""
        for frame in _followed(mailbox, seconds, go_on):
            content = frame.WhichOneof("content")
            if content is None or getattr(frame, content).session_id != session_id:
                continue
            if content == "refusal":
                self._trace.note("refusal", "?", self._member.identity, frame.refusal)
                raise Refused("The doctor's side refused the visit, and does not say why.")
            yield frame


def _followed(mailbox: Mailbox, seconds: float, go_on: GoOn | None) -> Iterator[RelayFrame]:
    """Follow a room for so long, in slices where it is asked whether to go on."""
    if go_on is None:
        yield from mailbox.follow(seconds=seconds)
        return
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        go_on()
        yield from mailbox.follow(seconds=min(left, SLICE_SECONDS))


def _newest_of(by_amended: Mapping[bytes, KeptExhibit]) -> Diagnosis | None:
    """Follow a consultation's diagnoses from the first, by what each amends, and return the last."""
    newest, link = None, b""
    while (kept := by_amended.get(link)) is not None:
        d5 = DiagnosisDelivery.FromString(kept.exhibit.message)
        newest = Diagnosis(
            doctor_id=DoctorId(kept.exhibit.signer),
            report=d5.diagnosis,
            sent_at=d5.sent_at,
            received_at=kept.received_at,
            records=len(d5.based_on),
            session_id=kept.reference,
            amends=newest,
        )
        link = digest(kept.exhibit.signature)
    return newest
