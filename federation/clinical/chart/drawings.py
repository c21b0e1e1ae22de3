"""A series as a sparkline, and encounters and problems as a timeline: SVG for a page, and nothing that is not in a table, too.

As `federation.clinical.drawing`: no script, style, id or outside reference; whatever comes out of a record is escaped. Colours
are the page's, by class; nothing is told by colour alone.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from html import escape

from federation.clinical.chart.events import Encounter
from federation.clinical.chart.reading import calendar_day
from federation.clinical.chart.rows import Problem
from federation.clinical.chart.series import Band, Point, Series
from federation.clinical.text import counted, printable

WIDTH, HEIGHT, EDGE = 180, 40, 5
MOST_DOTS = 60
"""Measurements that are drawn as dots, too; of more only the line is."""
MOST_POINTS = 2 * WIDTH
"""Points of a line; of more, what can't be told apart at this size is left out."""

LANE_LABELS, PLOT, LANE, BAR, TOP = 120, 980, 24, 19, 26
MOST_BARS = 12
MOST_YEARS = 12
MOST_LABEL, LABEL_WIDTH = 44, 300


class Svg(str):
    """Markup of our own that a page takes as it is (MarkupSafe's `__html__`)."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return the markup."""
        return str(self)


def sparkline(series: Series) -> Svg:
    """Return a series as a small drawing; empty unless two measurements have a day."""
    points = series.drawn
    if len(points) < 2:
        return Svg("")
    plot = _Plot(points, series.band)
    title = _text(
        f"{series.name}, {len(points)} values from {points[0].when.text} to {points[-1].when.text}, "
        f"the last {points[-1].shown} {points[-1].unit}"
    )
    body = "".join((*plot.band(), *plot.lines(), *plot.dots()))
    return Svg(
        f'<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{title}"><title>{title}</title>{body}</svg>'
    )


class _Plot:
    """Measurements on a small canvas, the oldest on the left."""

    def __init__(self, points: Sequence[Point], band: Band | None) -> None:
        self._points, self._band = points, band
        moments = [point.when.moment or 0.0 for point in points]
        self._first, self._last = min(moments), max(moments)
        limits = [end for end in (band.low, band.high) if end is not None] if band else []
        values = [value for point in points for value in point.values] + limits
        self._low, self._high = min(values), max(values)

    def _x(self, point: Point) -> float:
        moment = point.when.moment or 0.0
        return EDGE + (WIDTH - 2 * EDGE) * _share(moment, self._first, self._last)

    def _y(self, value: float) -> float:
        return EDGE + (HEIGHT - 2 * EDGE) * (1 - _share(value, self._low, self._high))

    def band(self) -> Iterator[str]:
        if self._band is None:
            return
        top = 0.0 if self._band.high is None else self._y(self._band.high)
        bottom = float(HEIGHT) if self._band.low is None else self._y(self._band.low)
        height = max(0.5, bottom - top)
        yield f'<rect class="band" x="0" y="{top:.1f}" width="{WIDTH}" height="{height:.1f}"/>'

    def lines(self) -> Iterator[str]:
        for number in range(max(len(point.values) for point in self._points)):
            places = [
                (self._x(point), self._y(point.values[number])) for point in self._points if len(point.values) > number
            ]
            drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in _thinned(places))
            yield f'<polyline class="line line-{number + 1}" points="{drawn}"/>'

    def dots(self) -> Iterator[str]:
        if len(self._points) <= MOST_DOTS:
            for point in self._points[:-1]:
                yield from self._dot(point, 1.3, "dot")
        yield from self._dot(self._points[-1], 3.0, "dot last")

    def _dot(self, point: Point, size: float, kind: str) -> Iterator[str]:
        """Yield a dot for each value; a marked one is a triangle, which points down where it is low."""
        for value in point.values:
            x, y = self._x(point), self._y(value)
            if point.mark is None:
                yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>'
                continue
            up, wide = -1 if point.mark.sign.startswith("L") else 1, size + 1.2
            corner = f"M{x - wide:.1f} {y + up * wide * 0.7:.1f}h{2 * wide:.1f}"
            yield f'<path class="{kind} marked" d="{corner}L{x:.1f} {y - up * wide:.1f}z"/>'


def _share(value: float, low: float, high: float) -> float:
    """Return where a value is between two others, 0 to 1; halved first, so that no difference is infinite."""
    return (value / 2 - low / 2) / (high / 2 - low / 2) if high / 2 > low / 2 else 0.5


def _thinned(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most MOST_POINTS places: the lowest and the highest of each column."""
    if len(places) <= MOST_POINTS:
        return list(places)
    columns: dict[int, list[tuple[float, float]]] = {}
    for place in places:
        columns.setdefault(int(place[0]), []).append(place)
    return [
        place
        for column in columns.values()
        for place in sorted({min(column, key=lambda held: held[1]), max(column, key=lambda held: held[1])})
    ]


def timeline(encounters: Sequence[Encounter], problems: Sequence[Problem]) -> Svg:
    """Return visits and stays in a lane for each class, and the problems as bars below; empty if nothing has a day.

    A problem that nothing ends reaches the last day of all.
    """
    visits = [visit for visit in encounters if visit.when.moment is not None]
    bars = [problem for problem in problems if problem.when.moment is not None]
    if not visits and not bars:
        return Svg("")
    shown = bars[:MOST_BARS]
    drawing = _Timeline(visits, shown)
    title = _text(
        f"Timeline: {counted(len(visits), 'encounter')} and {counted(len(shown), 'problem')}; "
        "the table and the list of problems have all of them."
    )
    return Svg(
        f'<svg class="timeline" viewBox="0 0 {LANE_LABELS + PLOT} {drawing.height}" role="img" aria-label="{title}">'
        f"<title>{title}</title>{''.join(drawing.parts())}</svg>"
    )


class _Timeline:
    """A lane for each class of encounters, the busiest on top, and a bar for each problem."""

    def __init__(self, visits: Sequence[Encounter], bars: Sequence[Problem]) -> None:
        self._visits, self._bars = visits, bars
        self._lanes = sorted({visit.kind for visit in visits}, key=self._rank)
        moments = [row.when.moment or 0.0 for row in (*visits, *bars)]
        untils = [visit.until.moment for visit in visits] + [problem.until.moment for problem in bars]
        self._first = min(moments)
        self._last = max([*moments, *(until for until in untils if until is not None), self._first + 1.0])
        self.height = TOP + LANE * len(self._lanes) + BAR * len(bars) + 4

    def _rank(self, kind: str) -> tuple[int, str]:
        return -sum(visit.kind == kind for visit in self._visits), kind

    def _x(self, moment: float) -> float:
        inside = min(max(moment, self._first), self._last)
        return LANE_LABELS + 10 + (PLOT - 20) * _share(inside, self._first, self._last)

    def parts(self) -> Iterator[str]:
        yield from self._years()
        for number, kind in enumerate(self._lanes):
            yield from self._lane(TOP + LANE * number + LANE / 2, kind)
        for number, problem in enumerate(self._bars):
            yield from self._bar(TOP + LANE * len(self._lanes) + BAR * number + BAR / 2, problem)

    def _years(self) -> Iterator[str]:
        first, last = calendar_day(self._first).year, calendar_day(self._last).year
        step = max(1, -(-(last - first + 1) // MOST_YEARS))
        for year in range(first - first % step, last + 1, step):
            start = float(date(max(year, 1), 1, 1).toordinal())
            if self._first <= start <= self._last:
                x = self._x(start)
                yield f'<path class="grid" d="M{x:.1f} 16V{self.height}"/>'
                if x < LANE_LABELS + PLOT - 36:
                    yield f'<text x="{x + 4:.1f}" y="12">{year}</text>'

    def _lane(self, y: float, kind: str) -> Iterator[str]:
        yield f'<text class="lane" x="2" y="{y + 4:.1f}">{_label(kind, 20)}</text>'
        at_place: dict[int, list[Encounter]] = {}
        for visit in self._visits:
            if visit.kind == kind:
                at_place.setdefault(round(self._x(visit.when.moment or 0.0)), []).append(visit)
        for x, held in sorted(at_place.items()):
            title = _text("; ".join(f"{visit.when.text} {visit.what} {visit.reason}" for visit in held))
            end = max(self._x(visit.until.moment or 0.0) for visit in held)
            if end - x > 4:
                yield _box("stay", x, y, end - x, title)
            else:
                yield f'<circle class="visit" cx="{x}" cy="{y:.1f}" r="5.5"><title>{title}</title></circle>'

    def _bar(self, y: float, problem: Problem) -> Iterator[str]:
        start = self._x(problem.when.moment or 0.0)
        end = start if problem.until else self._x(self._last)
        if problem.until.moment is not None:
            end = self._x(problem.until.moment)
        width = max(3.0, end - start)
        title = _text(f"{problem.what}, {problem.when.text} to {problem.until.text or 'now'}")
        yield _box("bar" if problem.until else "bar open", start, y, width, title)
        label = _label(problem.what, MOST_LABEL)
        height = f'y="{y + 4:.1f}"'
        if start + width < LANE_LABELS + PLOT - LABEL_WIDTH:
            yield f'<text x="{start + width + 6:.1f}" {height}>{label}</text>'
        elif start > LABEL_WIDTH:
            yield f'<text x="{start - 6:.1f}" {height} text-anchor="end">{label}</text>'
        else:
            yield f'<text class="inside" x="{start + 6:.1f}" {height}>{label}</text>'


def _box(kind: str, x: float, y: float, width: float, title: str) -> str:
    place = f'x="{x:.1f}" y="{y - 7:.1f}" width="{width:.1f}" height="14" rx="2"'
    return f'<rect class="{kind}" {place}><title>{title}</title></rect>'


def _label(words: str, limit: int) -> str:
    return escape(printable(words, limit))


def _text(words: str) -> str:
    return escape(printable(words))
