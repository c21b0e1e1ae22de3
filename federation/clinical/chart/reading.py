"""What a chart reads out of FHIR: each value by its type or not at all, each text printable, each day through one function.

A record that was valid when it was taken in can still say 31 February, or lack what R4 does not require. So nothing here
raises, whatever JSON it is given; what can't be read is nothing, and shown as such.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from federation.clinical.confidentiality import WORDS, sensitivity_of_labels
from federation.clinical.text import printable

Json = Mapping[str, Any]

MOST_CHARACTERS = 300
"""Of one text in a chart; the whole of it is in the record as it came."""

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"

_MOMENT = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)
_SEMANTIC_TAG = re.compile(
    r" \((?:disorder|finding|procedure|situation|substance|product|organism|morphologic abnormality)\)$"
)
"""SNOMED CT ends a fully specified name with the hierarchy it is in."""

_RETRACTED = {"entered-in-error", "refuted"}
_MOST_NESTED = 8
"""Bundles in bundles that are looked into."""


@dataclass(frozen=True, slots=True)
class Source:
    """A record to chart: whose it is, and its bundle, parsed and valid.

    `key` is where "as it came" leads, chosen by who shows the chart, and another for each record. `stored_at` is in
    milliseconds after the Unix epoch, 0 where it isn't known.
    """

    hospital_id: str
    key: str
    content: Json = field(repr=False)
    department_id: str = ""
    stored_at: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a row comes from: a record, and the place of the entry in its bundle; and how the record labels it."""

    hospital_id: str
    key: str
    entry: int
    sensitivity: str = "normal"


@dataclass(frozen=True, slots=True)
class When:
    """A moment as a record gives it. `text` is "" where it gives none.

    `clock` is its time of day, if it has one. `moment` counts days from 1 January of the year 1, in UTC, for drawing and
    sorting; None where no calendar has that day: it is listed, not drawn. A month or year counts as its first day.
    """

    text: str = ""
    clock: str = ""
    moment: float | None = None

    def __bool__(self) -> bool:
        return bool(self.text)

    @property
    def rank(self) -> tuple[float, str, str]:
        """Sort by this: what has no day comes before what has one."""
        return -math.inf if self.moment is None else self.moment, self.text, self.clock

    @property
    def full(self) -> str:
        """Day and time of day."""
        return f"{self.text} {self.clock}".strip()


NEVER = When()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of a chart: of when it is, and which records say so."""

    when: When
    origins: tuple[Origin, ...]

    @property
    def hospitals(self) -> tuple[str, ...]:
        """Whose records say so, each hospital once."""
        return tuple(dict.fromkeys(origin.hospital_id for origin in self.origins))

    @property
    def leads(self) -> tuple[Origin, ...]:
        """For each of these hospitals the first of its records: where "as it came" leads."""
        return tuple({origin.hospital_id: origin for origin in reversed(self.origins)}.values())[::-1]

    @property
    def sensitivity(self) -> str:
        """The highest sensitivity that one of the records labels it with."""
        return max((origin.sensitivity for origin in self.origins), key=WORDS.index, default="normal")


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource of a bundle, with its bundle to look references up in."""

    kind: str
    held: Json = field(repr=False)
    origin: Origin
    index: "Index" = field(repr=False)

    def referred(self, reference: Json) -> Json:
        """Return the resource that a reference leads to within this bundle; {} if it isn't there, or is retracted."""
        return self.index.find(self.held, string(reference, "reference"))

    def named(self, reference: Json) -> str:
        """Return the name of who or what a reference is to."""
        found = self.referred(reference)
        if string(found, "resourceType") == "PractitionerRole":
            return self.named(one(found, "practitioner")) or self.named(one(found, "organization"))
        return (
            name_of(found)
            or words(one(found, "code"))
            or text(reference, "display")
            or text(one(reference, "identifier"), "value")
        )


class Index:
    """The resources of one bundle by what references may call them."""

    def __init__(self) -> None:
        self._by_name: dict[str, Json] = {}

    def add(self, full_url: str, resource: Json) -> None:
        """Note a resource; the first of a name stays."""
        kind, name = string(resource, "resourceType"), string(resource, "id")
        for called in (full_url, f"{kind}/{name}" if name else ""):
            if called:
                self._by_name.setdefault(called, resource)

    def find(self, near: Json, reference: str) -> Json:
        """Return what a reference in the resource `near` leads to, {} for nothing that may be shown."""
        if reference.startswith("#"):
            found = next((held for held in many(near, "contained") if string(held, "id") == reference[1:]), {})
        else:
            plain = reference.partition("/_history/")[0]
            found = self._by_name.get(plain) or self._by_name.get("/".join(plain.split("/")[-2:])) or {}
        return {} if is_retracted(found) else found


def entries_of(source: Source) -> Iterator[Entry]:
    """Yield the resources of a record, those of bundles in its bundle included."""
    index = Index()
    held = list(_held(source.content, sensitivity_of_labels(_labels(source.content)), 0))
    for _, full_url, resource, _ in held:
        index.add(full_url, resource)
    for place, _, resource, sensitivity in held:
        origin = Origin(source.hospital_id, source.key, place, sensitivity)
        yield Entry(string(resource, "resourceType"), resource, origin, index)


def _held(bundle: Json, sensitivity: str, depth: int) -> Iterator[tuple[int, str, Json, str]]:
    for place, entry in enumerate(_list(bundle, "entry")):
        resource = one(entry, "resource") if isinstance(entry, dict) else {}
        if not resource:
            continue
        labelled = max(sensitivity, sensitivity_of_labels(_labels(resource)), key=WORDS.index)
        if string(resource, "resourceType") == "Bundle" and depth < _MOST_NESTED:
            yield from ((place, url, inner, label) for _, url, inner, label in _held(resource, labelled, depth + 1))
        else:
            yield place, string(entry, "fullUrl"), resource, labelled


def _labels(resource: Json) -> Iterator[tuple[str, str]]:
    for label in many(one(resource, "meta"), "security"):
        yield string(label, "system"), string(label, "code")


def is_retracted(resource: Json) -> bool:
    """Return whether its author says that it was a mistake, or that it was ruled out."""
    verified = code_in(one(resource, "verificationStatus"))
    return string(resource, "status") == "entered-in-error" or verified in _RETRACTED


def one(held: Json, name: str) -> Json:
    """Return the object of this name, {} if there is none."""
    value = held.get(name)
    return value if isinstance(value, dict) else {}


def many(held: Json, name: str) -> list[Json]:
    """Return the objects in the list of this name."""
    return [item for item in _list(held, name) if isinstance(item, dict)]


def string(held: Json, name: str) -> str:
    """Return the string of this name as it is, for comparing; "" if there is none."""
    value = held.get(name)
    return value if isinstance(value, str) else ""


def text(held: Json, name: str, limit: int = MOST_CHARACTERS) -> str:
    """Return the string of this name, fit to be shown; "" if there is none."""
    return printable(string(held, name), limit)


def strings(held: Json, name: str) -> list[str]:
    """Return the strings in the list of this name, fit to be shown."""
    return [printable(item, 80) for item in _list(held, name) if isinstance(item, str)]


def number(held: Json, name: str) -> float | None:
    """Return the finite number of this name."""
    value = held.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _list(held: Json, name: str) -> list[Any]:
    value = held.get(name)
    return value if isinstance(value, list) else []


def codes(concept: Json) -> Iterator[tuple[str, str]]:
    """Yield (system, code) of a CodeableConcept."""
    for coding in many(concept, "coding"):
        yield string(coding, "system"), string(coding, "code")


def code_in(concept: Json) -> str:
    """Return a CodeableConcept's first code, fit to be shown."""
    return next((text(coding, "code", 60) for coding in many(concept, "coding") if string(coding, "code")), "")


def words(concept: Json) -> str:
    """Return a CodeableConcept in its own words: its text, else a display, else a code; without SNOMED CT's tag."""
    said = text(concept, "text")
    for name in ("display", "code"):
        said = said or next(filter(None, (text(coding, name) for coding in many(concept, "coding"))), "")
    return _SEMANTIC_TAG.sub("", said)


def listed_words(held: Json, name: str) -> list[str]:
    """Return the CodeableConcepts of a list in words, each once."""
    return each_once(words(concept) for concept in many(held, name))


def each_once(texts: Iterable[str]) -> list[str]:
    """Return the texts that say something, each once."""
    return list(dict.fromkeys(filter(None, texts)))


def joined(*parts: str) -> str:
    """Return the parts that say something, with commas between."""
    return ", ".join(filter(None, parts))


def name_of(resource: Json) -> str:
    """Return the name of an organization, a place or a person: of a person's names the one for every day."""
    if isinstance(resource.get("name"), str):
        return text(resource, "name")
    shown = sorted(((_rank(name), place, _shown(name)) for place, name in enumerate(many(resource, "name"))))
    return next((said for _, _, said in shown if said), "")


_NAME_USES = ("usual", "official", "", "temp", "nickname", "anonymous", "old", "maiden")


def _rank(name: Json) -> tuple[bool, int]:
    use = string(name, "use")
    return "end" in one(name, "period"), _NAME_USES.index(use) if use in _NAME_USES else len(_NAME_USES)


def _shown(name: Json) -> str:
    given = [part for part in (*_list(name, "prefix"), *_list(name, "given")) if isinstance(part, str)]
    return text(name, "text") or printable(" ".join([*given, string(name, "family")]), MOST_CHARACTERS)


def day(said: str) -> When:
    """Return a FHIR date, dateTime or instant: its day as given, its time of day, and its moment if a calendar has it."""
    found = _MOMENT.fullmatch(said)
    if found is None:
        return When(printable(said, 40))
    year, month, of_month, hour, minute, zone = found.groups()
    shown, clock = said[:10] if of_month else said[:7], f"{hour}:{minute}" if hour else ""
    try:
        days = float(date(int(year), int(month or 1), int(of_month or 1)).toordinal())
    except ValueError:  # 31 February
        return When(shown, clock)
    if hour:
        days += (int(hour) * 60 + int(minute) - _minutes_east(zone)) / 1440
    return When(shown, clock, days)


def calendar_day(moment: float) -> date:
    """Return the day that a moment is on; a zone may shift the first and the last day of all out of the calendar."""
    return date.fromordinal(min(max(int(moment), 1), date.max.toordinal()))


def _minutes_east(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    return (int(zone[1:3]) * 60 + int(zone[4:])) * (-1 if zone[0] == "-" else 1)


def span(resource: Json, *names: str) -> tuple[When, When]:
    """Return from when to when something was, by the first of these elements that says so: a moment, Period, Age or words."""
    for name in names:
        value = resource.get(name)
        if isinstance(value, str) and value:
            return day(value), NEVER
        if isinstance(value, dict):
            found = day(string(value, "start")), day(string(value, "end"))
            if any(found):
                return found
            if (age := quantity(value)) and name.endswith("Age"):
                return When(f"at the age of {age}"), NEVER
    return NEVER, NEVER


def when(resource: Json, *names: str) -> When:
    """Return when something was, of a Period its start, or its end where it has only that."""
    start, end = span(resource, *names)
    return start or end


def figure(value: float) -> str:
    """Return a number as given, or to four digits where it has so many that nobody measured them."""
    given = f"{value:.15g}"
    if len(given.strip("-").replace(".", "")) <= 6 and "e" not in given:
        return given
    return f"{value:.4g}" if not 1e-4 < abs(value) < 1e9 else _fixed(value)


def _fixed(value: float) -> str:
    decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    shown = f"{value:.{decimals}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def unit_of(held: Json) -> str:
    """Return a Quantity's unit as given; UCUM's annotations, such as {score}, are no unit."""
    given = text(held, "unit", 40) or text(held, "code", 40)
    return "" if given.startswith("{") and given.endswith("}") else given


def quantity(held: Json) -> str:
    """Return a Quantity in words, with its comparator; "" if it has no number."""
    value = number(held, "value")
    return "" if value is None else f"{text(held, 'comparator', 4)}{figure(value)} {unit_of(held)}".strip()
