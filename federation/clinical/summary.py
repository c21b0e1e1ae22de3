"""What a bundle says of itself in a line: who it is about, what it holds, from when to when."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any

from federation.clinical.confidentiality import sensitivity_of
from federation.clinical.identity import identity
from federation.clinical.text import counted, listed, printable

CLINICAL_TIMES = (
    *("effectiveDateTime", "effectivePeriod", "occurrenceDateTime", "occurrencePeriod", "performedDateTime"),
    *("performedPeriod", "onsetDateTime", "onsetPeriod", "recordedDate", "authoredOn", "issued", "period", "started"),
)
"""Elements that say when something happened to the patient. Bills are left out: they come long after."""

NAME_USES = ("usual", "official", None, "temp", "nickname", "anonymous", "old", "maiden")
"""Which of a person's names is shown: R4's order of name-use, a name without use after those for every day."""

SUBJECTS = ("subject", "patient", "beneficiary", "individual", "for")
"""Elements that say whom a resource is about."""

SHOWN_KINDS = 6

PATIENT_NOTE = {"system": "http://loinc.org", "code": "51855-5", "display": "Patient Note"}
"""The type of a DocumentReference whose document the patient wrote, or a deputy."""
MOST_TITLE_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Person:
    """A Patient of a bundle: name and birth date (FHIR: YYYY, YYYY-MM or YYYY-MM-DD), None if absent."""

    name: str | None = field(repr=False)
    birth_date: str | None = field(repr=False)

    def __str__(self) -> str:
        born = "" if self.birth_date is None else f", born {self.birth_date}"
        return f"{self.name or 'somebody without a name'}{born}"


@dataclass(frozen=True, slots=True)
class BundleSummary:
    """What a bundle holds, for a list or a terminal.

    `entries` counts resources by resourceType. `people` are its Patients, each once; `identities` the federation's names of
    patients (`P:...`) that its resources are about or its Patients bear. `period` is the first and last day of what is
    recorded; a date that gives only its month or year counts as that month's or year's first day. `sensitivity` is a word of
    `federation.clinical.confidentiality`. `own` says of each document of the patient's own what it is called and by whom.
    """

    entries: Mapping[str, int]
    people: tuple[Person, ...]
    identities: tuple[str, ...] = field(repr=False)
    period: tuple[date, date] | None
    sensitivity: str = "normal"
    own: tuple[str, ...] = field(default=(), repr=False)

    def words(self) -> str:
        """Who it is about, what it holds, from when to when, and how it is labelled."""
        who = f"{self.people[0]}: " if len(self.people) == 1 else ""
        kinds = list(self.entries.items())
        shown = ", ".join(f"{count} {kind}" for kind, count in kinds[:SHOWN_KINDS]) or "no resource"
        more = len(kinds) - SHOWN_KINDS
        rest = f" and {counted(more, 'more kind')}" if more > 0 else ""
        labelled = "" if self.sensitivity == "normal" else f"; {self.sensitivity}"
        own = f"; {listed(self.own, '; ')}" if self.own else ""
        return f"{who}{shown}{rest}{self._days()}{labelled}{own}"

    def warnings(self, patient_id: str, called: str | None = None) -> list[str]:
        """Return what somebody has to know who takes it for the record of this patient alone; nothing where all is well.

        Where whose record it is isn't for who reads this, `called` stands for the patient's id.
        """
        said = []
        if len(self.people) > 1:
            said.append(f"holds {len(self.people)} people: {listed(map(str, self.people), '; ')}")
        if others := [one for one in self.identities if one != patient_id]:
            said.append(f"names {listed(others, '; ')}, and is filed under {called or patient_id}")
        return said

    def _days(self) -> str:
        if self.period is None:
            return ""
        first, last = self.period
        return f"; {first}" if first == last else f"; {first} to {last}"


def summary_of(bundle: dict[str, Any]) -> BundleSummary:
    """Summarise a valid bundle."""
    held = [entry["resource"] for entry in bundle.get("entry", ()) if "resource" in entry]
    patients = [resource for resource in held if resource["resourceType"] == "Patient"]
    counts = Counter(resource["resourceType"] for resource in held)
    return BundleSummary(
        entries=MappingProxyType(dict(counts.most_common())),
        people=tuple(dict.fromkeys(Person(name_of(one), one.get("birthDate")) for one in patients)),
        identities=tuple(dict.fromkeys(_identities(held))),
        period=_period(held),
        sensitivity=sensitivity_of(bundle),
        own=tuple(_own(held)),
    )


def name_of(patient: dict[str, Any]) -> str | None:
    """Return the name that a person goes by, None if there is none to show."""
    names = sorted(patient.get("name", ()), key=_rank)
    return next((shown for shown in map(_shown, names) if shown), None)


def _rank(name: dict[str, Any]) -> tuple[bool, int]:
    has_ended = "end" in name.get("period", {})
    return has_ended, NAME_USES.index(name.get("use"))


def _shown(name: dict[str, Any]) -> str:
    # Where a part is masked, null stands in its place (R4, json.html).
    given = [part for part in name.get("given", ()) if part is not None]
    return printable(name.get("text") or " ".join([*given, name.get("family", "")]))


def _identities(held: Iterable[dict[str, Any]]) -> Iterator[str]:
    for resource in held:
        about = [resource[name] for name in SUBJECTS if isinstance(resource.get(name), dict)]
        named = [identity(reference) for reference in about]
        if resource["resourceType"] == "Patient":
            named += [identifier.get("value", "") for identifier in resource.get("identifier", ())]
        yield from (printable(name, 80) for name in named if name.startswith("P:"))


def _own(held: Iterable[dict[str, Any]]) -> Iterator[str]:
    for resource in held:
        if resource["resourceType"] == "DocumentReference" and _is_patient_note(resource):
            title = printable(resource.get("description", ""), MOST_TITLE_CHARACTERS)
            yield f"written by {_author(resource)}: {title or 'without a title'}"


def _is_patient_note(resource: dict[str, Any]) -> bool:
    codings = [(one.get("system"), one.get("code")) for one in resource.get("type", {}).get("coding", ())]
    return (PATIENT_NOTE["system"], PATIENT_NOTE["code"]) in codings


def _author(resource: dict[str, Any]) -> str:
    subject = identity(resource.get("subject", {}))
    others = [name for name in map(identity, resource.get("author", ())) if name != subject]
    return f"{listed(printable(name, 80) for name in others)} in the patient's name" if others else "the patient"


def _period(held: Iterable[dict[str, Any]]) -> tuple[date, date] | None:
    days = sorted(day for resource in held for day in _days(resource))
    return (days[0], days[-1]) if days else None


def _days(resource: dict[str, Any]) -> Iterator[date]:
    for name in CLINICAL_TIMES:
        value = resource.get(name)
        for text in (value.get("start"), value.get("end")) if isinstance(value, dict) else (value,):
            if isinstance(text, str) and (day := _day(text)):
                yield day


def _day(text: str) -> date | None:
    year, month, day = (*text[:10].split("-"), "01", "01")[:3]
    try:
        return date(int(year), int(month), int(day))
    except ValueError:  # in some places a text stands where we look for a date
        return None
