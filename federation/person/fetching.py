"""Fetching from several hospitals: one that is down stops no other, and what is missing is known and can be asked for again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from mimetypes import guess_type
from pathlib import Path
from typing import Final

from federation.errors import Authorization, FederationError, NotFound
from federation.person.records import Allowance, FetchedRecord, Progress
from federation.protocol.search import RecordLocation
from federation.store.errors import StoreError
from federation.v1.record_pb2 import RecordEntry, RecordPart
from keystore.identities import class_of

Fetch = Callable[[Sequence[RecordLocation], Progress, Allowance], Iterator[FetchedRecord]]
Missing = dict[str, FederationError | StoreError]
"""Hospital -> why its records did not come."""


NOTE_TYPE: Final = "text/plain; charset=utf-8"
"""Of a text that is shown with its record; no other file is opened."""
MOST_NOTE_BYTES: Final = 16 * 1024

UNKNOWN_TYPE: Final = "application/octet-stream"


def media_type_of(name: str) -> str:
    """Return what a file is, by its name."""
    return guess_type(name)[0] or UNKNOWN_TYPE


def is_note(media_type: str, size_bytes: int) -> bool:
    """Return whether a part is a text that is shown as it is."""
    return media_type == NOTE_TYPE and size_bytes <= MOST_NOTE_BYTES


@dataclass
class Gathering:
    """What was asked for in one or several goes: which hospitals failed, and which records were answered, sent or not.

    A hospital leaves out what it does not show, and says nothing of it: such a record is answered and did not come.
    """

    fetch: Fetch
    allowance: Allowance
    missing: Missing = field(default_factory=dict)
    answered: set[bytes] = field(default_factory=set)

    def records(self, locations: Sequence[RecordLocation], progress: Progress) -> Iterator[FetchedRecord]:
        """Fetch what of these was not answered yet, one hospital and department class after the other. Close each record."""
        left = sorted((one for one in locations if one.handle not in self.answered), key=_place)
        for hospital_id in {one.hospital.identity for one in left}:
            self.missing.pop(hospital_id, None)
        for (hospital_id, _), group in groupby(left, _place):
            if not _may_answer(self.missing.get(hospital_id)):
                continue
            there = list(group)
            try:
                yield from self.fetch(there, progress, self.allowance)
            except (FederationError, StoreError) as error:
                self.missing[hospital_id] = error
            else:
                self.answered.update(one.handle for one in there)


def withheld(
    locations: Sequence[RecordLocation], records: Sequence[FetchedRecord], answered: set[bytes]
) -> dict[str, int]:
    """Return how many records each hospital left out of its answers: closed to who asks, or gone."""
    came = {entry.handle for record in records for entry in record.manifest.records}
    left_out = [one.hospital.identity for one in locations if one.handle in answered - came]
    return {hospital_id: left_out.count(hospital_id) for hospital_id in dict.fromkeys(left_out)}


def part_name(record: FetchedRecord, entry: RecordEntry, part: RecordPart, number: int) -> str:
    """Return a file name for a part: ours, so that no name from a hospital chooses where we write."""
    ending = "".join(char for char in Path(part.name).suffix if char.isascii() and char.isalnum())[:8] or "bin"
    return f"{record.hospital_id[2:]}-{entry.handle.hex()[:8]}-v{entry.version}-{number:03}.{ending}"


def _place(location: RecordLocation) -> tuple[str, str]:
    return location.hospital.identity, class_of(location.department_id)


def _may_answer(fault: FederationError | StoreError | None) -> bool:
    """Return whether a hospital that failed may still answer for another department: it said no, and did not fall silent."""
    return fault is None or isinstance(fault, Authorization | NotFound)
