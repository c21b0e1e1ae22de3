"""A chart as text for a terminal: 80 columns, what a doctor has to know first on top."""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from federation.clinical.chart.chart import Chart, Person
from federation.clinical.chart.reading import Row, When, joined
from federation.clinical.chart.rows import Allergy, Medication, Problem, Repeated
from federation.clinical.chart.series import GROUPS, Finding, Series
from federation.clinical.chart.topics import R, Statement, Topic
from federation.clinical.text import counted, listed

COLUMNS = 80
MOST_ROWS = 20
"""Of a list; how many more there are is said."""
MOST_ENCOUNTERS = 5


def text_of(chart: Chart) -> Iterator[str]:
    """Yield the lines of a chart, each printable."""
    yield from _heading(chart)
    yield ""
    yield from _topic("ALLERGIES", chart.allergies, allergy_words)
    yield from _topic("PROBLEMS", chart.problems, problem_words)
    yield from _topic("MEDICATION", chart.medication, medication_words)
    yield from _topic("IMMUNIZATIONS", chart.immunizations, repeated_words)
    yield from _measured(chart.series)
    yield from _rows("FINDINGS", chart.findings, finding_words)
    yield from _rows("DOCUMENTS AND IMAGES", chart.documents, lambda row: joined(row.what, row.kind, row.detail))
    yield from _topic("PROCEDURES", chart.procedures, repeated_words)
    yield from _rows(
        "PLANS, DEVICES AND ALERTS", chart.others, lambda row: f"{row.kind}: {joined(row.what, row.detail)}"
    )
    yield from _rows(
        "ENCOUNTERS",
        chart.encounters,
        lambda row: joined(row.kind, row.what, row.status, row.reason, row.who, row.where),
        MOST_ENCOUNTERS,
    )
    yield from _wrapped(foot_words(chart))


def person_words(person: Person) -> str:
    """Say who this is, as records have it."""
    age = "" if person.age is None else f" ({counted(person.age, 'year')})"
    born = f"born {person.born.text}{age}" if person.born else "born on a day that is not stated"
    return joined(person.name or "without a name", person.sex or "sex not stated", born, person.died.upper())


def state_words(topic: Topic[R], noun: str) -> str:
    """Say in which of the three states a topic is where nothing is listed."""
    if topic.is_none_recorded:
        return f"No {noun} recorded"
    return "Not stated, ask" if topic.is_not_stated else ""


def allergy_words(row: Allergy) -> str:
    """Say what it is to, how it shows, and how sure it is."""
    shown = f"{row.what}: {'; '.join(row.reactions)}" if row.reactions else row.what
    return joined(shown, row.status)


def problem_words(row: Problem) -> str:
    """Say what it is, its code and state, and since when."""
    coded = f"{row.what} [{row.code}]" if row.code and row.code != row.what else row.what
    return joined(coded, row.status, period_words(row.when, row.until))


def medication_words(row: Medication) -> str:
    """Say what it is, its dose and reason, and since when."""
    reason = f"for {row.reason}" if row.reason else ""
    forbidden = "NOT TO BE GIVEN: " if row.is_forbidden else ""
    dose = row.dose or "dose not stated"
    period = row.when.text if row.is_over and not row.until else period_words(row.when, row.until)
    return joined(f"{forbidden}{row.what}", dose, reason, row.status, period)


def repeated_words(row: Repeated) -> str:
    """Say what was done, how often, and when last."""
    times = len(row.occasions)
    how_often = f"{times} times, last " if times > 1 else ""
    return joined(row.what, f"{how_often}{row.when.text or 'day not stated'}", row.occasions[0].words)


def finding_words(row: Finding) -> str:
    """Say what was found last, and how often it was looked for."""
    mark = f" {row.last.mark.sign} ({row.last.mark.words})" if row.last.mark else ""
    times = f"{len(row.found)} times, last" if len(row.found) > 1 else ""
    return f"{row.name}: {joined(f'{row.last.value}{mark}', row.last.status, times)}"


def period_words(since: When, until: When) -> str:
    """Say from when to when."""
    if until:
        return f"{since.text or '?'} to {until.text}"
    return f"since {since.text}" if since else "day not stated"


def foot_words(chart: Chart) -> str:
    """Say what the chart was made from, what was retracted, and what is left out of it."""
    made = f"Made from {counted(len(chart.records), 'record')} of {listed(chart.hospitals) or 'no hospital'}."
    retracted = _counts(chart.retracted)
    left_out = _counts(chart.left_out)
    return " ".join(
        (
            made,
            f"Retracted or ruled out by who wrote them, and not shown: {retracted}." if retracted else "",
            f"Left out of this chart: {left_out}." if left_out else "",
        )
    ).strip()


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in counts.items())


def _heading(chart: Chart) -> Iterator[str]:
    for caution in chart.cautions:
        yield from _wrapped(f"CAUTION: {caution}")
    for person in chart.people:
        yield from _wrapped(person_words(person))
    if not chart.people:
        yield "No record says whom it is about."


def _topic(title: str, topic: Topic[R], say: Callable[[R], str]) -> Iterator[str]:
    noun = title.lower()
    if topic.is_none_recorded:
        yield f"{title}: NONE RECORDED"
    elif topic.is_not_stated:
        yield f"{title}: NOT STATED, ask."
    else:
        yield f"{title} ({len(topic.rows)})"
    yield from _lines(topic.rows, say, MOST_ROWS)
    for statement in (*topic.none, *topic.others):
        yield from _row(_statement_words(statement, noun), statement)
    if topic.past:
        over = listed(dict.fromkeys(say(row) for row in topic.past), "; ")
        yield from _wrapped(f"over: {over}", "  ", "      ")


def _statement_words(statement: Statement, noun: str) -> str:
    return f"“{statement.words or noun}”, {statement.when.text or 'day not stated'}"


def _measured(series: Sequence[Series]) -> Iterator[str]:
    for group in GROUPS:
        held = [one for one in series if one.group == group]
        if held:
            yield group.upper()
            yield from _lines(held, _series_words, 2 * MOST_ROWS)


def _series_words(series: Series) -> str:
    last = series.last
    mark = f" {last.mark.sign}" if last.mark else ""
    band = f" ({last.band.words})" if last.band else ""
    many = f", {len(series.points)} values" if len(series.points) > 1 else ""
    value = f"{last.shown} {series.unit}".strip()
    return f"{series.name:<27} {value + mark + band:<19} {last.when.text or 'day not stated'}{many}"


def _rows(title: str, rows: Sequence[Row], say: Callable[..., str], most: int = MOST_ROWS) -> Iterator[str]:
    if rows:
        yield f"{title} ({len(rows)})"
        yield from _lines(rows, lambda row: joined(row.when.text, say(row)), most)


def _lines(rows: Sequence[object], say: Callable[..., str], most: int) -> Iterator[str]:
    for row in rows[:most]:
        yield from _row(say(row), row.last if isinstance(row, Series) else row)
    if len(rows) > most:
        yield f"  and {len(rows) - most} more"


def _row(said: str, row: object) -> Iterator[str]:
    """Yield one row, its hospitals at the right."""
    assert isinstance(row, Row)  # noqa: S101
    label = "" if row.sensitivity == "normal" else f"{row.sensitivity.upper()} "
    tail = f"{label}{listed(row.hospitals)}"
    *lines, last = list(_wrapped(said, "  ", "      ")) or [""]
    yield from lines
    if len(last) + 1 + len(tail) <= COLUMNS:
        yield f"{last}{tail:>{COLUMNS - len(last)}}"
    else:
        yield last
        yield f"{tail:>{COLUMNS}}"


def _wrapped(said: str, first: str = "", following: str = "  ") -> Iterable[str]:
    return textwrap.wrap(
        said, COLUMNS, initial_indent=first, subsequent_indent=following, break_on_hyphens=False, break_long_words=True
    )
