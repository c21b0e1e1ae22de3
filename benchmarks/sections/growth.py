"""What grows: a search in an index of millions, an open among a patient's thousands of records."""

import os
import statistics
from collections.abc import Iterator
from pathlib import Path

from benchmarks.filling import fill, opened, sample
from benchmarks.meters import served_ms
from benchmarks.rows import Bench, Row, Section
from benchmarks.sections.calls import steps
from benchmarks.steps import Step
from benchmarks.world import HOSPITAL, World, world

INDEX, RECORDS = "Search, 1 row", "Open, 0.7 MB"
ELSEWHERE = "H:alpha/general"


def rows(bench: Bench) -> Iterator[Row]:
    """Yield each by its size, then the largest over the smallest."""
    here = bench.shared(world)
    by_name = {step.name: step for step in bench.shared(steps)}
    yield from _index(bench, here, by_name[INDEX])
    yield from _records(bench, here, by_name[RECORDS])


def _index(bench: Bench, here: World, step: Step) -> Iterator[Row]:
    sizes = bench.pick((10_000, 100_000), (10_000, 100_000, 1_000_000), (10_000, 100_000, 1_000_000, 10_000_000))
    file, pids, there, taken = here.stage.root / "cloud" / "store.sqlite", here.stage.pids("cloud"), 0, []
    for size in sizes:
        with opened(file) as database:
            fill(database, "index_rows", size - there, sample(database, "index_rows"))
        there = size
        taken.append(served_ms(pids, step.run, bench.pick(5, 15), 4))
        yield Row(
            f"{INDEX}, index of {size:,}: server", "ms CPU", taken[-1], series="search by index rows, ms CPU", at=size
        )
    yield from _flat(f"{INDEX}, index of {sizes[-1]:,} over {sizes[0]:,}", taken)


def _records(bench: Bench, here: World, step: Step) -> Iterator[Row]:
    sizes, file = bench.pick((10, 1_000), (10, 100, 1_000, 10_000)), here.stage.root / HOSPITAL / "store.sqlite"
    pids, there, taken = here.stage.pids(HOSPITAL), 0, []
    for size in sizes:
        _add_records(file, size - there)
        there = size
        taken.append(served_ms(pids, step.run, bench.pick(4, 10), 2))
        yield Row(
            f"{RECORDS}, patient of {size:,} records: server",
            "ms CPU",
            taken[-1],
            series="open by records of the patient, ms CPU",
            at=size,
        )
    yield from _flat(f"{RECORDS}, patient of {sizes[-1]:,} records over {sizes[0]:,}", taken)


def _add_records(file: Path, number: int) -> None:
    """Give the patient records of another department that nobody asks for: what is looked through, and not sent."""
    with opened(file) as database:
        like = sample(database, "records", "department_class = 'cardiology'")
        names = [row[1] for row in database.execute('PRAGMA table_info("records")')]
        whose = like[names.index("patient_key")]
        chosen = {
            "patient_key": lambda _: whose,
            "handle": lambda _: os.urandom(16),
            "version": lambda _: 1,
            "department_id": lambda _: ELSEWHERE,
            "department_class": lambda _: ELSEWHERE.partition("/")[2],
        }
        fill(database, "records", number, like, chosen)


def _flat(name: str, taken: list[list[float]]) -> Iterator[Row]:
    yield Row(name, "ms CPU", taken[-1], [statistics.median(taken[0])], 1.1, note="1 is flat")


SECTION = Section(
    "growth",
    "Growth",
    "The same call at a cloud whose index has more and more rows, and at a hospital that has more and more records of the "
    "patient: the rows are made up, beside the real ones, in the servers' own databases.",
    rows,
)
