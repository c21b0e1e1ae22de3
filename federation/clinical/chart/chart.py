"""Records of any hospitals as one chart: what a doctor has to know first, in ten seconds.

It shows what records say and nothing besides: no advice, no check of one entry against another, no value converted. What is
retracted, and what is left out, is counted.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType

from federation.clinical.chart import drawings, events, rows
from federation.clinical.chart.reading import (
    Entry,
    Json,
    Origin,
    Source,
    When,
    calendar_day,
    day,
    entries_of,
    is_retracted,
    many,
    name_of,
    one,
    string,
    text,
)
from federation.clinical.chart.series import GROUPS, Finding, Series, observed
from federation.clinical.chart.topics import Topic, newest_first
from federation.clinical.summary import SUBJECTS
from federation.clinical.text import listed, printable

BEHIND = frozenset(
    {"Patient", "Practitioner", "PractitionerRole", "Organization", "Location", "Medication", "RelatedPerson"}
)
"""Kinds that other entries name: no rows of their own, and not left out."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whom records say that they are about. Texts are "" where a record does not say it; `age` is in years."""

    name: str
    sex: str
    born: When
    age: int | None
    died: str

    def __str__(self) -> str:
        return f"{self.name or 'somebody without a name'}{f', born {self.born.text}' if self.born else ''}"


@dataclass(frozen=True, slots=True)
class Record:
    """A record that the chart was made from."""

    hospital_id: str
    department_id: str
    key: str
    stored_at: int
    entries: int


@dataclass(frozen=True, slots=True)
class Group:
    """Series of one kind: those that have a course, and what was measured once."""

    name: str
    often: tuple[Series, ...]
    once: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart. `cautions` come before everything else; `retracted` and `left_out` count entries by resourceType."""

    people: tuple[Person, ...]
    cautions: tuple[str, ...]
    records: tuple[Record, ...]
    allergies: Topic[rows.Allergy]
    problems: Topic[rows.Problem]
    medication: Topic[rows.Medication]
    immunizations: Topic[rows.Repeated]
    procedures: Topic[rows.Repeated]
    series: tuple[Series, ...]
    findings: tuple[Finding, ...]
    documents: tuple[events.Document, ...]
    encounters: tuple[events.Encounter, ...]
    others: tuple[events.Other, ...]
    retracted: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def person(self) -> Person | None:
        """The one person whom all records are about; None if no record says, or they say different things."""
        return self.people[0] if len(self.people) == 1 else None

    @property
    def hospitals(self) -> tuple[str, ...]:
        """The hospitals whose records these are."""
        return tuple(dict.fromkeys(record.hospital_id for record in self.records))

    @property
    def groups(self) -> tuple["Group", ...]:
        """What was measured, in the groups that have something."""
        held = [(name, [series for series in self.series if series.group == name]) for name in GROUPS]
        return tuple(
            Group(
                name,
                often=tuple(series for series in whole if len(series.points) > 1),
                once=tuple(series for series in whole if len(series.points) == 1),
            )
            for name, whole in held
            if whole
        )

    @property
    def timeline(self) -> drawings.Svg:
        """Encounters and problems as a drawing."""
        return drawings.timeline(self.encounters, (*self.problems.rows, *self.problems.past))

    def sparkline(self, series: Series) -> drawings.Svg:
        """Return one of its series as a drawing."""
        return drawings.sparkline(series)


def chart_of(sources: Iterable[Source], *, today: date, patient_id: str = "") -> Chart:
    """Return the chart of valid bundles; the same ones in any order give the same chart.

    `today` is for ages; `patient_id` is whose records they are filed as, to tell of entries that name somebody else. Never
    raises, whatever the bundles hold.
    """
    held = sorted(sources, key=lambda source: (source.hospital_id, source.department_id, source.stored_at, source.key))
    by_kind: dict[str, list[Entry]] = {}
    retracted: Counter[str] = Counter()
    records = []
    for source in held:
        entries = list(entries_of(source))
        records.append(Record(source.hospital_id, source.department_id, source.key, source.stored_at, len(entries)))
        for entry in entries:
            if is_retracted(entry.held):
                retracted[printable(entry.kind, 60)] += 1
            else:
                by_kind.setdefault(entry.kind, []).append(entry)
    return _chart(by_kind, tuple(records), retracted, today, patient_id)


def _chart(
    by_kind: Mapping[str, list[Entry]],
    records: tuple[Record, ...],
    retracted: Mapping[str, int],
    today: date,
    patient_id: str,
) -> Chart:
    def of(*kinds: str) -> list[Entry]:
        return [entry for kind in kinds for entry in by_kind.get(kind, ())]

    lists = of("List", "Composition")
    people = _people(of("Patient"), today)
    seen = observed(of("Observation"))
    return Chart(
        people=people,
        cautions=tuple(_cautions(people, by_kind, patient_id)),
        records=records,
        allergies=rows.allergies(of("AllergyIntolerance"), lists),
        problems=rows.problems(of("Condition"), lists),
        medication=rows.medication(of(*rows.MEDICATION_KINDS), lists),
        immunizations=rows.immunizations(of("Immunization"), lists),
        procedures=rows.procedures(of("Procedure"), lists),
        series=seen.series,
        findings=seen.findings,
        documents=newest_first((*events.documents(by_kind), *seen.recordings)),
        encounters=events.encounters(of("Encounter")),
        others=events.others(by_kind),
        retracted=MappingProxyType(dict(sorted(retracted.items()))),
        left_out=MappingProxyType(_left_out(by_kind)),
    )


SHOWN = (
    frozenset({"AllergyIntolerance", "Condition", "Immunization", "Procedure", "Observation", "Encounter"})
    | rows.MEDICATION_KINDS.keys()
    | events.DOCUMENT_KINDS
    | events.OTHER_KINDS
)
"""Kinds that have rows."""


def _left_out(by_kind: Mapping[str, list[Entry]]) -> dict[str, int]:
    counts = {
        printable(kind, 60) or "not named": len(entries)
        for kind, entries in by_kind.items()
        if kind not in SHOWN | BEHIND
    }
    return dict(sorted(counts.items(), key=lambda held: (-held[1], held[0])))


def _people(patients: Iterable[Entry], today: date) -> tuple[Person, ...]:
    """Return whom the records are about, each once by name and birth date, with the sex and death that any of them states."""
    found: dict[tuple[str, str], list[Person]] = {}
    for entry in patients:
        person = _person(entry.held, today)
        found.setdefault((person.name, person.born.text), []).append(person)
    return tuple(
        Person(
            name=same[0].name,
            sex=" or ".join(sorted({one_of.sex for one_of in same if one_of.sex})),
            born=same[0].born,
            age=same[0].age,
            died=max(one_of.died for one_of in same),
        )
        for _, same in sorted(found.items())
    )


def _person(patient: Json, today: date) -> Person:
    born = day(string(patient, "birthDate"))
    died = day(string(patient, "deceasedDateTime"))
    said = f"died {died.text}" if died else "died" if patient.get("deceasedBoolean") is True else ""
    return Person(name_of(patient), text(patient, "gender", 20), born, _age(born, died, today), said)


def _age(born: When, died: When, today: date) -> int | None:
    """Return the age in full years, at death for who died; None unless the day of birth is given in full and past."""
    if born.moment is None or len(born.text) != 10:
        return None
    if died and (died.moment is None or len(died.text) != 10):
        return None
    start, end = calendar_day(born.moment), today if died.moment is None else calendar_day(died.moment)
    years = end.year - start.year - ((end.month, end.day) < (start.month, start.day))
    return years if years >= 0 else None


def _cautions(people: Sequence[Person], by_kind: Mapping[str, list[Entry]], patient_id: str) -> Iterable[str]:
    if len(people) > 1:
        yield f"The records are of {len(people)} people by their names: {listed(map(str, people), '; ')}."
    if not patient_id:
        return
    named: dict[str, set[Origin]] = {}
    for entry in (entry for entries in by_kind.values() for entry in entries):
        for identity in _identities(entry.held):
            if identity.startswith("P:") and identity != patient_id:
                named.setdefault(identity, set()).add(entry.origin)
    for identity, origins in sorted(named.items()):
        hospitals = listed(sorted({origin.hospital_id for origin in origins}))
        yield f"Records of {hospitals} name {identity}, and are filed under {patient_id}."


def _identities(held: Json) -> Iterable[str]:
    """Yield the federation's names of whom an entry is about."""
    for name in SUBJECTS:
        yield text(one(one(held, name), "identifier"), "value", 80)
    if string(held, "resourceType") == "Patient":
        for identifier in many(held, "identifier"):
            yield text(identifier, "value", 80)
