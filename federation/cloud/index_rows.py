"""The rows of the blind index over the generations of its key (docs/adr/0018-rotation.md).

The cloud keeps no ID_P, so a row of an older generation gets its new name when somebody who names the patient comes by.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from federation.cloud.cloud import Cloud
from federation.protocol.index import BlindName, BlindPatient, Location
from federation.protocol.search import ROWS_PER_PAGE
from federation.store.errors import StoreError
from federation.store.rows import Act, RowBound, RowName, RowOwner, SealedRow, Wanted
from federation.wire import operations
from hsm.errors import HsmError
from keystore.identities import ANY

MOST_MOVED = 32
"""Rows that one search moves: it has somebody who waits for it."""


@dataclass(frozen=True)
class LocationPage:
    """A page of a patient's rows, and how many pages there are."""

    locations: Sequence[Location]
    pages: int


def publish(cloud: Cloud, patient_id: str, location: Location, *, act: Act | None = None) -> None:
    """Keep a row under the active generation; its own under older ones give way. Raises StoreLimit beyond the bound."""
    name, *older = names = cloud.blind_index.names(patient_id, location)
    bound = RowBound([_owner(it) for it in names], cloud.most_rows_per_patient)
    cloud.stores.index.upsert(_row(cloud, name, location), replaces=[_named(it) for it in older], bound=bound, act=act)


def withdraw(cloud: Cloud, patient_id: str, location: Location, *, act: Act | None = None) -> None:
    """Take a row out, whatever generation it is under."""
    names = cloud.blind_index.names(patient_id, location)
    cloud.stores.index.withdraw(*map(_named, names), act=act)


def owners(cloud: Cloud, patient_id: str, hospital_id: str) -> Sequence[RowOwner]:
    """Give what the rows of one patient of one hospital have in common, under every usable generation."""
    return [RowOwner(it.bucket, it.hospital_key(hospital_id)) for it in cloud.blind_index.patients(patient_id)]


def look_up(
    cloud: Cloud, patient_id: str, classes: Iterable[str], hospitals: Sequence[str] = (ANY,), page: int = 0
) -> LocationPage:
    """Give a page of where a patient's records of these classes are, at these hospitals; no other row is read. Raises Corrupt.

    Each hospital has its turn, so that none that has many rows pushes the others' back. Rows of older generations move first.
    """
    index, named = cloud.stores.index, list(classes)
    patients = cloud.blind_index.patients(patient_id)
    wanted = [_wanted(it, named, hospitals) for it in patients]
    if len(wanted) > 1:
        _move(cloud, patients[0], index.older(wanted[1:], than=patients[0].generation, limit=MOST_MOVED))
    found = index.page(wanted, offset=page * ROWS_PER_PAGE, limit=ROWS_PER_PAGE)
    return LocationPage([_revealed(cloud, row) for row in found.rows], max(1, -(-found.total // ROWS_PER_PAGE)))


def _wanted(patient: BlindPatient, classes: Iterable[str], hospitals: Sequence[str]) -> Wanted:
    hospital_keys = None if ANY in hospitals else [patient.hospital_key(name) for name in hospitals]
    return Wanted(patient.bucket, [patient.row_key(name) for name in classes], hospital_keys)


def _move(cloud: Cloud, active: BlindPatient, older: Iterable[SealedRow]) -> None:
    """Give rows their names under the active generation. A failure fails no search: they are there under the old ones."""
    try:
        for row in older:
            place = _revealed(cloud, row)
            cloud.stores.index.move(row, _row(cloud, active.name(place), place))
    except (StoreError, HsmError) as error:
        operations.failure("index-rows-not-moved", error)


def _revealed(cloud: Cloud, row: SealedRow) -> Location:
    return cloud.blind_index.reveal(row.row_key, row.row_id, row.sealed)


def _row(cloud: Cloud, name: BlindName, location: Location) -> SealedRow:
    sealed = cloud.blind_index.seal(name, location)
    return SealedRow(name.bucket, name.row_key, name.row_id, name.hospital_key, sealed, name.generation)


def _named(name: BlindName) -> RowName:
    return RowName(name.bucket, name.row_key, name.row_id)


def _owner(name: BlindName) -> RowOwner:
    return RowOwner(name.bucket, name.hospital_key)
