"""Where a desk stands, as frozen states: each is named for what is known, and its methods are all that can happen next.

    Idle -- open_room --> RoomOpen -- (a patient comes) --> Present -- read_over --> ReadOver -- sign --> Signed --> Done
      ^                      |  ^                             |  ^                      |                   |         |
      +------ close ---------+  +--------- give_up -----------+  +------- back ---------+                   |         |
                                +---------------------------------- next_patient ---------------------------+---------+

An amendment goes from Done to Present and ReadOver once more. Present looks for records and fetches them, and is Fetching while
they come. A state with `between` waits for something. Whatever a command raises, the state's `failed` says where that leaves the
desk. Emergencies are in `emergency_states`.
"""

import hashlib
import hmac
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from federation.clinical.errors import ClinicalError
from federation.clinical.report import summarise
from federation.errors import FederationError, Limit, NoSuchRoom, Unavailable
from federation.pages.desk.practice import Practice, Shelf, Told, send_waiting
from federation.pages.desk.sources import ByConsent
from federation.pages.desk.standing import Desk, Keeping, Written, close_quietly, fault_words
from federation.pages.desk.views import Arrival, ReportView, arrival_of, grouped, report_view
from federation.pages.errors import MovedOn
from federation.pages.records import Records, Tell, find
from federation.person.conclusion import codings, fault_of, report_of, sources_of
from federation.person.deposits import PreparedDeposit
from federation.person.doctor import DoctorRoom
from federation.person.drafts import Draft
from federation.person.errors import NoAnswer
from federation.person.records import FetchedRecord
from federation.person.visit_words import allows, earlier_receipt_words
from federation.protocol.consultation import AwaitingReceipt, InConsultation
from federation.v1.diagnosis_pb2 import DiagnosisReceipt
from federation.v1.statement_pb2 import RIGHT_INDEX, RIGHT_READ, RIGHT_WRITE
from federation.words import EXPECTED, plain
from keystore.identities import ANY

Show = Callable[["Desk"], None]
"""Shows a state while the command that leads on from it is under way."""


@dataclass(frozen=True, repr=False, kw_only=True)
class Idle(Desk):
    """No room is open."""

    path: ClassVar[str] = "/desk"

    def open_room(self) -> "RoomOpen":
        """Open a room at the doctor's hospital. Raises as `DoctorClient.open_room`."""
        return opened(self.practice, self.shelf)

    def send(self, keys: Sequence[str]) -> "Idle":
        """Send waiting deposits again."""
        told = send_waiting(self.practice, keys)
        return Idle(practice=self.practice, shelf=Shelf.of(self.practice), told=told)

    def forget_draft(self, session_id: bytes) -> "Idle":
        """Forget a conclusion that was begun."""
        self.practice.drafts.remove(session_id)
        return Idle(
            practice=self.practice, shelf=Shelf.of(self.practice), told=(Told("ok", "The draft is forgotten."),)
        )


@dataclass(frozen=True, repr=False, kw_only=True)
class Resuming(Idle):
    """The desk has just begun, and encounters wait from an earlier run: they are sent once, by themselves."""

    def between(self, _seconds: float) -> Desk:
        """Send what waits."""
        return self.send([one.key for one in self.shelf.deposits])


@dataclass(frozen=True, repr=False, kw_only=True)
class Room(Desk):
    """A room is open, and nobody is waited for just now: something failed. `asking` are between P1 and P2."""

    path: ClassVar[str] = "/room"
    step: ClassVar[str] = "Code shown"

    room: DoctorRoom
    asking: int = 0
    refused: tuple[str, ...] = ()
    receipts: tuple[str, ...] = ()
    is_waiting: ClassVar[bool] = False

    @property
    def room_owes(self) -> int:
        """Return how many diagnoses lie in the room that are not signed for yet."""
        return len(self.room.owed)

    def go_on(self) -> "RoomOpen":
        """Wait for the next patient."""
        return RoomOpen(
            practice=self.practice,
            shelf=self.shelf,
            room=self.room,
            refused=self.refused,
            receipts=self.receipts,
        )

    def close(self) -> Idle:
        """Close the room, unless a diagnosis lies in it that is not signed for yet: that one goes by itself."""
        words = "The room is closed."
        if self.room.is_needed:
            words = "The room takes nobody more from you; the diagnosis in it can be fetched until it ends by itself."
        close_quietly(self.practice, self.room)
        return Idle(practice=self.practice, shelf=Shelf.of(self.practice), told=(Told("ok", words),))

    def failed(self, error: Exception) -> Desk:
        """Stop waiting: the same error would come at once again. A room that is gone is none."""
        if isinstance(error, NoSuchRoom):
            words = "The room is gone: it lives for some hours, or your hospital closed it. Open another one."
            return Idle(practice=self.practice, shelf=Shelf.of(self.practice), told=(Told("warn", words),))
        return Room(
            practice=self.practice,
            shelf=self.shelf,
            room=self.room,
            refused=self.refused,
            receipts=self.receipts,
            told=(Told("bad", fault_words(error)),),
        )

    def leave(self) -> None:
        """Close the room."""
        close_quietly(self.practice, self.room)


@dataclass(frozen=True, repr=False, kw_only=True)
class RoomOpen(Room):
    """A patient is waited for."""

    is_waiting: ClassVar[bool] = True

    def between(self, seconds: float) -> "Desk | None":
        """Answer who asks, for so long. Raises NoSuchRoom."""
        refused: list[str] = []
        receipts: list[str] = []

        def on_receipt(patient_id: str, receipt: DiagnosisReceipt) -> None:
            receipts.append(earlier_receipt_words(patient_id, receipt.sent_at))

        try:
            consultation = self.practice.client.await_patient(
                self.room, seconds=seconds, on_refusal=refused.append, on_receipt=on_receipt
            )
        except NoAnswer:
            asking = len(self.room.sessions)
            if not refused and not receipts and asking == self.asking:
                return None
            return replace(
                self, asking=asking, refused=(*self.refused, *refused), receipts=(*self.receipts, *receipts), told=()
            )
        return arrived(self.practice, self.room, consultation)


@dataclass(frozen=True, repr=False, kw_only=True)
class Visit:
    """Who is here, by what, and what the doctor knows and has written so far."""

    room: DoctorRoom
    consultation: InConsultation
    arrival: Arrival
    written: Written
    begun: Draft | None = None
    """A conclusion for the same patient that an earlier visit ended without."""
    begun_session: bytes = b""
    records: Records | None = None
    amended: "Done | None" = None
    """Where the visit stood when its diagnosis was to be amended."""

    @property
    def session_id(self) -> bytes:
        """Return the session of the consultation."""
        return self.consultation.session.session_id

    @property
    def fetched(self) -> Sequence[FetchedRecord]:
        """Return the records that were fetched."""
        return () if self.records is None else self.records.fetched

    def close(self) -> None:
        """Remove the records that were spooled."""
        if self.records is not None:
            self.records.close()


@dataclass(frozen=True, repr=False, kw_only=True)
class AtVisit(Desk):
    """Somebody is here."""

    visit: Visit

    def leave(self) -> None:
        """Remove the records, and close the room."""
        self.visit.close()
        close_quietly(self.practice, self.visit.room)

    def after(self, *told: Told, new_code: bool) -> Desk:
        """Return the room for the next patient: the same, unless the doctor wants another or it is worn."""
        self.visit.close()
        room, shelf = self.visit.room, Shelf.of(self.practice)
        if not new_code and not room.is_worn:
            return RoomOpen(practice=self.practice, shelf=shelf, room=room, told=told)
        close_quietly(self.practice, room)
        try:
            return replace(opened(self.practice, shelf), told=told)
        except EXPECTED as error:
            return Idle(practice=self.practice, shelf=shelf, told=(*told, Told("bad", fault_words(error))))


@dataclass(frozen=True, repr=False, kw_only=True)
class Present(AtVisit):
    """The patient is here. Its records are looked for, chosen, fetched and shown; the conclusion is written.

    Every command takes the draft along as it stands on the page, so that nothing typed is lost.
    """

    path: ClassVar[str] = "/visit"

    @property
    def amends(self) -> ReportView | None:
        """Return what the diagnosis says whose place this one is to take."""
        return None if self.visit.amended is None else self.visit.amended.view

    @property
    def may_find(self) -> bool:
        """Return whether the patient lets the doctor look where records are."""
        return allows(self.visit.consultation, RIGHT_INDEX)

    @property
    def may_read(self) -> bool:
        """Return whether the patient lets the doctor read them."""
        return allows(self.visit.consultation, RIGHT_READ)

    def keep(self, typed: Draft) -> None:
        """Keep what was typed, sealed; nothing else happens."""
        written = self.visit.written
        if not typed.has_words_of(written.draft):
            written.draft = replace(typed, saved_at=self.practice.clock())
            self.practice.drafts.put(self.visit.session_id, written.draft)

    def save(self, typed: Draft) -> "Present":
        """Keep what was typed, and say so."""
        self.keep(typed)
        return self.telling("ok", "The draft is kept on this computer, sealed.")

    def take_begun(self) -> "Present":
        """Go on with the conclusion that was begun in an earlier visit."""
        visit = self.visit
        if visit.begun is None:
            raise MovedOn
        self.keep(visit.begun)
        self.practice.drafts.remove(visit.begun_session)
        return replace(self, visit=replace(visit, begun=None), told=())

    def search(self, typed: Draft) -> "Present":
        """Ask the public cloud where the patient's records are."""
        self.keep(typed)
        source = ByConsent(self.practice.client, self.visit.consultation)
        try:
            found = find(source, self.practice.most_fetched_bytes)
        except FederationError as error:
            unasked = f"The public cloud could not be asked where records are. {plain(error, in_visit=True)}"
            return self.telling("bad", f"{unasked} RECORDS MAY BE MISSING.")
        self.visit.close()
        return replace(self, visit=replace(self.visit, records=found), told=source.told)

    def fetch(self, typed: Draft, departments: Collection[str] | None, show: Show, tell: Tell) -> "Present":
        """Fetch the records of these departments, or of all."""
        return self._fetching(typed, show, lambda records: records.fetch(departments, tell))

    def retry(self, typed: Draft, show: Show, tell: Tell) -> "Present":
        """Fetch what is missing."""
        return self._fetching(typed, show, lambda records: records.retry(tell))

    def _fetching(self, typed: Draft, show: Show, fetched: Callable[[Records], Records]) -> "Present":
        self.keep(typed)
        records, quiet = self.visit.records, replace(self, told=())
        if records is None or not self.may_read:
            raise MovedOn
        show(Fetching(practice=self.practice, shelf=self.shelf, behind=quiet))
        return replace(quiet, visit=replace(self.visit, records=fetched(records)))

    def read_over(self, typed: Draft) -> "Present | ReadOver":
        """Make the report of what was typed, to be read over; what can't be signed is told."""
        self.keep(typed)
        visit = self.visit
        try:
            report = report_of(
                visit.consultation.patient_id,
                self.practice.doctor_id,
                typed.conclusion,
                codings(typed.codes),
                sources_of(visit.fetched),
                None if visit.amended is None else visit.amended.report,
            )
        except ClinicalError as error:
            return self.telling("bad", f"That can't be signed: {fault_of(error)}. The patient is still here.")
        over = ReadOver(practice=self.practice, shelf=self.shelf, visit=visit, report=report)
        self.practice.say(f"\nTo be read over and signed, for {visit.consultation.patient_id}:")
        self.practice.say(f"  SHA-256 of the report: {' '.join(over.digest_groups)}")
        return over

    def give_up(self, typed: Draft) -> Desk:
        """End the visit without a diagnosis; what was typed stays, and is offered when the patient comes again.

        An amendment that is given up leaves the diagnosis as it is.
        """
        if self.visit.amended is not None:
            self.practice.drafts.remove(self.visit.session_id)
            return replace(self.visit.amended, visit=replace(self.visit, amended=None), told=())
        kept = Told("warn", f"The visit of {self.visit.consultation.patient_id} ended without a diagnosis.")
        self.keep(typed)
        return self.after(kept, new_code=False)


@dataclass(frozen=True, repr=False, kw_only=True)
class Fetching(Desk):
    """Records are on their way; what comes of it is `behind` again."""

    path: ClassVar[str] = "/fetching"
    step: ClassVar[str] = "Records"

    behind: Desk

    def failed(self, error: Exception) -> Desk:
        """Return to where it began."""
        return self.behind.failed(error)

    def leave(self) -> None:
        """Let go of what is behind."""
        self.behind.leave()


@dataclass(frozen=True, repr=False, kw_only=True)
class AtReport(AtVisit):
    """A report is made."""

    report: bytes

    @property
    def view(self) -> ReportView:
        """Return what the report says, read out of its bytes."""
        return report_view(self.report)

    @property
    def digest(self) -> str:
        """Return SHA-256 of the report, in hexadecimal digits."""
        return hashlib.sha256(self.report).hexdigest()

    @property
    def digest_groups(self) -> Sequence[str]:
        """Return the digest as people compare it."""
        return grouped(self.digest)

    @property
    def may_keep(self) -> bool:
        """Return whether the patient lets the hospital keep the encounter."""
        return allows(self.visit.consultation, RIGHT_WRITE)

    @property
    def departments(self) -> Sequence[str]:
        """Return the department classes under which it may be kept: of the doctor's duty, the usual one first."""
        practice, on_duty = self.practice, self.visit.room.duty.department_classes
        usual = [practice.department] if practice.department else []
        return list(dict.fromkeys([*usual, *(practice.published if ANY in on_duty else on_duty)]))


@dataclass(frozen=True, repr=False, kw_only=True)
class ReadOver(AtReport):
    """The report is made, and these exact bytes are signed next. `is_signed` says that they are, and were not sent."""

    path: ClassVar[str] = "/visit/read-over"
    step: ClassVar[str] = "Diagnosis"

    is_signed: bool = False

    def back(self) -> Present:
        """Go back to writing. Raises MovedOn once it is signed."""
        if self.is_signed:
            raise MovedOn
        return Present(practice=self.practice, shelf=self.shelf, visit=self.visit)

    def sign(self, digest: str, department: str) -> "ReadOver | Signed":
        """Sign and send the report of this digest; then it is kept in that department, or nowhere if that is "".

        The same report again is the same message again. Raises MovedOn for another report than the one that was read.
        """
        if not hmac.compare_digest(digest.encode(), self.digest.encode()):
            raise MovedOn
        visit = self.visit
        try:
            diagnosed = self._diagnosed()
        except (Unavailable, Limit) as error:  # the room stays, and the same report again is the same message again
            sent = visit.room.diagnosed.get(visit.session_id, [])
            is_signed = any(one.report == self.report for one in sent)
            return replace(self, is_signed=is_signed).telling("bad", f"Not sent. {plain(error, in_visit=True)}")
        self.practice.drafts.remove(visit.session_id)
        self.practice.say(f"Signed and sent to the patient: {summarise(self.report)}")
        return Signed(
            practice=self.practice,
            shelf=self.shelf,
            visit=replace(visit, amended=None),
            report=self.report,
            diagnosed=diagnosed,
            keeping=self._prepared(diagnosed, department),
        )

    def _diagnosed(self) -> AwaitingReceipt:
        visit, client = self.visit, self.practice.client
        if visit.amended is None:
            return client.diagnose(visit.room, visit.consultation, self.report, visit.fetched)
        return client.amend(visit.room, visit.amended.diagnosed, self.report, visit.fetched)

    def _prepared(self, diagnosed: AwaitingReceipt, department: str) -> "Keeping":
        """Put the deposit together, so that it waits for its receipt whatever happens to this program."""
        practice = self.practice
        if not self.may_keep or department not in self.departments:
            return Keeping()
        try:
            practice.client.prepare_deposit(diagnosed, practice.hospital_id, practice.address, department)
        except EXPECTED as error:
            return Keeping(department, why_not=fault_words(error))
        return Keeping(department)

    def give_up(self) -> Desk:
        """End the visit without a diagnosis that was sent."""
        return self.after(new_code=False)


@dataclass(frozen=True, repr=False, kw_only=True)
class Done(AtReport):
    """The diagnosis is signed and sent, and nothing more is waited for, or may be."""

    path: ClassVar[str] = "/visit/signed"
    step: ClassVar[str] = "Signed"

    diagnosed: AwaitingReceipt
    keeping: Keeping
    receipt_at: int = 0
    is_waiting: ClassVar[bool] = False

    @property
    def words(self) -> str:
        """Return what was signed."""
        return summarise(self.report)

    def keep(self, department: str) -> "Signed":
        """Have the hospital keep the encounter in this department, which it was not asked for, or did not do."""
        if self.keeping.handle or not self.may_keep or department not in self.departments:
            raise MovedOn
        return self._waiting(Keeping(department))

    @property
    def may_amend(self) -> bool:
        """Return whether another diagnosis may take the place of this one."""
        return not self.diagnosed.is_last

    @property
    def is_amendment(self) -> bool:
        """Return whether it took the place of another."""
        return self.diagnosed.diagnosis.HasField("amends")

    def amend(self) -> Present:
        """Write what is to take its place, from what it says."""
        if not self.may_amend:
            raise MovedOn
        settled = self._settled()
        codes = "\n".join(settled.view.codes)
        written = Written(Draft(self.visit.arrival.patient_id, settled.view.conclusion, codes))
        visit = replace(self.visit, written=written, begun=None, amended=settled)
        return Present(practice=self.practice, shelf=self.shelf, visit=visit)

    def _settled(self) -> "Done":
        return self

    def look_again(self) -> "Signed":
        """Wait for the receipt again."""
        return self._waiting(self.keeping)

    def next_patient(self, *, new_code: bool) -> Desk:
        """Wait for the next patient; a receipt that comes later is told there."""
        return self.after(new_code=new_code)

    def finish(self) -> Idle:
        """Close the room."""
        self.visit.close()
        return Room(practice=self.practice, room=self.visit.room).close()

    def _waiting(self, keeping: Keeping) -> "Signed":
        return Signed(
            practice=self.practice,
            shelf=self.shelf,
            visit=self.visit,
            report=self.report,
            diagnosed=self.diagnosed,
            keeping=keeping,
            receipt_at=self.receipt_at,
        )


@dataclass(frozen=True, repr=False, kw_only=True)
class Signed(Done):
    """The diagnosis is sent: the encounter is still to be kept, or the patient's receipt is waited for."""

    is_waiting: ClassVar[bool] = True

    def between(self, seconds: float) -> "Done | None":
        """Have the encounter kept, then wait so long for the receipt."""
        if self.keeping.is_asked:
            return replace(self, keeping=self._kept(), shelf=Shelf.of(self.practice), told=())
        if self.receipt_at:
            return self._done(self.receipt_at)
        receipt = self.practice.client.await_receipt(self.visit.room, self.diagnosed, seconds=seconds)
        return None if receipt is None else self._done(receipt.sent_at)

    def failed(self, error: Exception) -> Desk:
        """Stop waiting."""
        return self._done(self.receipt_at).telling("bad", fault_words(error))

    def _settled(self) -> Done:
        """Have the encounter kept first."""
        kept = replace(self, keeping=self._kept()) if self.keeping.is_asked else self
        return kept._done(self.receipt_at)  # noqa: SLF001 - of the same state

    def after(self, *told: Told, new_code: bool) -> Desk:
        """Have the encounter kept first."""
        if not self.keeping.is_asked:
            return super().after(*told, new_code=new_code)
        return replace(self, keeping=(keeping := self._kept())).after(*told, *_kept_told(keeping), new_code=new_code)

    def finish(self) -> Idle:
        """Have the encounter kept first, and close the room."""
        return super().finish() if not self.keeping.is_asked else replace(self, keeping=self._kept()).finish()

    def _kept(self) -> Keeping:
        practice, department = self.practice, self.keeping.department
        client, prepared = practice.client, self._waiting_deposit()
        try:
            if prepared is None:
                prepared = client.prepare_deposit(self.diagnosed, practice.hospital_id, practice.address, department)
            receipt = client.deposit(prepared)
        except EXPECTED as error:
            is_waiting = self._waiting_deposit() is not None  # else the consent does not allow it, and never will again
            return Keeping(department, why_not=fault_words(error), is_waiting=is_waiting)
        return Keeping(department, receipt.handle.hex(), receipt.version)

    def _waiting_deposit(self) -> PreparedDeposit | None:
        signature = self.diagnosed.diagnosis.signature
        waiting = self.practice.client.waiting_deposits()
        return next((one for one in waiting if one.deposit.diagnosis_signature == signature), None)

    def _done(self, receipt_at: int) -> Done:
        return Done(
            practice=self.practice,
            shelf=self.shelf,
            visit=self.visit,
            report=self.report,
            diagnosed=self.diagnosed,
            keeping=self.keeping,
            receipt_at=receipt_at,
        )


def _kept_told(keeping: Keeping) -> Sequence[Told]:
    return () if keeping.handle else (Told("bad", f"THE ENCOUNTER IS NOT KEPT: {keeping.why_not}"),)


def begun(practice: Practice) -> Idle:
    """Return the first state of a desk."""
    shelf = Shelf.of(practice)
    return Resuming(practice=practice, shelf=shelf) if shelf.deposits else Idle(practice=practice, shelf=shelf)


def opened(practice: Practice, shelf: Shelf) -> RoomOpen:
    """Open a room. Raises as `DoctorClient.open_room`."""
    room = practice.client.open_room(practice.hospital_id, practice.address)
    return RoomOpen(practice=practice, shelf=shelf, room=room)


def arrived(practice: Practice, room: DoctorRoom, consultation: InConsultation) -> Present:
    """Return the state in which a patient is here; a conclusion that was begun for it is offered."""
    session_id, patient_id = consultation.session.session_id, consultation.patient_id
    earlier = {key: draft for key, draft in practice.drafts.all().items() if draft.patient_id == patient_id}
    begun_session, begun_draft = next(reversed(earlier.items()), (b"", None))
    visit = Visit(
        room=room,
        consultation=consultation,
        arrival=arrival_of(consultation),
        written=Written(Draft(patient_id)),
        begun=begun_draft,
        begun_session=begun_session,
    )
    return Present(practice=practice, shelf=Shelf.of(practice, but=session_id), visit=visit)
