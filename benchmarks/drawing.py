"""Plots as inline SVG: bars in parts, points with their spread on a log axis, curves. Colours are the page's (page.css)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from benchmarks.results import number

WIDTH, LABELS, VALUES = 940, 330, 116
LINE, TOP, BOTTOM = 26, 8, 30
_PLOT = WIDTH - LABELS - VALUES
_MOST_LABEL = 48


@dataclass(frozen=True)
class Mark:
    """One line of a plot: a value with its quartiles, what it is made of, and what is to be reached."""

    label: str
    low: float
    middle: float
    high: float
    said: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)
    target: float | None = None
    kind: str = "plain"


def stacked(marks: Sequence[Mark], rest: str) -> str:
    """Draw bars of parts, what is not named being `rest`, on a linear axis from zero."""
    most = max(max(mark.high, sum(mark.parts.values())) for mark in marks)
    axis = _Linear(most)
    drawn = []
    for line, mark in enumerate(marks):
        left, y = 0.0, TOP + line * LINE
        named = {**mark.parts, rest: max(0.0, mark.middle - sum(mark.parts.values()))}
        for name, value in named.items():
            tip = f"{mark.label}: {name} {number(value)}"
            drawn.append(
                _rect(axis.x(left), y + 5, axis.x(left + value) - axis.x(left), LINE - 10, f"p-{slug(name)}", tip)
            )
            left += value
        drawn.append(_whisker(axis, mark, y))
        drawn += _texts(mark, y)
    return _svg(marks, axis, drawn)


def points(marks: Sequence[Mark]) -> str:
    """Draw a point and its quartiles for each, and a tick at what is to be reached, on a log axis."""
    values = [
        value for mark in marks for value in (mark.low, mark.middle, mark.high, mark.target) if value and value > 0
    ]
    axis = _Log(min(values), max(values))
    drawn = []
    for line, mark in enumerate(marks):
        y = TOP + line * LINE
        drawn.append(f'<line class="rule" x1="{LABELS}" x2="{WIDTH - VALUES}" y1="{y + 13}" y2="{y + 13}"/>')
        if mark.target:
            x = axis.x(mark.target)
            tip = f"<title>to reach: {number(mark.target)}</title>"
            drawn.append(f'<line class="target" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + LINE}">{tip}</line>')
        if mark.middle > 0:
            low, high = axis.x(max(mark.low, axis.least)), axis.x(max(mark.high, axis.least))
            drawn.append(
                f'<line class="spread k-{mark.kind}" x1="{low:.1f}" x2="{high:.1f}" y1="{y + 13}" y2="{y + 13}"/>'
            )
            tip = f"<title>{escape(mark.label)}: {number(mark.middle)}</title>"
            drawn.append(
                f'<circle class="point k-{mark.kind}" cx="{axis.x(mark.middle):.1f}" cy="{y + 13}" r="5">{tip}</circle>'
            )
        drawn += _texts(mark, y)
    return _svg(marks, axis, drawn)


def bars(marks: Sequence[Mark]) -> str:
    """Draw plain bars from zero."""
    axis = _Linear(max(max(mark.high, mark.target or 0.0) for mark in marks))
    drawn = []
    for line, mark in enumerate(marks):
        y = TOP + line * LINE
        drawn.append(_rect(axis.x(0), y + 6, axis.x(max(0.0, mark.middle)) - axis.x(0), LINE - 12, "bar", mark.label))
        drawn.append(_whisker(axis, mark, y))
        if mark.target is not None:
            x = axis.x(mark.target)
            drawn.append(f'<line class="target" x1="{x:.1f}" x2="{x:.1f}" y1="{y + 3}" y2="{y + 23}"/>')
        drawn += _texts(mark, y)
    return _svg(marks, axis, drawn)


def curve(name: str, found: Sequence[tuple[float, float, float, float]]) -> str:
    """Draw (at, low, median, high) as a curve with its band, `at` on a log axis, the value from zero."""
    wide, high, left, low = 440, 220, 56, 34
    least, most = math.log10(max(found[0][0], 1e-9)), math.log10(max(found[-1][0], 1e-9))
    ticks = _ticks(max(top for *_, top in found))
    ceiling = ticks[-1]

    def x(at: float) -> float:
        share = (math.log10(at) - least) / (most - least) if most > least else 0.5
        return left + share * (wide - left - 24)

    def y(value: float) -> float:
        return 16 + (1 - value / ceiling) * (high - 16 - low)

    band = [f"{x(at):.1f},{y(top):.1f}" for at, _, _, top in found]
    band += [f"{x(at):.1f},{y(bottom):.1f}" for at, bottom, _, _ in reversed(found)]
    line = " ".join(f"{x(at):.1f},{y(middle):.1f}" for at, _, middle, _ in found)
    drawn = [
        f'<line class="grid" x1="{left}" x2="{wide - 24}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text class="tick" x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{number(tick)}</text>'
        for tick in ticks
    ]
    drawn += [f'<polygon class="band" points="{" ".join(band)}"/>', f'<polyline class="curve" points="{line}"/>']
    for at, _, middle, _ in found:
        tip = f"<title>{_short(at)}: {number(middle)}</title>"
        drawn.append(f'<circle class="point" cx="{x(at):.1f}" cy="{y(middle):.1f}" r="4">{tip}</circle>')
        drawn.append(f'<text class="tick" x="{x(at):.1f}" y="{high - 12}" text-anchor="middle">{_short(at)}</text>')
    return (
        f'<figure class="curve-figure"><figcaption>{escape(name)}</figcaption>'
        f'<svg viewBox="0 0 {wide} {high}" role="img" aria-label="{escape(name)}">{"".join(drawn)}</svg></figure>'
    )


def slug(name: str) -> str:
    """Return a name as a class of the style sheet."""
    return "".join(char if char.isalnum() else "-" for char in name.lower())


class _Linear:
    """From zero to a round number."""

    def __init__(self, most: float) -> None:
        self.ticks = _ticks(most)
        self._most = self.ticks[-1]

    def x(self, value: float) -> float:
        return LABELS + min(value / self._most, 1.0) * _PLOT


class _Log:
    """Over powers of ten, and twos and fives where there are few."""

    def __init__(self, least: float, most: float) -> None:
        self.least = _rounded_down(least)
        self._low, self._high = math.log10(self.least), math.log10(max(most * 1.1, self.least * 2))
        decades = range(math.floor(self._low), math.ceil(self._high) + 1)
        steps = (1, 2, 5) if self._high - self._low < 3 else (1,)
        found = [step * 10.0**decade for decade in decades for step in steps]
        self.ticks = [tick for tick in found if self.least <= tick * 1.0001 and math.log10(tick) <= self._high]

    def x(self, value: float) -> float:
        return LABELS + (math.log10(value) - self._low) / (self._high - self._low) * _PLOT


def _rounded_down(value: float) -> float:
    decade = 10.0 ** math.floor(math.log10(value))
    return max(step * decade for step in (0.9, 1.8, 4.5) if step * decade <= value) if value >= 0.9 * decade else decade


def _ticks(most: float) -> list[float]:
    most = most or 1.0
    step = 10.0 ** math.floor(math.log10(most / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if most / (step * factor) <= 5)
    return [step * place for place in range(math.ceil(most / step - 1e-9) + 1)]


def _svg(marks: Sequence[Mark], axis: "_Linear | _Log", drawn: Sequence[str]) -> str:
    high = TOP + len(marks) * LINE + BOTTOM
    lines = [
        f'<line class="grid" x1="{axis.x(tick):.1f}" x2="{axis.x(tick):.1f}" y1="{TOP}" y2="{high - BOTTOM}"/>'
        f'<text class="tick" x="{axis.x(tick):.1f}" y="{high - 10}" text-anchor="middle">{number(tick)}</text>'
        for tick in axis.ticks
    ]
    return f'<svg viewBox="0 0 {WIDTH} {high}" role="img">{"".join([*lines, *drawn])}</svg>'


def _texts(mark: Mark, y: float) -> Iterator[str]:
    label = mark.label if len(mark.label) <= _MOST_LABEL else mark.label[: _MOST_LABEL - 1] + "…"
    yield f'<text class="label" x="{LABELS - 12}" y="{y + 17}" text-anchor="end">{escape(label)}</text>'
    yield f'<text class="value k-{mark.kind}" x="{WIDTH - VALUES + 12}" y="{y + 17}">{escape(mark.said)}</text>'


def _whisker(axis: "_Linear", mark: Mark, y: float) -> str:
    low, high = axis.x(max(0.0, mark.low)), axis.x(max(0.0, mark.high))
    return (
        f'<line class="whisker" x1="{low:.1f}" x2="{high:.1f}" y1="{y + 13}" y2="{y + 13}"/>' if high - low > 1 else ""
    )


def _rect(x: float, y: float, width: float, height: float, kind: str, tip: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.0):.1f}" height="{height}" rx="1.5">'
        f"<title>{escape(tip)}</title></rect>"
    )


def _short(value: float) -> str:
    for size, name in ((1e6, "M"), (1e3, "k")):
        if value >= size and value % (size / 10) == 0:
            return f"{value / size:g} {name}"
    return f"{value:,g}"
