"""An ECG drawn as a clinician expects it: millimetre paper, 25 mm/s, 10 mm/mV.

Twelve leads are 3 rows of 4 and a rhythm strip, further leads in rows of 4 below; of few leads each has rows of its own, ten
seconds each. The picture is one SVG in millimetres, A4 landscape or longer, without scripts, styles, ids or outside references,
so that any page can hold it. It is for reading along; an ECG is measured on the recorder's own print-out or on the samples.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from html import escape
from itertools import islice, pairwise
from statistics import median

from federation.clinical.ecg import describe_ecg
from federation.clinical.errors import EcgInvalid
from federation.clinical.leads import Lead
from federation.clinical.text import counted, printable

MM_PER_SECOND = 25.0
MM_PER_MICROVOLT = 10.0 / 1000

ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
STANDARD = {name for row in ROWS for name in row}
RHYTHM_LEAD = "II"
COLUMN_SECONDS = 2.5
COLUMN_MM = COLUMN_SECONDS * MM_PER_SECOND
ROW_SECONDS = COLUMN_SECONDS * len(ROWS[0])

FEWEST_FOR_COLUMNS = 6
"""Of this many standard leads and more, the twelve-lead form is drawn."""

MOST_ROWS = 12
"""Rows that are drawn at most; that something is left out is said."""

PAGE_WIDTH = 297
PAPER_LEFT, PAPER_TOP, PAPER_WIDTH = 13.5, 32, 270
TRACE_LEFT = PAPER_LEFT + 15
FIRST_BASELINE, ROW_MM, LEAST_ROWS = PAPER_TOP + 20, 40, 4

BIN_MM = 0.2
"""Along this much paper a trace is drawn as its lowest and highest point: thinner than the pen, so nothing is lost."""

INK, FINE_GRID, BOLD_GRID = "#1a1a1a", "#f6cfcf", "#e9a3a3"


@dataclass(frozen=True, slots=True)
class _Strip:
    """A piece of a lead at its place: `start` and `seconds` of the recording, from `left` along its row."""

    lead: Lead
    label: str
    start: float
    seconds: float
    left: float


def svg(leads: Sequence[Lead], *, title: str | None = None, lines: Sequence[str] = (), paper_only: bool = False) -> str:
    """Return the drawing of these leads, as the text of an SVG document.

    `paper_only` leaves the page's margins and its heading out, and the size in millimetres: a page beside it says the rest.
    `title` heads the page and is the picture's accessible name; up to four `lines` (patient, time, doctor) stand beside it.
    Both may hold any text. A standard lead that is missing is left blank; each piece is shifted so that its median lies on
    its row's baseline. Raises EcgInvalid if there is nothing to draw.
    """
    drawn = [lead for lead in leads if lead.microvolts]
    if not drawn:
        raise EcgInvalid("no lead to draw")
    rows = _rows(drawn)
    shown = list(islice(rows, MOST_ROWS))
    bottom = PAPER_TOP + ROW_MM * max(LEAST_ROWS, len(shown))
    height = bottom + 18
    footer = _footer(drawn, is_whole=next(rows, None) is None)
    heading = () if paper_only else _heading(_title(drawn, title), lines)
    body = [*heading, *_paper(bottom - PAPER_TOP), *_traces(shown)]
    body.append(_label(PAPER_LEFT, bottom + 7, footer, size=3.6))
    named = ", ".join(dict.fromkeys(str(lead) for lead in drawn[: 4 * MOST_ROWS]))
    name, description = _text(_title(drawn, title)), _text(f"{describe_ecg(drawn)}. Leads {named}. {footer}.")
    size = f'width="{PAGE_WIDTH}mm" height="{height}mm" viewBox="0 0 {PAGE_WIDTH} {height}"'
    if paper_only:
        size = f'viewBox="{PAPER_LEFT - 1} {PAPER_TOP - 1} {PAPER_WIDTH + 2} {bottom - PAPER_TOP + 11}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{name}" '
        'font-family="Helvetica, Arial, sans-serif">'
        f"<title>{name}</title><desc>{description}</desc>"
        f'<rect width="{PAGE_WIDTH}" height="{height}" fill="#fff"/>{"".join(body)}</svg>'
    )


def _title(leads: Sequence[Lead], title: str | None) -> str:
    named = {lead.name for lead in leads}
    return title or ("12-lead ECG" if named >= STANDARD else f"ECG, {counted(len(named), 'lead')}")


def _heading(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield _label(PAPER_LEFT, 20, title, size=6, weight="bold")
    for index, line in enumerate(lines[:4]):
        yield _label(PAGE_WIDTH - PAPER_LEFT, 13 + 5 * index, line, size=3.6, anchor="end")


def _paper(height: int) -> Iterator[str]:
    yield _stroke(_grid(1, height), FINE_GRID, 0.1)
    yield _stroke(_grid(5, height), BOLD_GRID, 0.2)


def _grid(step: int, height: int) -> str:
    across = (f"M{PAPER_LEFT + x:g} {PAPER_TOP}v{height}" for x in range(0, PAPER_WIDTH + 1, step))
    down = (f"M{PAPER_LEFT} {PAPER_TOP + y}h{PAPER_WIDTH}" for y in range(0, height + 1, step))
    return "".join((*across, *down))


def _rows(leads: Sequence[Lead]) -> Iterator[list[_Strip]]:
    by_name: dict[str, list[Lead]] = {}
    for lead in leads:
        by_name.setdefault(lead.name, []).append(lead)
    if len(STANDARD & by_name.keys()) < FEWEST_FOR_COLUMNS:
        yield from _whole_rows(leads)
        return
    others = [name for name in by_name if name not in STANDARD]
    below = [others[start : start + len(ROWS[0])] for start in range(0, len(others), len(ROWS[0]))]
    for names in ROWS:
        yield _columns(by_name, names)
    if rhythm := by_name.get(RHYTHM_LEAD):
        lead = max(rhythm, key=lambda lead: lead.duration)
        yield [_Strip(lead, str(lead), _seconds(lead.offset), ROW_SECONDS, TRACE_LEFT)]
    yield from (_columns(by_name, names) for names in below)


def _columns(by_name: dict[str, list[Lead]], names: Sequence[str]) -> list[_Strip]:
    """Return a row of 2.5 seconds each, one after the other as time goes on, of the piece of each lead that was recorded then."""
    strips = []
    for column, name in enumerate(names):
        start = column * COLUMN_SECONDS
        if found := by_name.get(name):
            lead = max(found, key=lambda lead: _recorded(lead, start, start + COLUMN_SECONDS))
            begin, end = _seconds(lead.offset), _seconds(lead.end)
            # A lead that wasn't recorded then is shown from its start.
            shown_from = start if begin <= start < end else begin
            strips.append(_Strip(lead, str(lead), shown_from, COLUMN_SECONDS, TRACE_LEFT + start * MM_PER_SECOND))
    return strips


def _whole_rows(leads: Sequence[Lead]) -> Iterator[list[_Strip]]:
    """Ten seconds of each lead, then the next ten, passing over those in which nothing was recorded."""
    start = 0.0
    while left := [lead for lead in leads if _seconds(lead.end) > start]:
        begins = min(max(start, _seconds(lead.offset)) for lead in left)
        start = begins // ROW_SECONDS * ROW_SECONDS
        for lead in left:
            if _recorded(lead, start, start + ROW_SECONDS):
                late = max(0.0, _seconds(lead.offset) - start)
                label = f"{lead}, from {start + late:g} s" if start + late else str(lead)
                place = TRACE_LEFT + late * MM_PER_SECOND
                yield [_Strip(lead, label, start + late, ROW_SECONDS - late, place)]
        start += ROW_SECONDS


def _recorded(lead: Lead, start: float, end: float) -> float:
    """How much of a time a lead was recorded, in seconds."""
    return max(0.0, min(end, _seconds(lead.end)) - max(start, _seconds(lead.offset)))


def _seconds(duration: timedelta) -> float:
    return duration / timedelta(seconds=1)


def _traces(rows: Sequence[Sequence[_Strip]]) -> Iterator[str]:
    for index, strips in enumerate(rows):
        baseline = FIRST_BASELINE + index * ROW_MM
        yield _calibration(baseline)
        for strip in strips:
            yield from _strip(strip, baseline)


def _calibration(baseline: float) -> str:
    """Return the recorder's test pulse, 1 mV for 0.2 s: it shows the scale to whoever knows no numbers."""
    return _stroke(f"M{PAPER_LEFT + 2.5:g} {baseline}h2.5v-10h5v10h2.5", INK, 0.3)


def _strip(strip: _Strip, baseline: float) -> Iterator[str]:
    yield _stroke(f"M{strip.left:g} {baseline - 16}v4.5", INK, 0.3)  # where this lead begins, clear of the trace
    yield _label(strip.left + 1.5, baseline - 12.5, strip.label, size=4, weight="bold")
    yield _stroke(_trace(strip, baseline), INK, 0.25)


def _trace(strip: _Strip, baseline: float) -> str:
    lead = strip.lead
    mm_per_sample = lead.sample_interval / timedelta(seconds=1) * MM_PER_SECOND
    first = round((strip.start - _seconds(lead.offset)) * MM_PER_SECOND / mm_per_sample)
    shown = lead.microvolts[first : first + round(strip.seconds * MM_PER_SECOND / mm_per_sample)]
    centre = median([value for value in shown if not math.isnan(value)] or [0.0])
    path, pen = [], "M"
    for index in _extremes(shown, max(1, round(BIN_MM / mm_per_sample))):
        if math.isnan(shown[index]):
            pen = "M"
            continue
        height = baseline - (shown[index] - centre) * MM_PER_MICROVOLT
        path.append(f"{pen}{strip.left + index * mm_per_sample:.2f} {height:.2f}")
        pen = "L"
    return "".join(path)


def _extremes(values: Sequence[float], size: int) -> Iterator[int]:
    """Return the places of the lowest and highest of every `size` values, in their order; of a run with a gap, all places."""
    for start, end in pairwise([*range(0, len(values), size), len(values)]):
        run = range(start, end)
        if any(math.isnan(values[index]) for index in run):
            yield from run
        else:
            yield from sorted({min(run, key=values.__getitem__), max(run, key=values.__getitem__)})


def _footer(leads: Sequence[Lead], *, is_whole: bool) -> str:
    rates = sorted({round(timedelta(seconds=1) / lead.sample_interval) for lead in leads})
    more = "" if is_whole else " · what follows is not drawn"
    return f"25 mm/s · 10 mm/mV · recorded at {' and '.join(map(str, rates))} Hz{more}"


def _stroke(path: str, colour: str, width: float) -> str:
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>'


def _label(x: float, y: float, text: str, *, size: float, weight: str = "normal", anchor: str = "start") -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{INK}"'
    return f'<text x="{x:g}" y="{y:g}" {style}>{_text(text)}</text>'


def _text(text: str) -> str:
    return escape(printable(text))
