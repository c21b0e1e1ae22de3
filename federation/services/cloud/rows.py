"""The rows of the blind index over the generations of its key (docs/adr/0018-rotation.md).

The cloud keeps no ID_P, so a row of an older generation gets its new name when somebody who names the patient comes by.
"""

from collections.abc import Iterable

from federation.protocol.identities import class_of
from federation.protocol.index import Location
from federation.services.cloud.cloud import Cloud
from federation.store.errors import StoreError
from federation.store.interfaces import SealedRow
from federation.wire import operations
from hsm.errors import HsmError

MOST_MOVED = 32
"""Rows that one search moves: it has somebody who waits for it."""


def publish(cloud: Cloud, patient_id: str, location: Location) -> None:
    """Keep a row under the active generation; its own under older ones give way."""
    index = cloud.blind_index
    name, *older = index.names(patient_id, location)
    row = SealedRow(name.row_key, name.row_id, index.seal(name, location), name.generation)
    cloud.stores.index.upsert(row, replaces=[(old.row_key, old.row_id) for old in older])


def withdraw(cloud: Cloud, patient_id: str, location: Location) -> None:
    """Take a row out, whatever generation it is under."""
    names = cloud.blind_index.names(patient_id, location)
    cloud.stores.index.withdraw(*((name.row_key, name.row_id) for name in names))


def look_up(cloud: Cloud, patient_id: str, classes: Iterable[str]) -> list[Location]:
    """Give where a patient's records of these classes are; rows of older generations move on the way. Raises Corrupt."""
    index = cloud.blind_index
    keys = [key for name in classes for _, key in index.row_keys(patient_id, name)]
    rows = sorted(cloud.stores.index.rows(keys), key=lambda row: row.generation, reverse=True)
    located = [(row, index.reveal(row.row_key, row.row_id, row.sealed)) for row in rows]
    active = index.index_key.generation
    _move(cloud, patient_id, [(row, place) for row, place in located if row.generation != active])
    # A row that is under two generations, published while it moved, counts once: as it is under the newer.
    found: dict[tuple[str, str, bytes], Location] = {}
    for _, place in located:
        found.setdefault((class_of(place.department_id), place.hospital_id, place.handle), place)
    return list(found.values())


def _move(cloud: Cloud, patient_id: str, older: list[tuple[SealedRow, Location]]) -> None:
    """Give rows their names under the active generation. A failure fails no search: they are there under the old ones."""
    index = cloud.blind_index
    try:
        for row, place in older[:MOST_MOVED]:
            name = index.names(patient_id, place)[0]
            anew = SealedRow(name.row_key, name.row_id, index.seal(name, place), name.generation)
            cloud.stores.index.move(row, anew)
    except (StoreError, HsmError) as error:
        operations.failure("index-rows-not-moved", error)
