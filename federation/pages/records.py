"""Records on a page: where they are, what came of them, what is missing and why, and what they hold.

Everything here is verified before it is shown: a FetchedRecord comes when its signature, sizes and digests have held. What was
asked for in several goes adds up; what a hospital has answered is not asked for again.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import ClassVar, Protocol

from federation.clinical.chart import Chart, chart_of
from federation.clinical.chart import Source as Charted
from federation.clinical.errors import ClinicalError
from federation.clinical.fhir import load_resource
from federation.clinical.summary import summary_of
from federation.pages.stage import Cancelled, Progress
from federation.person.fetching import Gathering, part_name, withheld
from federation.person.finding import OnMore
from federation.person.records import Allowance, FetchedRecord
from federation.person.records import Progress as OnProgress
from federation.protocol.search import RecordLocation
from federation.v1.record_pb2 import PART_KIND_FHIR_BUNDLE, RecordEntry, RecordPart
from federation.words import Pace, plain

STOPPED = "You stopped it before they came."

Tell = Callable[[Progress], None]
"""Says how far a command is; raises Cancelled where it is to end."""


class Source(Protocol):
    """By what records are found and fetched; and whether their patient is here meanwhile."""

    in_visit: ClassVar[bool]

    def find(self, on_more: OnMore) -> Sequence[RecordLocation]:
        """Return where they are; `on_more` is told of more than was read."""
        ...

    def fetch(
        self, locations: Sequence[RecordLocation], progress: OnProgress, allowance: Allowance
    ) -> Iterator[FetchedRecord]:
        """Fetch what these locations hold."""
        ...


@dataclass(frozen=True)
class Place:
    """Records of one department that were found, to be chosen: how many, and how many of them were answered already."""

    department_id: str
    hospital_id: str
    address: str
    count: int
    answered: int

    @property
    def is_done(self) -> bool:
        """Return whether nothing of it is left to fetch."""
        return self.answered == self.count


@dataclass(frozen=True)
class Part:
    """One part of what came. `key` names it in this visit; `words` say what a bundle holds, and `warnings` what is odd of it."""

    key: str
    hospital_id: str
    department_id: str
    stored_at: int
    version: int
    name: str
    media_type: str
    size_bytes: int
    digest: str
    signed_at: int
    file_name: str
    is_bundle: bool
    handle: str
    words: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Records:
    """What is known of a patient's records. `source`, `gathering`, `fetched` and `charted` are the worker's; pages read the rest.

    `is_cut` says that the public cloud knows of more than was read, `missing` why a hospital's did not come, `withheld` how many
    each left out of its answer.
    """

    source: Source
    locations: tuple[RecordLocation, ...]
    is_cut: bool
    gathering: Gathering
    fetched: tuple[FetchedRecord, ...] = ()
    parts: tuple[Part, ...] = ()
    charted: tuple[Charted, ...] = ()
    places: tuple[Place, ...] = ()
    chosen: frozenset[bytes] = frozenset()
    missing: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    withheld: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    chart: Chart | None = None

    @property
    def is_read(self) -> bool:
        """Return whether anything was fetched, or tried to be."""
        return bool(self.chosen)

    @property
    def left(self) -> int:
        """Return how many records that were found are not fetched."""
        return sum(place.count - place.answered for place in self.places)

    def fetch(self, departments: Collection[str] | None, tell: Tell) -> "Records":
        """Fetch what is not answered yet of these departments (`H:name/class`), or of all; give what came and what did not.

        A hospital that fails stops no other. Stopped by the doctor, what came stays. Raises nothing but what is a fault of ours.
        """
        wanted = [one for one in self.locations if departments is None or one.department_id in departments]
        came: list[FetchedRecord] = []
        missing = dict(self.missing)
        asked = list(dict.fromkeys(one.hospital.identity for one in wanted))
        try:
            for number, hospital_id in enumerate(asked, start=1):
                words = f"Fetching from {hospital_id}{_of(number, len(asked))}"
                tell(Progress(words, 0, None))
                there = [one for one in wanted if one.hospital.identity == hospital_id]
                came.extend(self.gathering.records(there, _telling(tell, words)))
                missing.pop(hospital_id, None)
                if fault := self.gathering.missing.get(hospital_id):
                    missing[hospital_id] = plain(fault, in_visit=self.source.in_visit)
        except Cancelled:
            unanswered = {one.hospital.identity for one in wanted if one.handle not in self.gathering.answered}
            missing |= dict.fromkeys(unanswered - missing.keys(), STOPPED)
        return self._with(came, self.chosen | {one.handle for one in wanted}, missing)

    def retry(self, tell: Tell) -> "Records":
        """Fetch what was chosen and did not come, of hospitals that failed."""
        failed = [one for one in self.locations if one.handle in self.chosen and one.hospital.identity in self.missing]
        return self.fetch({one.department_id for one in failed}, tell)

    def close(self) -> None:
        """Remove what was spooled."""
        for record in self.fetched:
            record.close()

    def part(self, key: str) -> tuple[FetchedRecord, Part] | None:
        """Return a part by its key, and the record that it is of."""
        for part in self.parts:
            if part.key == key:
                return self.fetched[int(key.partition("-")[0]) - 1], part
        return None

    def _with(self, came: Sequence[FetchedRecord], chosen: frozenset[bytes], missing: Mapping[str, str]) -> "Records":
        fetched = (*self.fetched, *came)
        charted = list(self.charted)
        numbered = enumerate(came, start=len(self.fetched) + 1)
        parts = [part for number, record in numbered for part in _parts(number, record, charted)]
        return replace(
            self,
            fetched=fetched,
            parts=(*self.parts, *parts),
            charted=tuple(charted),
            chosen=chosen,
            places=_places(self.locations, self.gathering.answered),
            missing=MappingProxyType(dict(missing)),
            withheld=MappingProxyType(withheld(self.locations, fetched, self.gathering.answered)),
            chart=_chart(fetched, charted),
        )


def find(source: Source, most_bytes: int) -> Records:
    """Ask where records are. Raises FederationError."""
    more: list[bool] = []
    locations = tuple(source.find(lambda: more.append(True)))
    gathering = Gathering(source.fetch, Allowance(most_bytes))
    return Records(source, locations, bool(more), gathering, places=_places(locations, set()))


def content_of(record: FetchedRecord, part: Part) -> Iterator[bytes]:
    """Yield the bytes of a part. Raises RecordDigestMismatch, StoreError, and NotStored where the visit is over."""
    number = int(part.key.partition("-")[2])
    for index, (_, _, content) in enumerate(record.parts(), start=1):
        if index == number:
            yield from content
            return


def _telling(tell: Tell, words: str) -> OnProgress:
    pace = Pace()

    def show(_hospital_id: str, received: int, size: int | None) -> None:
        tell(Progress(words, received, size, pace.words(received, size)))

    return show


def _of(number: int, total: int) -> str:
    return f", hospital {number} of {total}" if total > 1 else ""


def _places(locations: Sequence[RecordLocation], answered: set[bytes]) -> tuple[Place, ...]:
    by_department: dict[str, list[RecordLocation]] = {}
    for one in sorted(locations, key=lambda it: it.department_id):
        by_department.setdefault(one.department_id, []).append(one)
    return tuple(
        Place(
            name, found[0].hospital.identity, found[0].address, len(found), sum(it.handle in answered for it in found)
        )
        for name, found in by_department.items()
    )


def _parts(number: int, record: FetchedRecord, charted: list[Charted]) -> Iterator[Part]:
    """Yield what a record holds, and note its bundles for the chart. Whatever a stranger's bundle does, it is listed."""
    for index, (entry, part, content) in enumerate(record.parts(), start=1):
        shown = _part(f"{number}-{index}", record, entry, part)
        if part.kind != PART_KIND_FHIR_BUNDLE:
            yield shown
            continue
        try:
            bundle = load_resource(b"".join(content), "Bundle")
        except ClinicalError as error:
            yield replace(shown, warnings=(f"not readable as FHIR R4 ({error.reason}), and not in the chart",))
            continue
        charted.append(Charted(record.hospital_id, shown.key, bundle, entry.department_id, entry.stored_at))
        summary = summary_of(bundle)
        warnings = tuple(f"CAUTION: it {warning}" for warning in summary.warnings(record.manifest.patient_id))
        yield replace(shown, words=summary.words(), warnings=warnings)


def _chart(fetched: Sequence[FetchedRecord], charted: Sequence[Charted]) -> Chart | None:
    if not charted:
        return None
    today = datetime.now(UTC).astimezone().date()
    return chart_of(charted, today=today, patient_id=fetched[0].manifest.patient_id)


def _part(key: str, record: FetchedRecord, entry: RecordEntry, part: RecordPart) -> Part:
    return Part(
        key=key,
        hospital_id=record.hospital_id,
        department_id=entry.department_id,
        stored_at=entry.stored_at,
        version=entry.version,
        name=part.name,
        media_type=part.media_type,
        size_bytes=part.size_bytes,
        digest=part.digest.hex(),
        signed_at=record.end.sent_at,
        file_name=part_name(record, entry, part, int(key.partition("-")[2])),
        is_bundle=part.kind == PART_KIND_FHIR_BUNDLE,
        handle=entry.handle.hex(),
    )
