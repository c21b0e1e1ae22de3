"""Two results beside each other: what changed, and by more than the values spread."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.results import Result, compared, number, scale, shown
from benchmarks.rows import Row, Spread


@dataclass(frozen=True)
class Change:
    """A row of both. `ratio` is after over before, by the yardstick where it is of times; `is_beyond` its spread."""

    key: str
    before: Row
    after: Row
    ratio: float
    is_beyond: bool

    @property
    def is_better(self) -> bool:
        """Return whether it changed the right way."""
        return (self.ratio > 1) is self.after.more_is_better

    @property
    def word(self) -> str:
        """Return what is to be said of it."""
        if not self.is_beyond:
            return ""
        return "better" if self.is_better else "WORSE"


def changes(before: Result, after: Result) -> Iterator[Change]:
    """Yield every row that both have."""
    for key, row in after.rows():
        earlier = before.get(key)
        one, other = (None if each is None else compared(each) for each in (earlier, row))
        if earlier is not None and one is not None and other is not None and one.median:
            by = scale(row, before, after)
            yield Change(key, earlier, row, other.median / (one.median * by), _apart(one, other, by))


def table(before: Result, after: Result) -> str:
    """Return Markdown: every row, those that changed beyond their spread marked."""
    found = list(changes(before, after))
    rows = [
        f"before: {before.machine['commit']}, {before.began}, yardstick {before.yardstick:.2f} ms",
        f"after: {after.machine['commit']}, {after.began}, yardstick {after.yardstick:.2f} ms",
        "",
        "| row | before | after | x floor, before | after | after / before | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for change in found:
        values = f"{shown(change.before.spread)} | {shown(change.after.spread)} {change.after.unit}"
        ratios = " | ".join(
            "" if row.ratio is None else number(row.ratio.median) for row in (change.before, change.after)
        )
        rows.append(f"| {change.key} | {values} | {ratios} | {change.ratio:.2f} | {change.word} |")
    marked = [change.word for change in found if change.is_beyond]
    better, worse = marked.count("better"), marked.count("WORSE")
    only = {key for key, row in after.rows() if row.values} ^ {key for key, row in before.rows() if row.values}
    rows += [
        "",
        f"{len(found)} rows in both; beyond their spread {better} better, {worse} worse; in one alone {len(only)}.",
    ]
    return "\n".join(rows)


def _apart(one: Spread, other: Spread, by: float) -> bool:
    """Return whether the middle halves of two spreads don't meet."""
    return other.low > one.high * by or other.high < one.low * by
