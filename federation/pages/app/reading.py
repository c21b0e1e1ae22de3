"""The commands about a patient's own records: found, fetched and read, hidden, added to; and who read them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from federation.errors import FederationError, FieldInvalid
from federation.pages.app.client import AppClient, Command
from federation.pages.app.states import READS, RECORDS, App, Hidings, NewRecord, Notice, Reads, Records
from federation.pages.app.words import told
from federation.pages.errors import MovedOn
from federation.pages.stage import Cancelled
from federation.person.accesses import AccessReading
from federation.person.errors import NoSuchHiding
from federation.person.fetching import Gathering, withheld
from federation.person.hiding import Hiding
from federation.person.records import Allowance
from federation.person.visit_words import more_pages_words
from federation.protocol.access import Hidden
from federation.protocol.documents import MOST_DOCUMENT_BYTES, NewDocument
from federation.protocol.search import RecordLocation
from federation.protocol.statements import SENSITIVITIES
from federation.v1.access_pb2 import Deputyship
from federation.v1.statement_pb2 import POWER_ADD, POWER_READ
from federation.words import EXPECTED, size
from keystore.identities import ANY, HospitalId, PatientId, is_identity

FOUND, HIDDEN, ADD, READ_OVER = RECORDS, f"{RECORDS}/hidden", f"{RECORDS}/add", f"{RECORDS}/add/read-over"

NOTE_TYPE: Final = "text/plain; charset=utf-8"
MOST_TITLE_BYTES: Final = 200

Change = Callable[[PatientId], Hiding]


def find(client: AppClient, deputy_for: PatientId | None) -> Command:
    """Ask the public cloud where records are; what was fetched before is forgotten."""

    def work(app: App) -> App:
        more: list[str] = []
        client.tell("Asking the public cloud where your records are")
        client.client.refresh()
        shown = _deputyship(client, deputy_for, POWER_READ)
        found = client.client.find_records(shown, on_more=lambda pages: more.append(more_pages_words(pages)))
        client.forget_records()
        records = Records(deputy_for, tuple(found), client.now, "".join(more))
        return client.with_emergencies(app.at(FOUND, records=records))

    return _told_at(FOUND, work)


def fetch(client: AppClient, handles: Collection[str]) -> Command:
    """Fetch the records that were chosen and have not come yet. It can be stopped; what came stays."""

    def work(app: App) -> App:
        records = app.records
        chosen = [one for one in records.locations or () if one.handle.hex() in handles]
        if not chosen:
            return app.at(FOUND, Notice("warn", "You chose no record.", "Tick at least one, then fetch."))
        began = replace(records, is_fetching=True)
        client.stage.show(app.at(FOUND, records=began))
        client.begin_fetching(_gathering(client, records))
        for record in client.gathering.records(chosen, partial(_progress, client)):
            client.came.append(record)
        return client.with_emergencies(_gathered(client, app.at(FOUND, records=began)))

    return _told_at(FOUND, work)


def stop(client: AppClient) -> Command:
    """Stop fetching; what came is shown."""

    def work(app: App) -> App:
        if not app.records.is_fetching:
            raise MovedOn
        stopped = _gathered(client, app)
        return replace(stopped, notice=Notice("warn", "You stopped. What had come by then is here.", "Fetch the rest."))

    return work


def forget(client: AppClient) -> Command:
    """Remove what was fetched from this device."""

    def work(app: App) -> App:
        client.forget_records()
        records = Records(app.records.deputy_for, app.records.locations, app.records.asked_at, app.records.more)
        return app.at(FOUND, Notice("ok", "What was fetched is removed from this device."), records=records)

    return work


def ask_who_read(client: AppClient, deputy_for: PatientId | None) -> Command:
    """Read the logs of the public cloud and of every hospital that has records."""

    def work(app: App) -> App:
        notes: list[str] = []
        client.stage.show(app.at(READS, reads=replace(app.reads, is_asking=True)))
        cloud_id, asking = client.anchors.cloud_id, (lambda party_id: client.tell(f"Asking {party_id}"))
        reading = AccessReading(client.client, client.patient_id, cloud_id, deputy_for, notes.append, asking)
        found = reading.all()
        reading.remember()
        shown = app.at(READS, reads=Reads(found, client.now, tuple(notes)))
        return client.with_emergencies(shown) if deputy_for is None else shown

    return _told_at(READS, work)


def stop_asking(app: App) -> App:
    """Ask no further who read."""
    if not app.reads.is_asking:
        raise MovedOn
    return app.at(READS, Notice("warn", "You stopped before every log was read."), reads=replace(app.reads, is_asking=False))


def look_hidden(client: AppClient, deputy_for: PatientId | None) -> Command:
    """Ask the public cloud what is hidden."""
    return _hiding(client, deputy_for, client.client.hiding.look, "")


def hide(client: AppClient, deputy_for: PatientId | None, hidden: Hidden, emergency_may_see: bool | None) -> Command:
    """Hide records from everybody else."""
    named = (hidden.hospital, "hospital"), (hidden.department_class, "department class")

    def change(patient_id: PatientId) -> Hiding:
        for name, kind in named:
            if name != ANY and not is_identity(kind, name):
                raise FieldInvalid(f"{name} is no {kind}")
        return client.client.hiding.hide(patient_id, hidden, emergency_may_see)

    return _hiding(client, deputy_for, change, "Hidden. Doctors do not find it from now on, whatever you consented to.")


def show_again(client: AppClient, deputy_for: PatientId | None, number: str) -> Command:
    """Hide something no longer."""

    def change(patient_id: PatientId) -> Hiding:
        if not (number.isascii() and number.isdigit()):
            raise NoSuchHiding("Nothing is hidden under that number.")
        return client.client.hiding.show_again(patient_id, [int(number[:9])])

    return _hiding(client, deputy_for, change, "Shown again: doctors see it as far as you consented.")


def write(client: AppClient, new: NewRecord) -> Command:
    """Put a document of one's own together, to read it over before it is sent."""

    def work(app: App) -> App:
        _require_sendable(client, new)
        return app.at(READ_OVER, new_record=new)

    return _told_at(ADD, work)


def drop(app: App) -> App:
    """Send no document."""
    return app.at(FOUND, new_record=None)


def add(client: AppClient) -> Command:
    """Sign the document that was read over, and bring it to its hospital."""

    def work(app: App) -> App:
        new = app.new_record
        if new is None:
            raise MovedOn
        client.tell(f"Bringing it to {new.hospital_id}")
        client.client.refresh()
        shown = _deputyship(client, new.deputy_for, POWER_ADD)
        receipt = client.client.add_document(
            new.hospital_id, new.address, new.department_class, new.document, shown
        )
        words = f"{new.hospital_id} keeps it, and signed for it: record {receipt.handle.hex()}."
        notice = Notice("ok", words, "Find your records again to see it among them, in a moment.")
        return app.at(FOUND, notice, new_record=None)

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


def _deputyship(client: AppClient, deputy_for: PatientId | None, power: "int") -> Deputyship | None:
    return None if deputy_for is None else client.client.consents.acting_for(deputy_for, power).shown  # type: ignore[arg-type]


def _gathering(client: AppClient, records: Records) -> Gathering:
    if records.came:
        return client.gathering
    client.client.refresh()
    shown = _deputyship(client, records.deputy_for, POWER_READ)
    return Gathering(partial(client.client.fetch_records, deputyship=shown), Allowance())


def _progress(client: AppClient, hospital_id: str, received: int, expected: int | None) -> None:
    of = f" of {size(expected)}" if expected else ""
    client.tell(f"Fetching from {hospital_id}: {size(received)}{of}", received, expected)


def _gathered(client: AppClient, app: App) -> App:
    """Return the app with what came, as a chart, and what did not."""
    gathering, came = client.gathering, tuple(client.came)
    records = replace(
        app.records,
        is_fetching=False,
        came=came,
        missing={hospital_id: told(fault) for hospital_id, fault in gathering.missing.items()},
        left_out=withheld(app.records.locations or (), came, gathering.answered),
    )
    return app.at(FOUND, records=records)


def _hiding(client: AppClient, deputy_for: PatientId | None, change: Change, said: str) -> Command:
    def work(app: App) -> App:
        client.tell("Asking the public cloud")
        found = change(deputy_for or client.patient_id)
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
    if not is_identity("address", new.address):
        raise FieldInvalid("give the hospital's address as host:port")
    if new.department_class not in client.anchors.department_classes:
        raise FieldInvalid("choose a department that the federation has")
    if new.sensitivity not in SENSITIVITIES:
        raise FieldInvalid("say who may read it")
