"""What a benchmark gives: sections of rows, each measured often enough to say how far its values spread.

A module of `benchmarks/sections` (or one that `benchmarks.sections.MODULES` names) has one `SECTION`:

    def rows(bench: Bench) -> Iterator[Row]:
        values = cpu_ms(step, bench.pick(5, 30, 30))
        yield Row("a step", "ms CPU", values, floor=cpu_ms(bare, 30), target=1.5)

    SECTION = Section("steps", "What a step costs", "Why a reader wants to know.", rows)

A row that could not be measured is a row too, with its `failure`; so is what a section raises. Nothing is asserted.
"""

import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Self, TypeVar

_Opened = TypeVar("_Opened")


class Mode(IntEnum):
    """How long a run may take: under three minutes, under twelve, as long as the largest tables need."""

    QUICK = 0
    STANDARD = 1
    FULL = 2


@dataclass(frozen=True)
class Spread:
    """The middle of some values: median and quartiles."""

    n: int
    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of one value or more."""
        if len(values) == 1:
            return cls(1, values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(len(values), low, median, high)


@dataclass(frozen=True)
class Row:
    """One thing that was measured.

    `floor` is what it can't be cheaper than, measured in the same run; the row's ratio is to that, and so is its `target`,
    or to `values` where there is no floor. `parts` say what the floor is made of. Rows of one `series` are points of a curve
    over `at`. Times in ms or us, sizes in kB or MiB, anything else as `unit` says.
    """

    name: str
    unit: str
    values: Sequence[float] = ()
    floor: Sequence[float] = ()
    target: float | None = None
    more_is_better: bool = False
    note: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)
    series: str = ""
    at: float | None = None
    failure: str = ""

    @property
    def spread(self) -> Spread | None:
        """Return median and quartiles, None of a row that failed."""
        return Spread.of(self.values) if self.values else None

    @property
    def ratio(self) -> Spread | None:
        """Return the ratio to the floor: pair by pair where both were measured in turns, else to the floor's median."""
        if not (self.values and self.floor):
            return None
        if len(self.values) == len(self.floor):
            return Spread.of([value / floor for value, floor in zip(self.values, self.floor, strict=True) if floor])
        middle = statistics.median(self.floor)
        return Spread.of([value / middle for value in self.values])

    @property
    def measure(self) -> Spread | None:
        """Return what target and bar are of: the ratio if there is one, else the value."""
        return self.ratio or self.spread


class Bench:
    """A run: its mode, a directory of its own, and what several sections share, opened once and closed at the end."""

    def __init__(self, mode: Mode, directory: Path) -> None:
        """Begin with nothing open."""
        self.mode = mode
        self.directory = directory
        self._stack = ExitStack()
        self._opened: dict[object, Any] = {}

    @property
    def quick(self) -> bool:
        """Return whether the run is to be over soon."""
        return self.mode is Mode.QUICK

    def pick(self, quick: _Opened, standard: _Opened, full: _Opened | None = None) -> _Opened:
        """Return what this mode takes, of numbers of repeats, sizes or lists of sizes."""
        return (quick, standard, standard if full is None else full)[self.mode]

    def new_directory(self, prefix: str) -> Path:
        """Return a fresh directory."""
        return Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=self.directory))

    def shared(self, open_: "Callable[[Bench], AbstractContextManager[_Opened]]") -> _Opened:
        """Return what this function opens, the same for everybody who asks in this run."""
        if open_ not in self._opened:
            self._opened[open_] = self._stack.enter_context(open_(self))
        opened: _Opened = self._opened[open_]
        return opened

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Close what was shared."""
        self._opened.clear()
        self._stack.close()


@dataclass(frozen=True)
class Section:
    """Rows that answer one question. `rows` may end early by raising: what came before is kept, and why is a row."""

    name: str
    title: str
    why: str
    rows: Callable[[Bench], Iterable[Row]]

    def run(self, bench: Bench) -> Iterator[Row]:
        """Yield the rows as they are measured; what was raised is the last."""
        try:
            yield from self.rows(bench)
        except Exception as error:  # noqa: BLE001 - a run never fails as a whole since one section did
            yield Row(f"{self.name}: broke off", "", failure=f"{type(error).__name__}: {error}"[:400])
