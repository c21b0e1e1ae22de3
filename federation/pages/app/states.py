"""What the app shows: one frozen state, with a part for each place where a patient may be (docs/pages.md, "The app").

Nothing here calls the client. What a page shows of it was read before, by the worker, and stays until the next command.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal

from federation.pages.records import Records
from federation.person.access_log import ReadAccess
from federation.person.accesses import AccessList
from federation.person.asked import Asked
from federation.person.biosignals import Biosignal
from federation.person.consents import HeldDeputyship, KeptGrant, KeptMandate
from federation.person.hiding import Hiding
from federation.person.patient import Diagnosis, Offer
from federation.person.pending import PendingConsultation
from federation.person.room_view import RoomView
from federation.protocol.access import Power
from federation.protocol.documents import NewDocument
from federation.protocol.time import Instant
from keystore.identities import HospitalId, PatientId

VISIT, DIAGNOSES, CONSENTS, RECORDS, READS = "/visit", "/diagnoses", "/consents", "/records", "/reads"
"""Where the parts of the navigation are."""


@dataclass(frozen=True)
class Notice:
    """What the person is told once, at the head of the page: `kind` is how it is drawn, `next_step` what to do now."""

    kind: Literal["ok", "warn", "bad"]
    words: str
    next_step: str = ""


@dataclass(frozen=True)
class AtHome:
    """No doctor is looked at. `typed` is a code that could not be used, for the person to mend."""

    typed: str = field(default="", repr=False)


@dataclass(frozen=True)
class AtDoctor:
    """A doctor was looked at, and nothing of the patient's has gone out."""

    view: RoomView


@dataclass(frozen=True, repr=False)
class Attached:
    """A file that the patient wants to send: as it came, and what it is for whom the visit is about.

    `drawing` is the ECG as SVG, "" for what is none.
    """

    name: str
    content: bytes
    biosignal: Biosignal
    drawing: str


@dataclass(frozen=True)
class Consenting:
    """What the patient is about to agree to.

    `offer` is exactly what is signed, None for nothing beyond the visit; `sentence` says it. `problem` says why it can't be
    agreed to, and is None where it can.
    """

    view: RoomView
    asked: Asked
    life: timedelta
    deputy: HeldDeputyship | None = None
    under: KeptGrant | None = None
    attached: Attached | None = None
    offer: Offer | None = None
    sentence: str = ""
    problem: Notice | None = None
    last_tap: str = ""


@dataclass(frozen=True)
class Asking:
    """The patient agreed, and the doctor has not answered yet: nothing is signed."""

    view: RoomView
    sentence: str
    since: Instant


Visit = AtHome | AtDoctor | Consenting | Asking


@dataclass(frozen=True)
class Heard:
    """What came in place of a diagnosis, "" for nothing yet, and whether none comes any more."""

    words: str = ""
    is_end: bool = False


@dataclass(frozen=True)
class Waited:
    """A visit whose diagnosis is waited for; `called` is the doctor."""

    pending: PendingConsultation
    called: str
    heard: Heard = Heard()

    @property
    def key(self) -> str:
        """Return what addresses it."""
        return self.pending.state.session_id.hex()


@dataclass(frozen=True)
class Kept:
    """What this device keeps, read under the token."""

    waiting: Sequence[Waited] = ()
    amendable: Sequence[PendingConsultation] = ()
    diagnoses: Sequence[Diagnosis] = ()
    grants: Sequence[KeptGrant] = ()
    mandates: Sequence[KeptMandate] = ()
    held: Sequence[HeldDeputyship] = ()


@dataclass(frozen=True)
class MandateDraft:
    """A mandate that the patient is about to sign."""

    deputy_id: PatientId
    powers: Sequence[Power]
    life: timedelta


@dataclass(frozen=True)
class NewRecord:
    """A document of the patient's own that is about to be sent."""

    document: NewDocument
    hospital_id: HospitalId
    address: str
    department_class: str
    sensitivity: str
    deputy_for: PatientId | None


@dataclass(frozen=True, repr=False)
class Shelf:
    """Records of the patient, or of whom it stands for; `records` is None before anybody asked where they are."""

    deputy_for: PatientId | None = None
    records: Records | None = None
    asked_at: Instant = 0
    is_fetching: bool = False

    @property
    def places(self) -> dict[HospitalId, str]:
        """Return the hospitals that have records, and where they are dialled."""
        locations = self.records.locations if self.records else ()
        return {one.hospital.hospital_id: one.address for one in locations}


@dataclass(frozen=True)
class Reads:
    """Who read: None before the logs were asked."""

    found: AccessList | None = None
    asked_at: Instant = 0
    notes: Sequence[str] = ()
    is_asking: bool = False
    deputy_for: PatientId | None = None


@dataclass(frozen=True)
class Hidings:
    """What is hidden, of whom; None before the public cloud was asked."""

    deputy_for: PatientId | None = None
    found: Hiding | None = None


@dataclass(frozen=True)
class App:
    """All that pages show. `place` is the page that shows what changed last: "/" leads there.

    `emergencies` are those that are new; `unasked` says why they are not known, "" where they are.
    `typed` is what a form held that was refused, for the person to mend.
    """

    patient_id: PatientId
    place: str = VISIT
    notice: Notice | None = None
    visit: Visit = AtHome()
    kept: Kept = Kept()
    shelf: Shelf = Shelf()
    reads: Reads = Reads()
    hidings: Hidings = Hidings()
    draft: MandateDraft | None = None
    new_record: NewRecord | None = None
    emergencies: Sequence[ReadAccess] = ()
    unasked: str = ""
    typed: Mapping[str, str] = field(default_factory=dict, repr=False)

    def at(self, place: str, notice: Notice | None = None, **changes: Any) -> "App":  # noqa: ANN401 - its own fields
        """Return the app at a page, with these parts changed, and told this alone."""
        return replace(self, **{"place": place, "notice": notice, "typed": {}, **changes})

    def settled(self) -> "App":
        """Return it with nothing under way: what was begun has ended, however."""
        visit = AtDoctor(self.visit.view) if isinstance(self.visit, Asking) else self.visit
        shelf, reads = replace(self.shelf, is_fetching=False), replace(self.reads, is_asking=False)
        return replace(self, visit=visit, shelf=shelf, reads=reads)

    @property
    def listens(self) -> bool:
        """Return whether a diagnosis may come now, or amend another. Nobody is interrupted who is about to agree to something."""
        is_free = isinstance(self.visit, AtHome) and self.draft is None and self.new_record is None
        return is_free and (bool(self.kept.amendable) or any(not one.heard.is_end for one in self.kept.waiting))


@dataclass(frozen=True)
class ListeningApp(App):
    """The app while a diagnosis may come."""

    listen: Callable[[App, float], App | None] = field(default=lambda _app, _seconds: None, repr=False, compare=False)

    def between(self, seconds: float) -> App | None:
        """Look for diagnoses for so long."""
        return self.listen(self, seconds)
