"""Emergencies at the desk, as frozen states: declared, seconded where a policy asks for it, then read, and nothing else.

    EmergencyForm -- ask --> EmergencyAsked -- declare --> InEmergency, or AwaitingSecond -- take --> InEmergency
         |
         +-- open a colleague's file --> Seconding -- sign --> Seconded

Each goes back to what was `behind` it. A room that was open stays so; nobody is waited for meanwhile.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import ClassVar

from federation.errors import FederationError
from federation.pages.desk.practice import Shelf
from federation.pages.desk.sources import InAnEmergency
from federation.pages.desk.standing import Desk
from federation.pages.desk.states import Fetching, Room, Show
from federation.pages.errors import MovedOn
from federation.pages.records import Records, Tell, find
from federation.person.emergencies import Declared
from federation.person.emergency_words import asked_words, reading_words
from federation.protocol.consent import Declaration
from federation.words import plain
from keystore.identities import ANY, DoctorId, PatientId


@dataclass(frozen=True)
class Typed:
    """An emergency as it was typed."""

    patient: str = ""
    reason: str = ""
    note: str = ""
    hospital: str = ""
    second: str = ""

    @property
    def declaration(self) -> Declaration:
        """Return what is to be declared; the client says what is wrong with it."""
        second = DoctorId(self.second) if self.second else None
        return Declaration(PatientId(self.patient), self.reason, self.note, self.hospital or ANY, second)


@dataclass(frozen=True, repr=False)
class Earlier:
    """An emergency that this doctor declared, and its note. It can be read by again while it lives, by one clinician's word."""

    declared: Declared
    note: str
    is_open: bool

    @property
    def key(self) -> str:
        """Return its name at the desk."""
        return self.declared.statement.emergency_id.hex()

    @property
    def words(self) -> str:
        """Return what was declared."""
        return reading_words(self.declared)


@dataclass(frozen=True, repr=False, kw_only=True)
class Apart(Desk):
    """Something that is done apart from visits."""

    behind: Desk

    def back(self) -> Desk:
        """Go back to the desk, or to the room, which waits again."""
        if isinstance(self.behind, Room):
            return self.behind.go_on()
        return replace(self.behind, shelf=Shelf.of(self.practice), told=())

    def leave(self) -> None:
        """Let go of what is behind."""
        self.behind.leave()


@dataclass(frozen=True, repr=False, kw_only=True)
class AtEmergency(Apart):
    """An emergency that was declared is at hand."""

    declared: Declared

    @property
    def words(self) -> str:
        """Return what was declared."""
        return reading_words(self.declared)


@dataclass(frozen=True, repr=False, kw_only=True)
class EmergencyForm(Apart):
    """An emergency is to be declared, or a colleague's file is at hand."""

    path: ClassVar[str] = "/emergency"

    typed: Typed = Typed()
    earlier: tuple[Earlier, ...] = ()

    def ask(self, typed: Typed) -> "EmergencyForm | EmergencyAsked":
        """Show what is about to be declared."""
        if not (typed.patient and typed.reason and typed.note):
            told = "An emergency says whose records, for which reason, and what you saw."
            return replace(self, typed=typed).telling("bad", told)
        return EmergencyAsked(practice=self.practice, shelf=self.shelf, behind=self.behind, typed=typed)

    def open_file(self, content: bytes) -> "EmergencyForm | InEmergency | AwaitingSecond | Seconding":
        """Take an emergency's file: one's own that was seconded, or a colleague's that is to be."""
        try:
            declared = Declared.from_bytes(content)
        except FederationError as error:
            return self.telling("bad", plain(error))
        if declared.statement.doctor_id == self.practice.doctor_id:
            return opened_by(declared, self.behind)
        if declared.second_doctor_id == self.practice.doctor_id:
            return Seconding(practice=self.practice, shelf=self.shelf, behind=self.behind, declared=declared)
        return self.telling("bad", "This emergency is neither yours nor does it name you as its second clinician.")

    def again(self, key: str) -> "InEmergency | AwaitingSecond":
        """Read by an emergency that lives yet."""
        found = [one.declared for one in self.earlier if one.key == key and one.is_open]
        if not found:
            raise MovedOn
        return opened_by(found[0], self.behind)


@dataclass(frozen=True, repr=False, kw_only=True)
class EmergencyAsked(Apart):
    """What is about to be declared is shown; nothing is signed yet."""

    path: ClassVar[str] = "/emergency/declare"

    typed: Typed

    @property
    def words(self) -> str:
        """Return what is about to be declared."""
        hospital = self.typed.hospital or ANY
        return asked_words(self.practice.doctor_id, self.typed.patient, hospital, self.typed.reason)

    def declare(self) -> "EmergencyForm | InEmergency | AwaitingSecond":
        """Sign it."""
        practice = self.practice
        try:
            declared = practice.client.emergencies.declare(
                self.typed.declaration, practice.hospital_id, practice.address
            )
        except FederationError as error:
            return self.change().telling("bad", plain(error))
        return opened_by(declared, self.behind)

    def change(self) -> EmergencyForm:
        """Go back to the form, with what was typed."""
        return form_of(self.behind, self.typed)


@dataclass(frozen=True, repr=False, kw_only=True)
class AwaitingSecond(AtEmergency):
    """The emergency names a second clinician, who has to sign it before anything is read by it."""

    path: ClassVar[str] = "/emergency/second"

    def take(self, content: bytes) -> "AwaitingSecond | InEmergency":
        """Take the file that the second clinician has signed."""
        try:
            declared = Declared.from_bytes(content)
        except FederationError as error:
            return self.telling("bad", plain(error))
        if declared.shown.emergency != self.declared.shown.emergency or not declared.shown.HasField("second"):
            return self.telling("bad", "This is not the file of this emergency with the second clinician's signature.")
        return InEmergency(practice=self.practice, shelf=self.shelf, behind=self.behind, declared=declared)


@dataclass(frozen=True, repr=False, kw_only=True)
class InEmergency(AtEmergency):
    """Records are found and read without consent: nothing is diagnosed here, and nothing kept."""

    path: ClassVar[str] = "/emergency/records"

    records: Records | None = None

    def search(self) -> "InEmergency":
        """Ask the public cloud where the patient's records are."""
        source = InAnEmergency(self.practice.client.emergencies, self.declared)
        try:
            found = find(source, self.practice.most_fetched_bytes)
        except FederationError as error:
            return self.telling("bad", f"The public cloud did not say where records are. {plain(error)}")
        self._close()
        return replace(self, records=found, told=())

    def fetch(self, departments: Collection[str] | None, show: Show, tell: Tell) -> "InEmergency":
        """Fetch the records of these departments, or of all."""
        return self._fetching(show, lambda records: records.fetch(departments, tell))

    def retry(self, show: Show, tell: Tell) -> "InEmergency":
        """Fetch what is missing."""
        return self._fetching(show, lambda records: records.retry(tell))

    def back(self) -> Desk:
        """End it."""
        self._close()
        return super().back()

    def leave(self) -> None:
        """Remove the records, and let go of what is behind."""
        self._close()
        super().leave()

    def _fetching(self, show: Show, fetched: Callable[[Records], Records]) -> "InEmergency":
        if self.records is None:
            raise MovedOn
        quiet = replace(self, told=())
        show(Fetching(practice=self.practice, shelf=self.shelf, behind=quiet))
        return replace(quiet, records=fetched(self.records))

    def _close(self) -> None:
        if self.records is not None:
            self.records.close()


@dataclass(frozen=True, repr=False, kw_only=True)
class Seconding(AtEmergency):
    """A colleague's emergency that this doctor is asked to sign."""

    path: ClassVar[str] = "/emergency/sign"

    def sign(self) -> "Seconding | Seconded":
        """Sign it: this doctor answers for it, too."""
        try:
            declared = self.practice.client.emergencies.second(self.declared)
        except FederationError as error:
            return self.telling("bad", plain(error))
        return Seconded(practice=self.practice, shelf=self.shelf, behind=self.behind, declared=declared)


@dataclass(frozen=True, repr=False, kw_only=True)
class Seconded(AtEmergency):
    """A colleague's emergency is signed; its file goes back."""

    path: ClassVar[str] = "/emergency/signed"


def form_of(behind: Desk, typed: Typed | None = None) -> EmergencyForm:
    """Return the form, in the place of the desk or of a room."""
    practice = behind.practice
    now = practice.clock()
    earlier = tuple(
        Earlier(declared, note, now < declared.statement.not_after and declared.second_doctor_id is None)
        for declared, note in reversed(practice.client.emergencies.kept())
    )
    return EmergencyForm(practice=practice, shelf=behind.shelf, behind=behind, typed=typed or Typed(), earlier=earlier)


def opened_by(declared: Declared, behind: Desk) -> InEmergency | AwaitingSecond:
    """Return the state in which an emergency of one's own is."""
    if declared.second_doctor_id is not None and not declared.shown.HasField("second"):
        return AwaitingSecond(practice=behind.practice, shelf=behind.shelf, behind=behind, declared=declared)
    return InEmergency(practice=behind.practice, shelf=behind.shelf, behind=behind, declared=declared)
