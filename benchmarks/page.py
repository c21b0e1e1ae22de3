"""The page of a run: what is to be reached and what was, then each section with its plots and, behind them, its numbers."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from benchmarks.drawing import Mark, bars, curve, points, slug, stacked
from benchmarks.machine import BUSY_PERCENT
from benchmarks.results import Measured, Result, bar, is_over, number, shown
from benchmarks.rows import Row

OURS = "our own"
"""What a call costs beyond its floor."""
WIDE = 12.0
"""From which share of largest over smallest on a plot has a log axis."""
STYLE = Path(__file__).with_name("page.css")


def page(result: Result, kept: Result | None) -> str:
    """Return the whole page, which asks for nothing else; `kept` is where its bars are from."""
    parts = [*_head(result), *_reached(result), *_over(result, kept)]
    for section in result.sections:
        parts += _section(section, result, kept)
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>What medunion costs</title>\n<style>\n{STYLE.read_text()}</style>",
            *parts,
            "</main>",
            f"<footer><p>{_footer(kept)}</p></footer>\n</html>\n",
        ]
    )


def reached(row: Row) -> bool | None:
    """Return whether a row is where it is to be; None where nothing was set."""
    spread = row.measure
    if row.target is None or spread is None:
        return None
    return spread.median >= row.target if row.more_is_better else spread.median <= row.target


def _head(result: Result) -> Iterator[str]:
    machine = result.machine
    facts = {
        "commit": machine.get("commit", ""),
        "began": result.began.replace("T", " ").replace("+00:00", " UTC"),
        "took": f"{result.seconds / 60:.1f} minutes, {result.mode}",
        "load, before and after": f"{result.load_before:.2f}, {result.load_after:.2f}",
        "used by others": f"{result.others_percent:.0f} % of the machine",
        "yardstick, before and after": " and ".join(f"{each:.1f} ms" for each in result.yardstick_ms),
    } | {name: value for name, value in machine.items() if name != "commit"}
    yield "<header><h1>What medunion costs</h1>"
    yield (
        '<p class="lead">Each thing beside the least that it could cost: its operations in token and software at their '
        "bare price, a bare gRPC call over the same TLS, the SQL of its commits.</p>"
    )
    if result.others_percent > BUSY_PERCENT:
        yield (
            f'<p class="busy">The machine was busy: others used {result.others_percent:.0f} % of it meanwhile. '
            "CPU times and ratios hold roughly; walls, throughputs and latencies don't.</p>"
        )
    yield '<dl class="facts">'
    yield from (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    yield "</dl><nav>"
    yield from (f'<a href="#{escape(each.name)}">{escape(each.title)}</a>' for each in result.sections)
    yield "</nav></header><main>"


def _reached(result: Result) -> Iterator[str]:
    """Yield the plot of everything that is to be somewhere: as a share of where, for all to stand on one axis."""
    rows = [(key, row) for key, row in result.rows() if reached(row) is not None]
    if not rows:
        return
    marks = []
    for _, row in rows:
        spread, target = row.measure, row.target
        assert spread is not None
        assert target
        low, middle, high = (value / target for value in (spread.low, spread.median, spread.high))
        if row.more_is_better:
            low, middle, high = (1 / value if value else 0.0 for value in (high, middle, low))
        kind = "good" if reached(row) else "bad"
        unit = " x" if row.ratio else f" {row.unit.split()[0]}"
        marks.append(
            Mark(
                row.name,
                max(low, 0.0),
                middle,
                high,
                f"{number(spread.median)} of {target:g}{unit}",
                target=1.0,
                kind=kind,
            )
        )
    done = sum(mark.kind == "good" for mark in marks)
    failed = sum(bool(row.failure) for _, row in result.rows())
    yield '<section id="targets"><h2>What is to be reached</h2>'
    yield '<p class="why">Where each stands, over where it is to be: left of the line is there. Ratios are to the floor.</p>'
    yield (
        f'<div class="score"><div><b class="good">{done}</b><span>reached</span></div><div><b class="bad">'
        f"{len(marks) - done}</b><span>not yet</span></div><div><b>{failed}</b><span>not measured</span></div></div>"
    )
    yield points(marks)
    yield "</section>"


def _over(result: Result, kept: Result | None) -> Iterator[str]:
    over = [key for key, row in result.rows() if is_over(row, bar(key, row, kept, result))]
    if not over:
        return
    yield '<section id="over"><h2>Over its bar</h2><p class="why">A tenth more than the committed result, by three '
    yield "quarters of the values.</p><ul>"
    yield from (f'<li class="bad">{escape(key)}</li>' for key in over)
    yield "</ul></section>"


def _section(section: Measured, result: Result, kept: Result | None) -> Iterator[str]:
    yield f'<section id="{escape(section.name)}"><h2>{escape(section.title)}</h2>'
    yield f'<p class="why">{escape(section.why)}</p>'
    yield from _plots(section.rows)
    yield f"<details{' open' if not any(row.values for row in section.rows) else ''}>"
    yield f"<summary>{len(section.rows)} rows as a table, {section.seconds:.0f} s</summary>"
    yield '<div class="scroll"><table><tr><th>row<th>unit<th class="n">n<th class="n">median<th class="n">quartiles'
    yield '<th class="n">x floor<th class="n">to reach<th class="n">bar<th></tr>'
    for row in section.rows:
        yield _row(row, bar(f"{section.name}: {row.name}", row, kept, result))
    yield "</table></div></details></section>"


def _row(row: Row, limit: float | None) -> str:
    note = f"<small>{escape(row.note)}</small>" if row.note else ""
    spread, ratio = row.spread, row.ratio
    if spread is None:
        return f'<tr><td>{escape(row.name)}{note}<td colspan="8" class="bad">{escape(row.failure)}</tr>'
    there = reached(row)
    states = (
        [] if there is None else ['<span class="good">reached</span>' if there else '<span class="bad">not yet</span>']
    )
    if is_over(row, limit):
        states.append('<span class="bad">over its bar</span>')
    quartiles = f"{number(spread.low)} to {number(spread.high)}" if spread.n > 2 else ""
    cells = (
        str(spread.n),
        number(spread.median),
        quartiles,
        shown(ratio),
        "" if row.target is None else f"{row.target:g}",
        "" if limit is None else number(limit),
    )
    numbers = "".join(f'<td class="n">{escape(cell)}' for cell in cells)
    return f"<tr><td>{escape(row.name)}{note}<td>{escape(row.unit)}{numbers}<td>{', '.join(states)}</tr>"


def _plots(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the plots of a section: bars in parts, curves, and what is left by its unit."""
    made = [row for row in rows if row.parts and row.values]
    for unit, group in _by_unit(made):
        names = list(dict.fromkeys(name for row in group for name in row.parts))
        yield f"<h3>{escape(unit)}, and what it is made of</h3>"
        yield _legend([*names, OURS])
        yield stacked([_mark(row, f"{number(row.spread.median)}{_times(row)}") for row in group if row.spread], OURS)
    beside = [row for row in rows if row.ratio and not row.parts]
    if len(beside) > 1:
        yield "<h3>times what it stands beside</h3>"
        yield points([_beside(row) for row in beside])
    curves = [row for row in rows if row.series and row.values and row.at is not None]
    if curves:
        yield '<div class="figures">'
        for name, each in groupby(sorted(curves, key=lambda row: (row.series, row.at)), key=lambda row: row.series):
            group = list(each)
            if len(group) > 1:
                yield curve(
                    name,
                    [
                        (row.at or 1.0, row.spread.low, row.spread.median, row.spread.high)
                        for row in group
                        if row.spread
                    ],
                )
        yield "</div>"
    for unit, group in _by_unit([row for row in rows if row.values and not row.floor and not row.series]):
        if len(group) < 3:
            continue
        middles = [row.spread.median for row in group if row.spread and row.spread.median > 0]
        marks = [_mark(row, number(row.spread.median)) for row in group if row.spread]
        yield f"<h3>{escape(unit)}</h3>"
        yield points(marks) if middles and max(middles) / min(middles) > WIDE else bars(marks)


def _by_unit(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    for unit in dict.fromkeys(row.unit for row in rows):
        yield unit, [row for row in rows if row.unit == unit]


def _mark(row: Row, said: str) -> Mark:
    spread = row.spread
    assert spread is not None
    target = None if row.floor else row.target
    return Mark(row.name, spread.low, spread.median, spread.high, said, row.parts, target)


def _beside(row: Row) -> Mark:
    ratio = row.ratio
    assert ratio is not None
    return Mark(row.name, ratio.low, ratio.median, ratio.high, f"{number(ratio.median)} x", target=row.target)


def _times(row: Row) -> str:
    return f", {number(row.ratio.median)} x" if row.ratio else ""


def _legend(names: Sequence[str]) -> str:
    swatch = '<svg viewBox="0 0 12 12"><rect class="p-{}" width="12" height="12" rx="2"/></svg>'
    return f'<ul class="legend">{"".join(f"<li>{swatch.format(slug(name))}{escape(name)}</li>" for name in names)}</ul>'


def _footer(kept: Result | None) -> str:
    bars_from = f" Bars are of {escape(kept.machine['commit'])}, {escape(kept.began[:10])}." if kept else ""
    return (
        "Medians and quartiles. A floor is measured in the same run as what stands on it; times of another machine are "
        f"compared by the yardstick, a fixed piece of Python, SHA-256 and ECDSA.{bars_from}"
    )
