"""docs/performance.md: fixed text with a result's numbers in it."""

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import sizing
from benchmarks.machine import BUSY_PERCENT
from benchmarks.page import OURS, reached
from benchmarks.results import Measured, Result, number, shown
from benchmarks.rows import Row

WIDTH = 120
TEMPLATE = Path(__file__).with_name("performance.template")
_PLACE = re.compile(r"^\{\{(\w+) ?(\w*)\}\}$", re.MULTILINE)


def report(result: Result, file: str) -> str:
    """Return the page of a result that is kept under this name."""
    makers: dict[str, Callable[[str], Iterator[str]]] = {
        "machine": lambda _: _machine(result),
        "targets": lambda _: _targets(result),
        "rows": lambda name: _rows(_section(result, name)),
        "parts": lambda name: _parts(_section(result, name)),
        "dominates": lambda _: _dominates(_section(result, "calls")),
        "latencies": lambda _: sizing.latencies(result),
        "sizing": lambda _: sizing.tables(result),
    }
    text = TEMPLATE.read_text().replace("{{file}}", file)
    return _PLACE.sub(lambda found: "\n".join(map(_wrapped, makers[found[1]](found[2]))), text)


def _wrapped(line: str) -> str:
    """Return a line of text in lines of a page's width; a row of a table is one."""
    return line if line.startswith("|") else "\n".join(textwrap.wrap(line, WIDTH, break_on_hyphens=False))


def _section(result: Result, name: str) -> Sequence[Row]:
    found: Measured | None = next((each for each in result.sections if each.name == name), None)
    return found.rows if found else ()


def _machine(result: Result) -> Iterator[str]:
    machine = result.machine
    yield (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory']}, Python {machine['Python']}, "
        f"commit {machine['commit']}, {result.began[:10]}, "
        f"{result.mode} run of {result.seconds / 60:.0f} minutes; load {result.load_before:.1f} before and "
        f"{result.load_after:.1f} after, {result.others_percent:.0f} % used by others."
    )
    if result.others_percent > BUSY_PERCENT:
        yield ""
        yield "**The machine was busy**: CPU times and ratios hold roughly; walls, throughputs and latencies don't."


def _targets(result: Result) -> Iterator[str]:
    yield "| | measured | to reach | |"
    yield "| --- | --- | --- | --- |"
    for key, row in result.rows():
        there = reached(row)
        if there is not None:
            unit = "x" if row.ratio else row.unit
            least = "at least " if row.more_is_better else ""
            state = "reached" if there else "not yet"
            yield f"| {key} | {shown(row.measure)} {unit} | {least}{row.target:g} | {state} |"


def _rows(rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        yield "Not measured in this run."
        return
    has_ratio = any(row.ratio for row in rows)
    yield f"| | median (quartiles) | unit |{' x floor |' if has_ratio else ''} |"
    yield f"| --- | --- | --- |{' --- |' if has_ratio else ''} --- |"
    for row in rows:
        value, unit = (shown(row.spread), row.unit) if row.values else ("not measured", "")
        ratio = f" {shown(row.ratio)} |" if has_ratio else ""
        yield f"| {row.name} | {value} | {unit} |{ratio} {row.note or row.failure.replace('|', '/')} |"


def _parts(rows: Sequence[Row]) -> Iterator[str]:
    made = [row for row in rows if row.parts and row.spread]
    names = list(dict.fromkeys(name for row in made for name in row.parts))
    yield f"| | ms CPU | x floor | {' | '.join(names)} | {OURS} |"
    yield f"| --- | --- | --- |{' --- |' * (len(names) + 1)}"
    for row in made:
        assert row.spread is not None
        parts = " | ".join(number(row.parts.get(name, 0.0)) for name in names)
        ours = max(0.0, row.spread.median - sum(row.parts.values()))
        yield f"| {row.name} | {shown(row.spread)} | {shown(row.ratio)} | {parts} | {number(ours)} |"
    yield ""
    yield from _rows([row for row in rows if not row.parts])


def _dominates(rows: Sequence[Row]) -> Iterator[str]:
    """Say what is most of each call."""
    said = []
    for row in rows:
        if row.parts and row.spread:
            whole = {**row.parts, OURS: max(0.0, row.spread.median - sum(row.parts.values()))}
            most = max(whole, key=lambda name: whole[name])
            share = whole[most] / sum(whole.values())
            said.append(f"of {row.name.removesuffix(': server')} {share:.0%} ({most})")
    if said:
        yield "What is most: " + "; ".join(said) + "."
