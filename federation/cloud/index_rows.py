"""The rows of the blind index: PUB in, PUBACK out (X11, X12), and the rows over the generations of the index key.

The cloud keeps no ID_P, so a row of an older generation gets its new name when somebody who names the patient comes by
(docs/adr/0018-rotation.md). A hospital that has left the federation has its rows taken out by the operator (docs/retention.md).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from federation.cloud.services import Authenticated, Cloud
from federation.errors import DepartmentForeign, FieldInvalid, Limit
from federation.protocol.access import Allowed, Hidden
from federation.protocol.calls import PUBLISH
from federation.protocol.index import BlindIndex, BlindName, BlindPatient, Location
from federation.protocol.sealing import after_opening
from federation.protocol.search import ROWS_PER_PAGE
from federation.protocol.statements import SENSITIVITY_NAMES, sign_statement
from federation.protocol.time import Instant
from federation.store.errors import StoreError, StoreLimit
from federation.store.rows import Act, RowBound, RowName, RowOwner, RowPlace, SealedRow, Unwanted, Wanted
from federation.v1.publication_pb2 import (
    PUBLICATION_ACTION_ADD,
    Publication,
    PublicationAction,
    PublicationReceipt,
    PublishRequest,
    PublishResponse,
)
from federation.v1.statement_pb2 import SENSITIVITY_SECRET
from federation.wire import operations
from federation.wire.roles import require_same_hospital
from hsm.errors import HsmError
from keystore.identities import ANY, DepartmentId, DoctorId, HospitalId, PatientId, class_of, hospital_of
from keystore.transcript import digest

MOST_MOVED = 32
"""Rows that one search moves: it has somebody who waits for it."""

ROWS_PER_TURN = 64
"""Of one hospital, before the next one has its turn: with as many of each there is room for nine hospitals of usual size."""


def publish(cloud: Cloud, request: PublishRequest, calling: str | None) -> PublishResponse:
    """Add or withdraw one row for the calling hospital. Raises Rejected."""
    now = cloud.clock()
    call = cloud.authenticated(PUBLISH, request.opening, now=now)
    require_same_hospital(calling, call.sender.identity)  # PUB.1
    with after_opening():
        _require_own_department(call.payload, cloud.verifier.anchors.department_classes)
    _apply(cloud, call, now)
    if call.payload.action == PUBLICATION_ACTION_ADD:
        # After the row is there (federation/cloud/restriction.py); again, for a hospital that publishes anew what it restored.
        book = cloud.restrictions.asked_by(call.sender.identity)
        book.let_have(PatientId(call.payload.patient_id), [call.sender.hospital_id], again=True)
    receipt = PublicationReceipt(publication_digest=digest(call.opened.plaintext), done_at=now)
    return PublishResponse(receipt=sign_statement("puback", receipt, cloud.keys_by_time.signing_key(now)))


def _require_own_department(publication: Publication, published_classes: frozenset[str]) -> None:
    department_id = DepartmentId(publication.department_id)
    if hospital_of(department_id) != publication.hospital_id:
        raise DepartmentForeign("the department is another hospital's")  # PUB.2
    is_added = publication.action == PUBLICATION_ACTION_ADD
    if is_added and class_of(department_id) not in published_classes:
        # PUB.3
        raise FieldInvalid("the department's class is not on the federation's list: no doctor would find the record")


def _apply(cloud: Cloud, call: Authenticated[Publication], now: Instant) -> None:
    publication = call.payload
    location = Location(
        DepartmentId(publication.department_id),
        publication.handle,
        DoctorId(publication.doctor_id),
        publication.sensitivity,
    )
    detail = f"{PublicationAction.Name(publication.action)} {publication.patient_id} {publication.department_id}"
    change = put_row if publication.action == PUBLICATION_ACTION_ADD else withdraw_row
    try:
        with call.acting("PUBLICATION", detail, now=now) as act:
            change(cloud, PatientId(publication.patient_id), location, act=act, asker=call.sender.identity)
    except StoreLimit as error:
        # Neither overload nor anonymous: the operator has to find out whose rows these are.
        operations.warning("patient-rows-full")
        cloud.record("PUBLICATION", detail, now=now, reason=Limit.reason)
        raise Limit("the index holds as many records of one patient of this hospital as it may") from error  # PUB.4


@dataclass(frozen=True)
class Rows:
    """Rows of a patient with their places, opened as they are taken; and the last one's place where more may be behind."""

    opened: Iterator[tuple[RowPlace, Location]]
    last: RowPlace | None


def put_row(
    cloud: Cloud, patient_id: PatientId, location: Location, *, act: Act | None = None, asker: str = ""
) -> None:
    """Keep a row under the active generation; its own under older ones give way. Raises StoreLimit beyond the bound."""
    index = cloud.blind_index.asked_by(asker)
    name, *older = names = index.names(patient_id, location)
    bound = RowBound([_owner(it) for it in names], cloud.most_rows_per_patient)
    cloud.stores.index.upsert(_row(index, name, location), replaces=[_named(it) for it in older], bound=bound, act=act)


def withdraw_row(
    cloud: Cloud, patient_id: PatientId, location: Location, *, act: Act | None = None, asker: str = ""
) -> None:
    """Take a row out, whatever generation it is under."""
    names = cloud.blind_index.asked_by(asker).names(patient_id, location)
    cloud.stores.index.withdraw(*map(_named, names), act=act)


def owners(cloud: Cloud, patient_id: PatientId, hospital_id: HospitalId) -> Sequence[RowOwner]:
    """Return what the rows of one patient of one hospital have in common, under every usable generation."""
    return [RowOwner(it.bucket, it.hospital_key(hospital_id)) for it in cloud.blind_index.patients(patient_id)]


def hospitals_of(cloud: Cloud, patient_id: PatientId, asker: str = "") -> Sequence[HospitalId]:
    """Return the hospitals that have rows of a patient, of any class that is published. Raises Corrupt."""
    index = cloud.blind_index.asked_by(asker)
    everything = Allowed("own", (ANY,), (ANY,), SENSITIVITY_SECRET)
    classes = sorted(cloud.verifier.anchors.department_classes)
    wanted = [_wanted(it, classes, everything) for it in index.patients(patient_id)]
    return sorted({_revealed(index, row).hospital_id for row in cloud.stores.index.one_of_each(wanted)})


def look_up(
    cloud: Cloud,
    patient_id: PatientId,
    classes: Iterable[str],
    allowed: Allowed,
    after: RowPlace | None = None,
    asker: str = "",
) -> Rows:
    """Return where those of a patient's records of these classes are that an access shows: a page's worth behind a place.

    No other row is read, so neither pages nor time tell of one. Each hospital has its turn, so that none that has many rows
    pushes the others' back. Rows of older generations move first, where a search begins: from there on the order stays.
    Opening a row raises Corrupt.
    """
    index, named, blind_index = cloud.stores.index, list(classes), cloud.blind_index.asked_by(asker)
    patients = blind_index.patients(patient_id)
    wanted = [_wanted(it, named, allowed) for it in patients]
    if len(wanted) > 1 and after is None:
        _move(cloud, blind_index, patients[0], index.older(wanted[1:], than=patients[0].generation, limit=MOST_MOVED))
    found = index.page(wanted, rows_a_turn=ROWS_PER_TURN, limit=ROWS_PER_PAGE, after=after)
    opened = ((place, _revealed(blind_index, row)) for place, row in found)
    # What a row is found by is the database's word; what is sealed in it is this cloud's.
    shown = ((place, it) for place, it in opened if _shows(allowed, it))
    return Rows(shown, found[-1][0] if len(found) == ROWS_PER_PAGE else None)


def _wanted(patient: BlindPatient, classes: Sequence[str], allowed: Allowed) -> Wanted:
    hospitals = allowed.hospitals
    return Wanted(
        bucket=patient.bucket,
        row_keys=[patient.row_key(name) for name in classes],
        levels=[patient.level(it) for it in SENSITIVITY_NAMES if it <= allowed.highest_sensitivity],
        hospital_keys=None if ANY in hospitals else [patient.hospital_key(HospitalId(name)) for name in hospitals],
        but=[_unwanted(patient, classes, it) for it in allowed.hidden],
    )


def _unwanted(patient: BlindPatient, classes: Sequence[str], hidden: Hidden) -> Unwanted:
    """Return which rows a patient hides. A record that is named without its hospital has none to be told by: it is not shown."""
    hospital_id, handle = HospitalId(hidden.hospital), hidden.handle
    named = classes if hidden.hospital != ANY else ()
    return Unwanted(
        hospital_key=None if hidden.hospital == ANY else patient.hospital_key(hospital_id),
        row_key=None if hidden.department_class == ANY else patient.row_key(hidden.department_class),
        row_ids=None if handle == ANY else [patient.row_id(it, hospital_id, bytes.fromhex(handle)) for it in named],
    )


def _shows(allowed: Allowed, place: Location) -> bool:
    return allowed.shows(place.hospital_id, class_of(place.department_id), place.handle.hex(), place.sensitivity)


def _move(cloud: Cloud, index: BlindIndex, active: BlindPatient, older: Iterable[SealedRow]) -> None:
    """Name rows under the active generation. A failure fails no search: they are there under the old ones."""
    try:
        for row in older:
            place = _revealed(index, row)
            cloud.stores.index.move(row, _row(index, active.name(place), place))
    except (StoreError, HsmError) as error:
        operations.failure("index-rows-not-moved", error)


def _revealed(index: BlindIndex, row: SealedRow) -> Location:
    return index.reveal(row.row_key, row.row_id, row.sealed)


def _row(index: BlindIndex, name: BlindName, location: Location) -> SealedRow:
    sealed = index.seal(name, location)
    return SealedRow(name.bucket, name.row_key, name.row_id, name.hospital_key, name.level, sealed, name.generation)


def _named(name: BlindName) -> RowName:
    return RowName(name.bucket, name.row_key, name.row_id)


def _owner(name: BlindName) -> RowOwner:
    return RowOwner(name.bucket, name.hospital_key)


def rows_of(cloud: Cloud, hospital_id: HospitalId) -> Iterator[SealedRow]:
    """Yield the rows of the index that name a hospital. Every row is opened: nothing else says whose it is. Raises Corrupt."""
    index = cloud.blind_index
    for row in cloud.stores.index.walk():
        if index.reveal(row.row_key, row.row_id, row.sealed).hospital_id == hospital_id:
            yield row


def forget_rows_of(cloud: Cloud, hospital_id: HospitalId) -> int:
    """Take a hospital's rows out of the index; return how many it were. Raises Corrupt."""
    gone = 0
    for row in rows_of(cloud, hospital_id):
        cloud.stores.index.withdraw(row.name)
        gone += 1
    return gone


def count_rows_of(cloud: Cloud, hospital_id: HospitalId, patient_id: PatientId | None) -> int:
    """Count a hospital's rows, of one patient or of all. Raises Corrupt."""
    if patient_id is None:
        return sum(1 for _ in rows_of(cloud, hospital_id))
    return cloud.stores.index.count_of(owners(cloud, patient_id, hospital_id))


def purge_rows_of(cloud: Cloud, hospital_id: HospitalId, patient_id: PatientId | None) -> int:
    """Take a hospital's rows out, of one patient or of all; return how many it were. Raises Corrupt."""
    if patient_id is None:
        return forget_rows_of(cloud, hospital_id)
    return cloud.stores.index.purge(owners(cloud, patient_id, hospital_id))
