"""The commands about a patient's own records: found, fetched and read, hidden, added to; and who read them."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from federation.errors import FieldInvalid
from federation.pages.app.client import AppClient, Command
from federation.pages.app.states import READS, RECORDS, App, Hidings, NewRecord, Notice, Reads, Shelf
from federation.pages.app.words import told
from federation.pages.errors import MovedOn
from federation.pages.records import Records
from federation.pages.records import find as records_found
from federation.pages.stage import Cancelled
from federation.person.accesses import AccessReading
from federation.person.errors import NoSuchHiding
from federation.person.fetching import NOTE_TYPE
from federation.person.finding import OnMore
from federation.person.hiding import Hiding
from federation.person.patient import PatientClient
from federation.person.records import MOST_FETCHED_BYTES, Allowance, FetchedRecord
from federation.person.records import Progress as OnProgress
from federation.person.visit_words import WAITS
from federation.protocol.access import Hidden, Power
from federation.protocol.documents import MOST_DOCUMENT_BYTES
from federation.protocol.parsing import is_identity as has_form
from federation.protocol.search import RecordLocation
from federation.protocol.statements import SENSITIVITIES
from federation.v1 import rules_pb2 as rules
from federation.v1.access_pb2 import Deputyship
from federation.v1.statement_pb2 import POWER_ADD, POWER_READ
from federation.words import EXPECTED, size
from keystore.identities import ANY, HospitalId, PatientId, is_identity

HIDDEN, ADD, READ_OVER = f"{RECORDS}/hidden", f"{RECORDS}/add", f"{RECORDS}/add/read-over"

FIELDS: Final = "whose", "hospital", "address", "department", "title", "note", "sensitivity"
"""Of the form of a document of one's own, beside its file."""

MOST_TITLE_BYTES: Final = 256

Change = Callable[[PatientId], Hiding | None]


@dataclass(frozen=True, repr=False)
class OwnRecords:
    """One's own right, or the deputyship of whom one stands for."""

    client: PatientClient
    deputyship: Deputyship | None
    in_visit: ClassVar[bool] = False

    def find(self, on_more: OnMore) -> Sequence[RecordLocation]:
        """Ask the public cloud. Raises as `PatientClient.find_records`."""
        return self.client.find_records(self.deputyship, on_more)

    def fetch(
        self, locations: Sequence[RecordLocation], progress: OnProgress, allowance: Allowance
    ) -> Iterator[FetchedRecord]:
        """Fetch. Raises as `PatientClient.fetch_records`."""
        return self.client.fetch_records(locations, progress, allowance, deputyship=self.deputyship)


def find(client: AppClient, deputy_for: PatientId | None) -> Command:
    """Ask the public cloud where records are; what was fetched before is forgotten."""

    def work(app: App) -> App:
        client.client.refresh()
        source = OwnRecords(client.client, _deputyship(client, deputy_for, POWER_READ))
        records = records_found(source, MOST_FETCHED_BYTES)
        client.keep_records(records)
        return client.with_emergencies(app.at(RECORDS, shelf=Shelf(deputy_for, records, client.now)))

    return _told_at(RECORDS, work)


def fetch(client: AppClient, departments: Collection[str] | None) -> Command:
    """Fetch what was chosen and has not come yet, of departments or of all. It can be stopped; what came stays."""
    if departments is not None and not departments:
        return lambda app: app.at(RECORDS, Notice("warn", "You ticked no record.", "Tick at least one, then fetch."))
    return _fetching(client, lambda records: records.fetch(departments, client.stage.tell))


def retry(client: AppClient) -> Command:
    """Fetch what was chosen and did not come."""
    return _fetching(client, lambda records: records.retry(client.stage.tell))


def forget(client: AppClient) -> Command:
    """Remove what was fetched from this device."""

    def work(app: App) -> App:
        client.keep_records(None)
        return app.at(RECORDS, Notice("ok", "What was fetched is removed from this device."), shelf=Shelf())

    return work


def ask_who_read(client: AppClient, deputy_for: PatientId | None) -> Command:
    """Read the logs of the public cloud and of every hospital that has records."""

    def work(app: App) -> App:
        notes: list[str] = []
        client.stage.show(app.at(READS, reads=replace(app.reads, is_asking=True)))
        cloud_id, asking = client.anchors.cloud_id, (lambda party_id: client.tell(f"Asking {party_id}"))
        reading = AccessReading(
            client.client, client.patient_id, cloud_id, deputy_for, notes.append, asking, most_pages=1
        )
        found = reading.all()
        reading.remember()
        shown = app.at(READS, reads=Reads(found, client.now, tuple(notes), deputy_for=deputy_for))
        return client.with_emergencies(shown) if deputy_for is None else shown

    return _told_at(READS, work)


def ask_older(client: AppClient, hospital_id: str) -> Command:
    """Read a hospital's next older entries, behind those that are shown."""

    def work(app: App) -> App:
        reads = app.reads
        if reads.found is None or hospital_id not in reads.found.with_older:
            raise MovedOn
        client.stage.show(app.at(READS, reads=replace(reads, is_asking=True)))
        client.tell(f"Asking {hospital_id}")
        notes, cloud_id = list(reads.notes), client.anchors.cloud_id
        reading = AccessReading(
            client.client, client.patient_id, cloud_id, reads.deputy_for, notes.append, most_pages=1
        )
        found = reading.older(reads.found, HospitalId(hospital_id))
        reading.remember()
        return app.at(READS, reads=replace(reads, found=found, notes=tuple(notes), is_asking=False))

    return _told_at(READS, work)


def stop_asking(app: App) -> App:
    """Ask no further who read."""
    if not app.reads.is_asking:
        raise MovedOn
    return app.at(
        READS, Notice("warn", "You stopped before every log was read."), reads=replace(app.reads, is_asking=False)
    )


def look_hidden(client: AppClient, deputy_for: PatientId | None) -> Command:
    """Ask the public cloud what is hidden."""
    return _hiding(client, deputy_for, client.client.hiding.look, "")


def hide(client: AppClient, deputy_for: PatientId | None, hidden: Hidden, emergency_may_see: bool | None) -> Command:
    """Hide records from everybody else."""
    named = (hidden.hospital, "hospital"), (hidden.department_class, "department class")

    def change(patient_id: PatientId) -> Hiding | None:
        for name, kind in named:
            if name != ANY and not is_identity(kind, name):
                raise FieldInvalid(f"{name} is no {kind}")
        return client.client.acts.hide(patient_id, hidden, emergency_may_see)

    return _hiding(client, deputy_for, change, "Hidden. Doctors do not find it from now on, whatever you consented to.")


def show_again(client: AppClient, deputy_for: PatientId | None, number: str) -> Command:
    """Hide something no longer."""

    def change(patient_id: PatientId) -> Hiding | None:
        if not (number.isascii() and number.isdigit()):
            raise NoSuchHiding("Nothing is hidden under that number.")
        return client.client.acts.show_again(patient_id, [int(number[:9])])

    return _hiding(client, deputy_for, change, "Shown again: doctors see it as far as you consented.")


def write(client: AppClient, new: NewRecord) -> Command:
    """Put a document of one's own together, to read it over before it is sent."""

    def work(app: App) -> App:
        try:
            _require_sendable(client, new)
        except FieldInvalid as error:
            return app.at(ADD, told(error), typed=_typed(new))
        return app.at(READ_OVER, new_record=new)

    return work


def drop(app: App) -> App:
    """Do not send the document; what was written stays, to be changed."""
    if app.new_record is None:
        raise MovedOn
    return app.at(ADD, new_record=None, typed=_typed(app.new_record))


def add(client: AppClient) -> Command:
    """Sign the document that was read over, and bring it to its hospital."""

    def work(app: App) -> App:
        new = app.new_record
        if new is None:
            raise MovedOn
        client.client.refresh()
        shown = _deputyship(client, new.deputy_for, POWER_ADD)
        receipt = client.client.add_document(new.hospital_id, new.address, new.department_class, new.document, shown)
        words = f"{new.hospital_id} keeps it, and signed for it: record {receipt.handle.hex()}."
        notice = Notice("ok", words, "Find your records again to see it among them, in a moment.")
        return app.at(RECORDS, notice, new_record=None)

    return _told_at(READ_OVER, work)


def _told_at(place: str, work: Callable[[App], App]) -> Command:
    """Return a command that tells there what went wrong, with nothing under way."""

    def run(app: App) -> App:
        try:
            return work(app)
        except (Cancelled, MovedOn):
            raise
        except EXPECTED as error:
            return app.settled().at(place, told(error))

    return run


def _deputyship(client: AppClient, deputy_for: PatientId | None, power: Power) -> Deputyship | None:
    return None if deputy_for is None else client.client.consents.acting_for(deputy_for, power).shown


def _fetching(client: AppClient, fetch: Callable[[Records], Records]) -> Command:
    def work(app: App) -> App:
        shelf = app.shelf
        if shelf.records is None:
            raise MovedOn
        client.stage.show(app.at(RECORDS, shelf=replace(shelf, is_fetching=True)))
        records = fetch(shelf.records)
        client.keep_records(records)
        return app.at(RECORDS, shelf=replace(shelf, records=records, is_fetching=False))

    return _told_at(RECORDS, work)


def _typed(new: NewRecord) -> dict[str, str]:
    document = new.document
    return {
        "title": document.title,
        "note": document.content.decode() if document.media_type == NOTE_TYPE else "",
        "hospital": new.hospital_id,
        "address": new.address,
        "department": new.department_class,
        "sensitivity": new.sensitivity,
        "whose": new.deputy_for or "",
    }


def _hiding(client: AppClient, deputy_for: PatientId | None, change: Change, said: str) -> Command:
    def work(app: App) -> App:
        found = change(deputy_for or client.patient_id)
        if found is None:
            return app.at(HIDDEN, Notice("warn", WAITS))
        return app.at(HIDDEN, Notice("ok", said) if said else None, hidings=Hidings(deputy_for, found))

    return _told_at(HIDDEN, work)


def _require_sendable(client: AppClient, new: NewRecord) -> None:
    document = new.document
    if not document.title.strip() or len(document.title.encode()) > MOST_TITLE_BYTES:
        raise FieldInvalid(f"a title has 1 to {MOST_TITLE_BYTES} bytes")
    if not document.content:
        raise FieldInvalid("write a note, or choose a file that is not empty")
    if len(document.content) > MOST_DOCUMENT_BYTES:
        raise FieldInvalid(f"a document has at most {size(MOST_DOCUMENT_BYTES)}")
    if not is_identity("hospital", new.hospital_id):
        raise FieldInvalid("name the hospital as H:name")
    if not has_form(rules.KIND_ADDRESS, new.address):
        raise FieldInvalid("give the hospital's address as host:port")
    if new.department_class not in client.anchors.department_classes:
        raise FieldInvalid("choose a department that the federation has")
    if new.sensitivity not in SENSITIVITIES:
        raise FieldInvalid("say who may read it")
