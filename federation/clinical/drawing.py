"""A 12-lead ECG drawn as a clinician expects it: millimetre paper, 25 mm/s, 10 mm/mV, 3 rows of 4 and a rhythm strip.

The picture is one SVG of A4 landscape in millimetres, without scripts, styles, ids or outside references, so that any
page can hold it. It is for reading along; an ECG is measured on the recorder's own print-out or on the samples.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import timedelta
from html import escape
from itertools import pairwise
from statistics import median

from federation.clinical.errors import EcgInvalid
from federation.clinical.leads import Lead
from federation.clinical.text import printable

MM_PER_SECOND = 25.0
MM_PER_MICROVOLT = 10.0 / 1000

ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
RHYTHM_LEAD = "II"
COLUMN_SECONDS = 2.5
COLUMN_MM = COLUMN_SECONDS * MM_PER_SECOND

PAGE_WIDTH, PAGE_HEIGHT = 297, 210
PAPER_LEFT, PAPER_TOP, PAPER_WIDTH, PAPER_HEIGHT = 13.5, 32, 270, 160
TRACE_LEFT = PAPER_LEFT + 15
FIRST_BASELINE, ROW_MM = PAPER_TOP + 20, 40

BIN_MM = 0.2
"""Along this much paper a trace is drawn as its lowest and highest point: thinner than the pen, so nothing is lost."""

INK, FINE_GRID, BOLD_GRID = "#1a1a1a", "#f6cfcf", "#e9a3a3"


def svg(leads: Sequence[Lead], *, title: str = "12-lead ECG", lines: Sequence[str] = ()) -> str:
    """The drawing of these leads, as the text of an SVG document.

    `title` heads the page and is the picture's accessible name; up to four `lines` (patient, time, doctor) stand beside
    it. Both may hold any text. A standard lead that is missing is left blank, other leads are not drawn; each trace is
    shifted so that its median lies on its row's baseline. Raises EcgInvalid if there is nothing to draw.
    """
    by_name = {lead.name: lead for lead in leads if lead.name in {name for row in ROWS for name in row}}
    if not any(lead.microvolts for lead in by_name.values()):
        raise EcgInvalid("no standard lead to draw")
    body = [*_heading(title, lines), *_paper(), *_rows(by_name), *_footer(by_name)]
    name, description = _text(title), _text(_description(by_name))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{PAGE_WIDTH}mm" height="{PAGE_HEIGHT}mm" '
        f'viewBox="0 0 {PAGE_WIDTH} {PAGE_HEIGHT}" role="img" aria-label="{name}" '
        'font-family="Helvetica, Arial, sans-serif">'
        f"<title>{name}</title><desc>{description}</desc>"
        f'<rect width="{PAGE_WIDTH}" height="{PAGE_HEIGHT}" fill="#fff"/>{"".join(body)}</svg>'
    )


def _description(leads: dict[str, Lead]) -> str:
    longest = max(lead.duration for lead in leads.values()).total_seconds()
    return (
        f"Leads {', '.join(leads)}, {longest:.1f} seconds, drawn at 25 mm/s and 10 mm/mV on millimetre paper: "
        f"2.5 seconds of each lead, below them lead {RHYTHM_LEAD} over 10 seconds."
    )


def _heading(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield _label(PAPER_LEFT, 20, title, size=6, weight="bold")
    for index, line in enumerate(lines[:4]):
        yield _label(PAGE_WIDTH - PAPER_LEFT, 13 + 5 * index, line, size=3.6, anchor="end")


def _paper() -> Iterator[str]:
    yield _stroke(_grid(1), FINE_GRID, 0.1)
    yield _stroke(_grid(5), BOLD_GRID, 0.2)


def _grid(step: int) -> str:
    across = (f"M{PAPER_LEFT + x:g} {PAPER_TOP}v{PAPER_HEIGHT}" for x in range(0, PAPER_WIDTH + 1, step))
    down = (f"M{PAPER_LEFT} {PAPER_TOP + y}h{PAPER_WIDTH}" for y in range(0, PAPER_HEIGHT + 1, step))
    return "".join((*across, *down))


def _rows(leads: dict[str, Lead]) -> Iterator[str]:
    for index, names in enumerate(ROWS):
        baseline = FIRST_BASELINE + index * ROW_MM
        yield _calibration(baseline)
        for column, name in enumerate(names):
            yield from _strip(leads.get(name), column * COLUMN_SECONDS, COLUMN_SECONDS, baseline)
    baseline = FIRST_BASELINE + len(ROWS) * ROW_MM
    yield _calibration(baseline)
    yield from _strip(leads.get(RHYTHM_LEAD), 0.0, COLUMN_SECONDS * len(ROWS[0]), baseline)


def _calibration(baseline: float) -> str:
    """The recorder's test pulse, 1 mV for 0.2 s: it shows the scale to whoever knows no numbers."""
    return _stroke(f"M{PAPER_LEFT + 2.5:g} {baseline}h2.5v-10h5v10h2.5", INK, 0.3)


def _strip(lead: Lead | None, start: float, seconds: float, baseline: float) -> Iterator[str]:
    """One lead from `start` for so many seconds of the recording, at its place along the row."""
    if lead is None:
        return
    left = TRACE_LEFT + start * MM_PER_SECOND
    yield _stroke(f"M{left:g} {baseline - 16}v4.5", INK, 0.3)  # where this lead begins, clear of the trace
    yield _label(left + 1.5, baseline - 12.5, lead.name, size=4, weight="bold")
    yield _stroke(_trace(lead, start, seconds, left, baseline), INK, 0.25)


def _trace(lead: Lead, start: float, seconds: float, left: float, baseline: float) -> str:
    centre = median([value for value in lead.microvolts if not math.isnan(value)] or [0.0])
    mm_per_sample = lead.sample_interval / timedelta(seconds=1) * MM_PER_SECOND
    first = round(start * MM_PER_SECOND / mm_per_sample)
    if first >= len(lead.microvolts):
        first = 0  # a recording too short to reach this column is shown from its start
    shown = lead.microvolts[first : first + round(seconds * MM_PER_SECOND / mm_per_sample)]
    path, pen = [], "M"
    for index in _extremes(shown, max(1, round(BIN_MM / mm_per_sample))):
        if math.isnan(shown[index]):
            pen = "M"
            continue
        height = baseline - (shown[index] - centre) * MM_PER_MICROVOLT
        path.append(f"{pen}{left + index * mm_per_sample:.2f} {height:.2f}")
        pen = "L"
    return "".join(path)


def _extremes(values: Sequence[float], size: int) -> Iterator[int]:
    """The places of the lowest and highest of every `size` values, in their order; of a run with a gap, all places."""
    for start, end in pairwise([*range(0, len(values), size), len(values)]):
        run = range(start, end)
        if any(math.isnan(values[index]) for index in run):
            yield from run
        else:
            yield from sorted({min(run, key=values.__getitem__), max(run, key=values.__getitem__)})


def _footer(leads: dict[str, Lead]) -> Iterator[str]:
    rate = timedelta(seconds=1) / next(iter(leads.values())).sample_interval
    yield _label(PAPER_LEFT, 199, f"25 mm/s · 10 mm/mV · recorded at {rate:g} Hz", size=3.6)


def _stroke(path: str, colour: str, width: float) -> str:
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>'


def _label(x: float, y: float, text: str, *, size: float, weight: str = "normal", anchor: str = "start") -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{INK}"'
    return f'<text x="{x:g}" y="{y:g}" {style}>{_text(text)}</text>'


def _text(text: str) -> str:
    return escape(printable(text))
