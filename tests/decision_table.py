"""The decision table, tests/decisions/, as Python reads it, and which checks of the code it has to be complete for."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from federation import errors
from federation.errors import FederationError

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "tests" / "decisions"
FACTS = ("name", "source", "expect")
"""The columns of a file of rows that are not of `defaults.csv`."""
EPOCH = 1_000_000_000
_NUMBERS = re.compile(r"# ([A-Za-z]+\d?\.\d+(?:, [A-Za-z]+\d?\.\d+)*)$")


def read(path: Path) -> list[dict[str, str]]:
    """Read a file of the table. Raises ValueError for a line with more or fewer cells than its header."""
    with path.open(encoding="ascii", newline="") as file:
        header, *lines = csv.reader(file, strict=True)
        return [dict(zip(header, line, strict=True)) for line in lines]


def row_files() -> list[Path]:
    """Return the files of rows."""
    return [path for path in sorted(TABLE.glob("*.csv")) if path.stem != "defaults"]


DEFAULTS = {row["column"]: row["default"] for row in read(TABLE / "defaults.csv")}


@dataclass(frozen=True)
class Row:
    """One row: what is shown and asked, in a cell for each column of the table, and what has to come of it."""

    name: str
    source: str
    expect: str
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """Return a cell as it is."""
        return self.cells[column]

    def known(self, column: str) -> str | None:
        """Return a cell, or None where there is none."""
        return None if self.cells[column] == "-" else self.cells[column]

    def listed(self, column: str) -> tuple[str, ...]:
        """Return the elements of a list."""
        return () if self.cells[column] == "-" else tuple(self.cells[column].split(" "))

    def is_so(self, column: str) -> bool:
        """Return whether it is "yes"."""
        return {"yes": True, "no": False}[self.cells[column]]

    def time(self, column: str) -> int:
        """Return a time, in milliseconds since the Unix epoch."""
        return (EPOCH + int(self.cells[column])) * 1000


def rows() -> Iterator[Row]:
    """Read all rows of all files."""
    for path in row_files():
        for line in read(path):
            varied = {column: cell for column, cell in line.items() if column not in FACTS and cell}
            yield Row(line["name"], line["source"], line["expect"], DEFAULTS | varied)


def checks_in(*sources: Path) -> dict[str, set[str]]:
    """Return the numbers of the checks in some modules, each with the reasons that stand beside it."""
    found: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        lines = source.read_text(encoding="utf-8").splitlines()
        for line, following in zip(lines, [*lines[1:], ""], strict=True):
            numbers = _NUMBERS.search(line)
            if numbers:
                # A comment that has a line to itself stands above its check.
                checked = following if line.strip() == numbers[0] else line
                for number in numbers[1].split(", "):
                    found[number] |= set(_reasons(checked))
    return found


def _reasons(line: str) -> Iterator[str]:
    for word in re.findall(r"\b[A-Z]\w+", line.partition("#")[0]):
        named = getattr(errors, word, None)
        if isinstance(named, type) and issubclass(named, FederationError):
            yield named.reason
