"""What is stated of a topic, such as allergies: that there is something, that there is nothing, or nothing at all.

"None recorded" is said only where a record says so: by a code for "no known ..." (SNOMED CT, or IPS's absent-unknown), or by a
list or a section of a document that is empty because nothing is known (HL7's list-empty-reason `nilknown`). A record without
any resource of the kind states nothing: the patient has to be asked.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from federation.clinical.chart.reading import (
    LOINC,
    SNOMED,
    Entry,
    Json,
    Origin,
    Row,
    When,
    code_in,
    codes,
    many,
    one,
    text,
    when,
    words,
)

ABSENT = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
OLD_ABSENT = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown"
LISTS = "http://terminology.hl7.org/CodeSystem/list-example-use-codes"


@dataclass(frozen=True, slots=True)
class Subject:
    """The codes by which records speak of a topic as a whole.

    `none` says that there is nothing, `partly` that there is nothing of some kind, `unknown` that nothing is known. SNOMED CT's
    "no known medications" and its kind are of the last: their finding context is "unknown" (IPS, absence-to-snomed-uv-ips).
    `sections` are LOINC codes of a document's sections and of lists.
    """

    noun: str
    sections: frozenset[str]
    none: frozenset[tuple[str, str]]
    partly: frozenset[tuple[str, str]] = frozenset()
    unknown: frozenset[tuple[str, str]] = frozenset()


def _absent(*names: str) -> frozenset[tuple[str, str]]:
    return frozenset((system, name) for system in (ABSENT, OLD_ABSENT) for name in names)


def _snomed(*names: str) -> frozenset[tuple[str, str]]:
    return frozenset((SNOMED, name) for name in names)


ALLERGIES = Subject(
    "allergies",
    sections=frozenset({"48765-2", "52472-8", "52473-6"}),
    none=_snomed("716186003", "160244002") | _absent("no-known-allergies"),
    partly=_snomed("409137002", "428607008", "429625007", "428197003", "1003774007")
    | _absent("no-known-medication-allergies", "no-known-environmental-allergies", "no-known-food-allergies"),
    unknown=_absent("no-allergy-info"),
)
PROBLEMS = Subject(
    "problems",
    sections=frozenset({"11450-4"}),
    none=_snomed("160245001") | _absent("no-known-problems"),
    unknown=_absent("no-problem-info"),
)
MEDICATION = Subject(
    "medication",
    sections=frozenset({"10160-0"}),
    none=_absent("no-known-medications"),
    unknown=_snomed("787481004") | _absent("no-medication-info"),
)
IMMUNIZATIONS = Subject(
    "immunizations",
    sections=frozenset({"11369-6"}),
    none=_absent("no-known-immunizations"),
    unknown=_snomed("787482006") | _absent("no-immunization-info"),
)
PROCEDURES = Subject(
    "procedures",
    sections=frozenset({"47519-4"}),
    none=_absent("no-known-procedures"),
    unknown=_snomed("787480003") | _absent("no-procedure-info"),
)


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement(Row):
    """What a record says of a topic as a whole."""

    words: str


@dataclass(frozen=True, slots=True)
class Topic(Generic[R]):
    """A topic in one of three states, and its rows, the newest first.

    `rows` are what holds now or may hold, `past` what is over. `none` are the statements that there is nothing, `partly` that
    there is nothing of some kind, `unknown` that nothing is known, told, or shown here.
    """

    rows: tuple[R, ...]
    past: tuple[R, ...] = ()
    none: tuple[Statement, ...] = ()
    partly: tuple[Statement, ...] = ()
    unknown: tuple[Statement, ...] = ()

    @property
    def others(self) -> tuple[Statement, ...]:
        """The statements that say neither that there is something nor that there is nothing."""
        return (*self.partly, *self.unknown)

    @property
    def is_listed(self) -> bool:
        """Whether a record lists something that holds or may hold, whatever other records say."""
        return bool(self.rows)

    @property
    def is_none_recorded(self) -> bool:
        """Whether a record says that there is nothing, none lists anything, and none says that it doesn't tell."""
        return bool(self.none) and not self.rows and not self.unknown

    @property
    def is_not_stated(self) -> bool:
        """Whether nothing is stated: whoever needs to know has to ask."""
        return not self.rows and not self.is_none_recorded


@dataclass
class Stated:
    """Statements of a topic as they are found."""

    none: list[Statement] = field(default_factory=list)
    partly: list[Statement] = field(default_factory=list)
    unknown: list[Statement] = field(default_factory=list)

    def takes(self, subject: Subject, entry: Entry, concept: Json, *, holds: bool = True, of: When) -> bool:
        """Return whether this is a statement and no row, and note it if it still holds."""
        said = set(codes(concept))
        kinds = ((subject.none, self.none), (subject.partly, self.partly), (subject.unknown, self.unknown))
        for known, noted in kinds:
            if said & known:
                if holds:
                    noted.append(Statement(words=words(concept), when=of, origins=(entry.origin,)))
                return True
        return False


EMPTY_REASONS = {
    "notasked": "not asked",
    "withheld": "withheld",
    "unavailable": "not available",
    "notstarted": "not yet begun",
    "closed": "closed",
}
"""HL7's list-empty-reason, `nilknown` apart."""


def stated_by_lists(subject: Subject, lists: Iterable[Entry]) -> Stated:
    """Return what empty lists and empty sections of documents say of a topic."""
    stated = Stated()
    for entry in lists:
        on = when(entry.held, "date")
        for section in _sections(entry):
            if not any(system == LOINC and code in subject.sections for system, code in codes(one(section, "code"))):
                continue
            _note(stated, subject, section, Statement(words="", when=on, origins=(entry.origin,)))
    return stated


def _sections(entry: Entry) -> Iterator[Json]:
    """Yield a List itself, or all sections of a Composition."""
    waiting = [entry.held] if entry.kind == "List" else many(entry.held, "section")
    while waiting:
        section = waiting.pop()
        yield section
        if entry.kind == "Composition":
            waiting += many(section, "section")


def _note(stated: Stated, subject: Subject, section: Json, blank: Statement) -> None:
    reason = code_in(one(section, "emptyReason"))
    if many(section, "entry"):
        return
    if reason == "nilknown":
        stated.none.append(replace(blank, words=f"No known {subject.noun}"))
    elif reason or one(section, "emptyReason"):
        said = EMPTY_REASONS.get(reason) or words(one(section, "emptyReason"))
        stated.unknown.append(replace(blank, words=said[:1].upper() + said[1:]))
    elif text(one(section, "text"), "div"):
        stated.unknown.append(replace(blank, words="Told in a text that is not shown here; see the record as it came"))


def topic(rows: Iterable[R], past: Iterable[R], stated: Stated) -> Topic[R]:
    """Return a topic of rows in any order."""
    return Topic(merged(rows), merged(past), merged(stated.none), merged(stated.partly), merged(stated.unknown))


def merged(rows: Iterable[R]) -> tuple[R, ...]:
    """Return rows with the newest first, those that say the same as one that names all of its origins."""
    found: dict[R, set[Origin]] = {}
    for row in rows:
        found.setdefault(replace(row, origins=()), set()).update(row.origins)
    return newest_first([replace(row, origins=tuple(sorted(origins))) for row, origins in found.items()])


def newest_first(rows: Sequence[R]) -> tuple[R, ...]:
    """Return rows by their `when`, the newest first, ties by what they say."""
    return tuple(sorted(sorted(rows, key=repr), key=lambda row: row.when.rank, reverse=True))
