"""What a patient has, takes and was given: allergies, problems, medication, immunizations, procedures."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from federation.clinical.chart.reading import (
    Entry,
    Json,
    Row,
    When,
    code_in,
    each_once,
    joined,
    listed_words,
    many,
    number,
    one,
    quantity,
    span,
    string,
    strings,
    text,
    when,
    words,
)
from federation.clinical.chart.topics import (
    ALLERGIES,
    IMMUNIZATIONS,
    MEDICATION,
    PROBLEMS,
    PROCEDURES,
    Stated,
    Topic,
    merged,
    stated_by_lists,
    topic,
)

OVER = {"inactive", "resolved", "remission"}
"""HL7's clinical status that says that something is over. An unknown or absent one counts as going on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allergy(Row):
    """An allergy or intolerance, over or not: `status` says so. `is_high` where the record states a high criticality."""

    what: str
    reactions: tuple[str, ...]
    status: str
    is_high: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(Row):
    """A condition: `when` it began, `until` when; how it is coded; what else its record says of its state."""

    what: str
    code: str
    until: When
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Medication(Row):
    """A medicine that was ordered, taken or given, with its dose and reason as recorded."""

    what: str
    dose: str
    reason: str
    until: When
    status: str
    is_forbidden: bool
    """Whether it says that this medicine must not be given."""
    is_over: bool
    """Whether it was stopped, completed, or never taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion(Row):
    """One time that something was done; `words` says how, where more is recorded."""

    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated(Row):
    """What was done once or more often, such as a vaccination: of `when` the last time is, and each time, the newest first."""

    what: str
    occasions: tuple[Occasion, ...]


def allergies(entries: Sequence[Entry], lists: Sequence[Entry]) -> Topic[Allergy]:
    """Return the allergies, those of high risk first; those that are over stay, for whoever is about to give something."""
    stated = stated_by_lists(ALLERGIES, lists)
    found = topic(list(_allergies(entries, stated)), (), stated)
    return replace(found, rows=tuple(sorted(found.rows, key=lambda row: not row.is_high)))


def _allergies(entries: Iterable[Entry], stated: Stated) -> Iterator[Allergy]:
    for entry in entries:
        held = entry.held
        on, clinical = when(held, "recordedDate", "onsetDateTime", "onsetPeriod"), code_in(one(held, "clinicalStatus"))
        if stated.takes(ALLERGIES, entry, one(held, "code"), holds=clinical not in OVER, of=on):
            continue
        reactions = [one_reaction for one_reaction in map(_reaction, many(held, "reaction")) if one_reaction]
        substances = each_once(words(one(reaction, "substance")) for reaction in many(held, "reaction"))
        criticality = string(held, "criticality")
        yield Allergy(
            what=words(one(held, "code")) or joined(*substances) or "something that is not named",
            reactions=tuple(each_once(reactions)),
            status=joined(
                text(held, "type", 20) if string(held, "type") == "intolerance" else "",
                f"{criticality} risk" if criticality in {"high", "low"} else "",
                clinical if clinical in OVER else "",
                _unless(code_in(one(held, "verificationStatus")), "confirmed"),
            ),
            is_high=criticality == "high",
            when=on,
            origins=(entry.origin,),
        )


def _reaction(reaction: Json) -> str:
    manifested = joined(*listed_words(reaction, "manifestation")) or text(reaction, "description")
    severity = _unless(text(reaction, "severity", 20), "mild")
    return f"{manifested} ({severity})" if manifested and severity else manifested


def _unless(said: str, usual: str) -> str:
    return "" if said == usual else said


def problems(entries: Sequence[Entry], lists: Sequence[Entry]) -> Topic[Problem]:
    """Return the problems; `past` are those whose record says that they are over."""
    stated = stated_by_lists(PROBLEMS, lists)
    rows: list[Problem] = []
    past: list[Problem] = []
    for entry in entries:
        held = entry.held
        since, ended = span(held, "onsetDateTime", "onsetPeriod", "onsetAge", "onsetString", "recordedDate")
        until, _ = span(held, "abatementDateTime", "abatementPeriod", "abatementAge", "abatementString")
        clinical = code_in(one(held, "clinicalStatus"))
        is_over = clinical in OVER
        if stated.takes(PROBLEMS, entry, one(held, "code"), holds=not is_over, of=since):
            continue
        row = Problem(
            what=words(one(held, "code")) or "a problem that is not named",
            code=code_in(one(held, "code")),
            until=until or ended,
            status=joined(
                _unless(clinical, "active") or ("" if clinical else "status not stated"),
                _unless(code_in(one(held, "verificationStatus")), "confirmed"),
                words(one(held, "severity")),
                *listed_words(held, "bodySite"),
            ),
            when=since,
            origins=(entry.origin,),
        )
        (past if is_over else rows).append(row)
    return topic(rows, past, stated)


NO_LONGER = {"completed", "stopped", "cancelled", "not-taken", "declined"}
"""Status of a medicine that is no longer taken or never was. An unknown one counts as taken."""

MEDICATION_KINDS = {
    "MedicationRequest": "",
    "MedicationStatement": "",
    "MedicationDispense": "dispensed",
    "MedicationAdministration": "given",
}


def medication(entries: Sequence[Entry], lists: Sequence[Entry]) -> Topic[Medication]:
    """Return the medication; `past` is what was stopped or completed, or was given once."""
    stated = stated_by_lists(MEDICATION, lists)
    rows: list[Medication] = []
    past: list[Medication] = []
    for entry in entries:
        held = entry.held
        since, until = span(
            held,
            *("effectiveDateTime", "effectivePeriod", "authoredOn", "whenHandedOver", "whenPrepared", "dateAsserted"),
        )
        status = text(held, "status", 30)
        if stated.takes(
            MEDICATION, entry, one(held, "medicationCodeableConcept"), holds=status not in NO_LONGER, of=since
        ):
            continue
        row = Medication(
            what=_medicine(entry),
            dose=_dose(held),
            reason=_reason(entry),
            until=until,
            status=joined(
                MEDICATION_KINDS[entry.kind],
                _unless(status, "active"),
                _unless(text(held, "intent", 30), "order"),
                *listed_words(held, "statusReason"),
                words(one(held, "statusReason")),
            ),
            is_forbidden=held.get("doNotPerform") is True,
            is_over=status in NO_LONGER,
            when=since,
            origins=(entry.origin,),
        )
        (past if status in NO_LONGER and not row.is_forbidden else rows).append(row)
    return topic(rows, past, stated)


def _medicine(entry: Entry) -> str:
    held = entry.held
    referred = entry.referred(one(held, "medicationReference"))
    parts = (
        joined(words(one(part, "itemCodeableConcept")), _ratio(one(part, "strength")))
        for part in many(referred, "ingredient")
    )
    return (
        words(one(held, "medicationCodeableConcept"))
        or words(one(referred, "code"))
        or " + ".join(filter(None, parts))
        or text(one(held, "medicationReference"), "display")
        or "a medicine that is not named"
    )


def _ratio(ratio: Json) -> str:
    above, below = quantity(one(ratio, "numerator")), quantity(one(ratio, "denominator"))
    return f"{above} per {below}" if above and below else above


def _dose(held: Json) -> str:
    doses = [*many(held, "dosageInstruction"), *many(held, "dosage"), one(held, "dosage")]
    return "; ".join(each_once(_one_dose(dose) for dose in doses))


def _one_dose(dose: Json) -> str:
    """Return a Dosage as its author wrote it, else put together from its parts."""
    if written := text(dose, "text") or text(dose, "patientInstruction"):
        return written
    rates = [*many(dose, "doseAndRate"), dose]
    amounts = each_once(
        quantity(one(rate, name)) or _range(one(rate, name)) or _ratio(one(rate, name))
        for rate in rates
        for name in _AMOUNTS
    )
    for_what = words(one(dose, "asNeededCodeableConcept"))
    needed = "as needed" if dose.get("asNeededBoolean") is True or for_what else ""
    told = joined(
        *amounts,
        _timing(one(dose, "timing")),
        words(one(dose, "route")),
        words(one(dose, "site")),
        f"{needed} for {for_what}" if for_what else needed,
    )
    repeat = one(one(dose, "timing"), "repeat")
    is_more = dose.keys() - _TOLD_OF_DOSE or repeat.keys() - _TOLD_OF_REPEAT
    return joined(told, MORE_OF_DOSE if is_more else "")


_UNITS = {"s": "second", "min": "minute", "h": "hour", "d": "day", "wk": "week", "mo": "month", "a": "year"}
_AMOUNTS = ("doseQuantity", "doseRange", "dose", "rateQuantity", "rateRange", "rateRatio")
_TOLD_OF_DOSE = {
    *("sequence", "timing", "asNeededBoolean", "asNeededCodeableConcept", "route", "doseAndRate"),
    *("site", "id", "extension", *_AMOUNTS),
}
_TOLD_OF_REPEAT = {
    *("boundsDuration", "frequency", "frequencyMax", "period", "periodUnit", "when", "timeOfDay"),
    *("id", "extension"),
}
MORE_OF_DOSE = "and more: see the record as it came"
"""Of a dose with an element that is not told here: a part of a dose can be the wrong dose."""


def _range(held: Json) -> str:
    low, high = quantity(one(held, "low")), quantity(one(held, "high"))
    return f"{low} to {high}" if low and high else low or high


def _timing(timing: Json) -> str:
    repeat = one(timing, "repeat")
    lasting = quantity(one(repeat, "boundsDuration"))
    return joined(words(one(timing, "code")) or _times(repeat), f"for {lasting}" if lasting else "")


def _times(repeat: Json) -> str:
    least, most = number(repeat, "frequency"), number(repeat, "frequencyMax")
    period, unit = number(repeat, "period"), text(repeat, "periodUnit", 10)
    slots = [*strings(repeat, "timeOfDay"), *strings(repeat, "when")]
    times = f"{least or 1:g} to {most:g} times" if most else "once" if least in {None, 1.0} else f"{least:g} times"
    noun = _UNITS.get(unit, unit)
    every = f"every {noun}" if period == 1 else f"every {period:g} {noun}s" if period is not None else ""
    return joined(f"{times} {every}" if every and noun else "", *slots)


def _reason(entry: Entry) -> str:
    named = (
        words(one(entry.referred(reason), "code")) or text(reason, "display")
        for reason in many(entry.held, "reasonReference")
    )
    return joined(*each_once([*listed_words(entry.held, "reasonCode"), *named]))


def immunizations(entries: Sequence[Entry], lists: Sequence[Entry]) -> Topic[Repeated]:
    """Return the vaccinations by vaccine; `past` are those that were not given."""
    stated = stated_by_lists(IMMUNIZATIONS, lists)
    given: list[tuple[str, Occasion]] = []
    not_given: list[tuple[str, Occasion]] = []
    for entry in entries:
        held = entry.held
        on = when(held, "occurrenceDateTime", "occurrenceString", "recorded")
        if stated.takes(IMMUNIZATIONS, entry, one(held, "vaccineCode"), of=on):
            continue
        protocol = (many(held, "protocolApplied") or [{}])[0]
        dose = number(protocol, "doseNumberPositiveInt")
        said = joined(
            _unless(text(held, "status", 20), "completed"),
            words(one(held, "statusReason")),
            f"dose {dose:g}" if dose is not None else text(protocol, "doseNumberString", 40),
            f"lot {text(held, 'lotNumber', 40)}" if string(held, "lotNumber") else "",
        )
        what = words(one(held, "vaccineCode")) or "a vaccine that is not named"
        occasion = Occasion(words=said, when=on, origins=(entry.origin,))
        (not_given if string(held, "status") == "not-done" else given).append((what, occasion))
    return topic(repeated(given), repeated(not_given), stated)


def procedures(entries: Sequence[Entry], lists: Sequence[Entry]) -> Topic[Repeated]:
    """Return what was done, by what it was; `past` is what was not done."""
    stated = stated_by_lists(PROCEDURES, lists)
    done: list[tuple[str, Occasion]] = []
    not_done: list[tuple[str, Occasion]] = []
    for entry in entries:
        held = entry.held
        on, _ = span(held, "performedDateTime", "performedPeriod", "performedAge", "performedString")
        if stated.takes(PROCEDURES, entry, one(held, "code"), of=on):
            continue
        said = joined(
            _unless(text(held, "status", 20), "completed"),
            *listed_words(held, "bodySite"),
            _reason(entry),
            words(one(held, "outcome")),
        )
        what = words(one(held, "code")) or "a procedure that is not named"
        occasion = Occasion(words=said, when=on, origins=(entry.origin,))
        (not_done if string(held, "status") == "not-done" else done).append((what, occasion))
    return topic(repeated(done), repeated(not_done), stated)


def repeated(occasions: Iterable[tuple[str, Occasion]]) -> list[Repeated]:
    """Return occasions by what was done."""
    by_name: dict[str, list[Occasion]] = {}
    for what, occasion in occasions:
        by_name.setdefault(what, []).append(occasion)
    rows = []
    for what, held in by_name.items():
        whole = merged(held)
        origins = sorted({origin for one_time in whole for origin in one_time.origins})
        rows.append(Repeated(what=what, occasions=whole, when=whole[0].when, origins=tuple(origins)))
    return rows
