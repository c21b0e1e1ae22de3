"""What was measured and found: Observations as series of numbers over time, and as findings in words.

A series is what one code and one unit were measured by, whichever hospital measured: numbers are never converted. It is marked
as high or low only by the record's own interpretation or, where there is none, by its own reference range.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from federation.clinical.chart.events import Document, recording
from federation.clinical.chart.reading import (
    LOINC,
    UCUM,
    Entry,
    Json,
    Row,
    When,
    code_in,
    codes,
    day,
    each_once,
    figure,
    joined,
    listed_words,
    many,
    number,
    one,
    quantity,
    string,
    text,
    unit_of,
    when,
    words,
)
from federation.clinical.chart.topics import merged
from federation.clinical.text import printable

BLOOD_PRESSURE = ("8480-6", "8462-4")
"""LOINC: systolic and diastolic, two lines of one series."""

VITAL_SIGNS = (
    *("85354-9", "8480-6", "8462-4", "8867-4", "8310-5", "2708-6", "59408-5", "9279-1", "29463-7", "3141-9", "8302-2"),
    *("39156-5", "9843-4", "8287-5"),
)
"""LOINC codes of vital signs, in the order in which they are read."""

VITAL, LABORATORY, OTHER = "vital signs", "laboratory", "other measurements"
GROUPS = (VITAL, LABORATORY, OTHER)
_CATEGORIES = {"vital-signs": VITAL, "laboratory": LABORATORY}

MARKS = {
    "H": "high",
    "HH": "critically high",
    "HU": "significantly high",
    "L": "low",
    "LL": "critically low",
    "LU": "significantly low",
    "A": "abnormal",
    "AA": "critically abnormal",
    "POS": "positive",
    "DET": "detected",
    "R": "resistant",
    "I": "intermediate",
}
"""HL7's observation interpretation in words, as far as it marks something. What isn't listed is shown as it stands."""
_UNMARKED = {"N", "NEG", "ND", "S"}


MOST_DIGITS = 24
"""Of a number as given."""


@dataclass(frozen=True, slots=True)
class Mark:
    """That a value is out of the ordinary, by its own record: a sign such as "H", and in words why."""

    sign: str
    words: str


@dataclass(frozen=True, slots=True)
class Band:
    """A reference range of a record in the value's unit; None where it is open."""

    low: float | None
    high: float | None

    @property
    def words(self) -> str:
        """Both ends as numbers."""
        if self.low is not None and self.high is not None:
            return f"{figure(self.low)} to {figure(self.high)}"
        return f"from {figure(self.low)}" if self.low is not None else f"up to {figure(self.high or 0.0)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point(Row):
    """One measurement: the value of each line (blood pressure has two), as shown and as given, and what its record says of it."""

    values: tuple[float, ...]
    shown: str
    given: str
    unit: str
    mark: Mark | None
    band: Band | None
    status: str


@dataclass(frozen=True, slots=True)
class Series:
    """What one code and unit were measured by, the oldest first; `full_name` as the records have it."""

    name: str
    full_name: str
    code: str
    unit: str
    group: str
    points: tuple[Point, ...]

    @property
    def last(self) -> Point:
        """The newest measurement."""
        return self.points[-1]

    @property
    def drawn(self) -> tuple[Point, ...]:
        """The points that have a day."""
        return tuple(point for point in self.points if point.when.moment is not None)

    @property
    def band(self) -> Band | None:
        """The reference range of the newest measurement that has one."""
        return next((point.band for point in reversed(self.points) if point.band), None)

    @property
    def is_band_shared(self) -> bool:
        """Whether every measurement has this range."""
        return len({point.band for point in self.points}) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Row):
    """What was found once, in words."""

    value: str
    mark: Mark | None
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Row):
    """What was found under one code, the newest first."""

    name: str
    found: tuple[Found, ...]

    @property
    def last(self) -> Found:
        """The newest."""
        return self.found[0]


@dataclass(frozen=True, slots=True)
class _Measured:
    key: tuple[str, str]
    name: str
    group: str
    point: Point


@dataclass(frozen=True, slots=True)
class Observed:
    """What the Observations of all records hold."""

    series: tuple[Series, ...]
    findings: tuple[Finding, ...]
    recordings: tuple[Document, ...]


def observed(entries: Iterable[Entry]) -> Observed:
    """Sort Observations into series, findings and recordings."""
    measured: dict[tuple[str, str], list[_Measured]] = {}
    found: dict[str, list[tuple[str, Found]]] = {}
    recordings: list[Document] = []
    for entry in entries:
        if _is_recording(entry.held):
            recordings.append(recording(entry))
            continue
        for one_measured in _measurements(entry):
            measured.setdefault(one_measured.key, []).append(one_measured)
        for code, name, one_found in _findings(entry):
            found.setdefault(code, []).append((name, one_found))
    return Observed(_ordered(_named(map(_series, measured.values()))), _found(found), merged(recordings))


def _is_recording(held: Json) -> bool:
    return bool(one(held, "valueSampledData") or any(one(part, "valueSampledData") for part in many(held, "component")))


def _on(held: Json) -> When:
    return when(held, "effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued")


def _measurements(entry: Entry) -> Iterator[_Measured]:
    held = entry.held
    on, group, name = _on(held), _group(held), words(one(held, "code"))
    if (own := _measured(entry, held, on, group, name)) is not None:
        yield own
    parts = many(held, "component")
    pair = _pressures(entry, parts, on, group)
    if pair is not None:
        yield pair
    for part in parts:
        if pair is not None and _loinc(one(part, "code")) in BLOOD_PRESSURE:
            continue
        part_name = words(one(part, "code"))
        if (measured := _measured(entry, part, on, group, part_name or name)) is not None:
            yield measured


def _measured(entry: Entry, held: Json, on: When, group: str, name: str) -> _Measured | None:
    value, unit, given = _number(held)
    if value is None:
        return None
    band = _band(held, unit)
    comparator = text(one(held, "valueQuantity"), "comparator", 4)
    mark = _interpreted(held) or (None if comparator else _outside(value, band))
    point = Point(
        values=(value,),
        shown=f"{comparator}{figure(value)}",
        given=f"{comparator}{given}",
        unit=unit,
        mark=mark,
        band=band,
        status=_status(entry.held),
        when=on,
        origins=(entry.origin,),
    )
    return _Measured((_key(one(held, "code"), name), _unit_key(held, unit)), name or "not named", group, point)


def _number(held: Json) -> tuple[float | None, str, str]:
    """Return the value of an Observation or a component as a number, its unit, and the number as given."""
    measured = one(held, "valueQuantity")
    value = number(measured, "value")
    if value is not None:
        return value, unit_of(measured), printable(repr(measured["value"]), MOST_DIGITS)
    value = number(held, "valueInteger")
    return value, "", "" if value is None else printable(repr(held["valueInteger"]), MOST_DIGITS)


def _pressures(entry: Entry, parts: Sequence[Json], on: When, group: str) -> _Measured | None:
    """Return systolic and diastolic pressure as one measurement, if there is one of each in one unit."""
    by_code = {_loinc(one(part, "code")): part for part in parts}
    both = [_measured(entry, by_code.get(code, {}), on, group, "") for code in BLOOD_PRESSURE]
    upper, lower = both
    if upper is None or lower is None or upper.key[1] != lower.key[1]:
        return None
    marks = [mark for mark in (upper.point.mark, lower.point.mark, _interpreted(entry.held)) if mark]
    point = replace(
        upper.point,
        values=(*upper.point.values, *lower.point.values),
        shown=f"{upper.point.shown}/{lower.point.shown}",
        given=f"{upper.point.given}/{lower.point.given}",
        mark=marks[0] if marks else None,
        band=None,
    )
    return _Measured(("85354-9", upper.key[1]), "Blood pressure", VITAL if group == OTHER else group, point)


def _key(concept: Json, name: str) -> str:
    """Return what two Observations of the same kind share: LOINC's code, else the first code with its system, else the name."""
    if code := _loinc(concept):
        return code
    return next((f"{system}|{code}" for system, code in codes(concept) if code), f"|{name}")


def _loinc(concept: Json) -> str:
    return next((code for system, code in codes(concept) if system == LOINC), "")


def _unit_key(held: Json, unit: str) -> str:
    measured = one(held, "valueQuantity")
    return string(measured, "code") if string(measured, "system") == UCUM and string(measured, "code") else unit


def _group(held: Json) -> str:
    said = {code for concept in many(held, "category") for _, code in codes(concept)}
    found = [group for code, group in _CATEGORIES.items() if code in said]
    return VITAL if _loinc(one(held, "code")) in VITAL_SIGNS else found[0] if found else OTHER


def _status(held: Json) -> str:
    status = text(held, "status", 30)
    return "" if status == "final" else status


def _band(held: Json, unit: str) -> Band | None:
    """Return the record's reference range, if it has just one that is for everybody and in the unit of the value."""
    ranges = [
        found for found in many(held, "referenceRange") if code_in(one(found, "type")) in {"", "normal", "recommended"}
    ]
    if len(ranges) != 1:
        return None
    low, high = one(ranges[0], "low"), one(ranges[0], "high")
    if any(unit_of(end) not in {"", unit} for end in (low, high)):
        return None
    band = Band(number(low, "value"), number(high, "value"))
    return None if band == Band(None, None) else band


def _interpreted(held: Json) -> Mark | None:
    """Return the mark that the record's own interpretation sets."""
    for concept in many(held, "interpretation"):
        code, said = code_in(concept), words(concept)
        if not said or code in _UNMARKED:
            continue
        return Mark(code or said, f"{MARKS.get(code, said)}, says the record")
    return None


def _outside(value: float, band: Band | None) -> Mark | None:
    if band is None:
        return None
    if band.high is not None and value > band.high:
        return Mark("H", f"above the record's reference range, {band.words}")
    if band.low is not None and value < band.low:
        return Mark("L", f"below the record's reference range, {band.words}")
    return None


def _series(measured: Sequence[_Measured]) -> Series:
    points = tuple(reversed(merged(one_measured.point for one_measured in measured)))
    # The newest measurement's name; ties by the name.
    newest = max(measured, key=lambda held: (held.point.when.rank, held.name))
    group = min((held.group for held in measured), key=GROUPS.index)
    return Series(_short(newest.name), newest.name, newest.key[0], points[-1].unit, group, points)


def _short(name: str) -> str:
    """Return the analyte of a LOINC name, which goes on with the property and the method."""
    return name.partition(" [")[0].partition(" - ")[0] or name


def _named(series: Iterable[Series]) -> list[Series]:
    """Call by their full names what would share a short one, such as glucose in blood and in urine."""
    held = list(series)
    codes_of = Counter(name for name, _ in {(one_series.name, one_series.code) for one_series in held})
    return [
        replace(one_series, name=one_series.full_name) if codes_of[one_series.name] > 1 else one_series
        for one_series in held
    ]


def _ordered(series: Iterable[Series]) -> tuple[Series, ...]:
    def rank(held: Series) -> tuple[int, int, str, str, str]:
        place = VITAL_SIGNS.index(held.code) if held.code in VITAL_SIGNS else len(VITAL_SIGNS)
        return GROUPS.index(held.group), place, held.name.casefold(), held.unit, held.code

    return tuple(sorted(series, key=rank))


def _findings(entry: Entry) -> Iterator[tuple[str, str, Found]]:
    """Yield what an Observation and its components say in words."""
    held = entry.held
    name = words(one(held, "code"))
    own = _said(held)
    if own:
        yield _key(one(held, "code"), name), name or "not named", _one_found(entry, held, own)
    for part in many(held, "component"):
        if said := _said(part):
            part_name = joined(name, words(one(part, "code")))
            key = f"{_key(one(held, 'code'), name)} {_key(one(part, 'code'), part_name)}"
            yield key, part_name or "not named", _one_found(entry, part, said)


def _one_found(entry: Entry, held: Json, said: str) -> Found:
    mark = _interpreted(held)
    return Found(value=said, mark=mark, status=_status(entry.held), when=_on(entry.held), origins=(entry.origin,))


def _said(held: Json) -> str:
    """Return a value that is no number, in words; "" where there is a number or nothing."""
    if _number(held)[0] is not None:
        return ""
    truth = held.get("valueBoolean")
    span_of = one(held, "valuePeriod")
    ratio = one(held, "valueRatio")
    limits = one(held, "valueRange")
    said = (
        words(one(held, "valueCodeableConcept"))
        or text(held, "valueString")
        or ({True: "yes", False: "no"}[truth] if isinstance(truth, bool) else "")
        or text(held, "valueTime", 40)
        or day(string(held, "valueDateTime")).full
        or " to ".join(filter(None, (day(string(span_of, end)).text for end in ("start", "end"))))
        or " : ".join(filter(None, (quantity(one(ratio, end)) for end in ("numerator", "denominator"))))
        or " to ".join(filter(None, (quantity(one(limits, end)) for end in ("low", "high"))))
        or quantity(one(held, "valueQuantity"))
    )
    if said:
        return said
    absent = words(one(held, "dataAbsentReason"))
    notes = joined(*each_once(text(note, "text") for note in many(held, "note")))
    has_parts = bool(many(held, "component") or many(held, "hasMember"))
    return f"no value: {absent}" if absent else "" if has_parts else notes or _unreadable(held)


def _unreadable(held: Json) -> str:
    """Return that a value could not be read as a number, so that it is not passed over."""
    is_given = any(name.startswith("value") for name in held)
    unread = "a value that is not shown here; see the record as it came"
    return unread if is_given else joined(*listed_words(held, "interpretation")) or "no value"


def _found(found: dict[str, list[tuple[str, Found]]]) -> tuple[Finding, ...]:
    rows = []
    for held in found.values():
        whole = merged(one_found for _, one_found in held)
        name = max((one_found.when.rank, name) for name, one_found in held)[1]
        origins = sorted({origin for one_found in whole for origin in one_found.origins})
        rows.append(Finding(name=name, found=whole, when=whole[0].when, origins=tuple(origins)))
    return tuple(sorted(rows, key=lambda row: (row.name.casefold(), repr(row))))
