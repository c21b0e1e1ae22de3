"""A run's result: what was measured on what, as JSON and back; and the bar of each row."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, Spread

KEPT = Path(__file__).parent / "results"
"""Results that are committed: the newest is what docs/performance.md says, and what bars are taken from."""

ABOVE_BAR = 1.10
"""A row is over its bar when it costs a tenth more than the committed result: in a ratio, or by the yardstick."""

TIMES = ("ms", "us", "s")
_NUMBERS = re.compile(r"\[([-+\d.e,\s]+)\]")
"""A list of numbers in JSON: on one line."""


@dataclass(frozen=True)
class Measured:
    """A section with its rows."""

    name: str
    title: str
    why: str
    seconds: float
    rows: Sequence[Row]


@dataclass(frozen=True)
class Result:
    """A whole run. `others_percent` is how much of the machine others used meanwhile; `yardstick_ms` before and after."""

    mode: str
    began: str
    seconds: float
    load_before: float
    load_after: float
    others_percent: float
    yardstick_ms: Sequence[float]
    machine: Mapping[str, str]
    sections: Sequence[Measured] = field(default_factory=list)

    @property
    def yardstick(self) -> float:
        """Return the quicker one: what the machine does when it is let."""
        return min(self.yardstick_ms)

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Yield every row by `section: name`, under which it is compared."""
        for section in self.sections:
            for row in section.rows:
                yield f"{section.name}: {row.name}", row

    def get(self, key: str) -> Row | None:
        """Return a row that was measured."""
        return next((row for name, row in self.rows() if name == key and row.values), None)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        text = json.dumps(_rounded(asdict(self)), indent=1)
        path.write_text(_NUMBERS.sub(lambda found: f"[{', '.join(found[1].split())}]".replace(",,", ","), text) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Result":
        """Read what `write` wrote."""
        found = json.loads(path.read_text())
        known = {each.name for each in fields(Row)}
        sections = [
            Measured(
                **each | {"rows": [Row(**{name: row[name] for name in row if name in known}) for row in each["rows"]]}
            )
            for each in found.pop("sections")
        ]
        return cls(**found, sections=sections)


def newest() -> Result | None:
    """Return the newest committed result, by its name, which is a date."""
    found = sorted(KEPT.glob("*.json"))
    return Result.read(found[-1]) if found else None


def is_time(row: Row) -> bool:
    """Return whether a row's value is a time, which another machine takes longer or shorter for."""
    return row.unit.split()[:1] != [] and row.unit.split()[0] in TIMES


def compared(row: Row) -> Spread | None:
    """Return by what a row is compared with an earlier one: its ratio, unless its floor was counted.

    A floor of counted parts changes with the code: who does half of them costs less, and has the same ratio.
    """
    return row.spread if row.parts else row.measure


def scale(row: Row, before: Result, now: Result) -> float:
    """Return by what an earlier value is multiplied to be comparable: 1 for ratios and counts, the yardsticks' else."""
    is_ratio = row.ratio is not None and not row.parts
    return now.yardstick / before.yardstick if is_time(row) and not is_ratio else 1.0


def bar(key: str, row: Row, kept: Result | None, now: Result) -> float | None:
    """Return what a row may be at most (or at least, where more is better); None where nothing was committed."""
    before = kept and kept.get(key)
    found = None if before is None else compared(before)
    if found is None or kept is None:
        return None
    middle = found.median * scale(row, kept, now)
    return middle / ABOVE_BAR if row.more_is_better else middle * ABOVE_BAR


def is_over(row: Row, limit: float | None) -> bool:
    """Return whether three quarters of a row's values are beyond its limit: not a slow moment, then."""
    spread = compared(row)
    if limit is None or spread is None:
        return False
    return spread.high < limit if row.more_is_better else spread.low > limit


def shown(spread: Spread | None) -> str:
    """Return a spread as a person reads it: the median, and its quartiles where there are some."""
    if spread is None:
        return ""
    if spread.n < 3:
        return number(spread.median)
    return f"{number(spread.median)} ({number(spread.low)} to {number(spread.high)})"


def number(value: float) -> str:
    """Return a number with three digits that count."""
    if value == 0:
        return "0"
    size = abs(value)
    for least, places in ((100, 0), (10, 1), (1, 2), (0.1, 2), (0.01, 3)):
        if size >= least:
            return f"{value:,.{0 if float(value).is_integer() else places}f}"
    return f"{value:.2g}"


def _rounded(value: Any) -> Any:
    """Return JSON's values with four digits that count: the file is committed, and compared by people too."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
