"""All pages of a search, for patients of few and of many records: whether twice as many records cost twice as much."""

import time
from collections.abc import Iterator

from benchmarks.meters import MILLI, cpu_seconds
from benchmarks.rows import Bench, Row, Section
from benchmarks.world import World, rows_published, world
from federation.clock import system_clock
from federation.person.evidence import EvidenceBook
from federation.person.finding import RecordFinder
from federation.store.database import open_database
from federation.store.party import Evidence

CLASS = "cardiology"


def rows(bench: Bench) -> Iterator[Row]:
    """Yield server CPU, token operations and wall of a whole search by its size, then how it grows."""
    here = bench.shared(world)
    served: dict[int, list[float]] = {}
    with open_database(f"sqlite:///{bench.new_directory('answers') / 'evidence.sqlite'}") as database:
        finder = RecordFinder(
            here.doctor, here.lab.client(), EvidenceBook(here.doctor, Evidence(database)), system_clock
        )
        for size in bench.pick((8, 64), (8, 100, 1_000)):
            served[size], operations, walls = _whole(here, finder, size, bench.pick(3, 5 if size < 500 else 3))
            named = f"all pages, {size:,} records"
            yield Row(f"{named}: cloud", "ms CPU", served[size], series="all pages: cloud, ms CPU", at=size)
            yield Row(f"{named}: wall", "ms", walls, series="all pages: wall, ms", at=size)
            yield Row(f"{named}: token operations", "operations", [operations])
    *_, before, last = sorted(served)
    each = [[taken / size for taken in served[size]] for size in (last, before)]
    named = f"cloud, a record of {last:,} over one of {before:,}"
    yield Row(named, "ms CPU a record", each[0], each[1], 1.1, note="1 is linear")


def _whole(here: World, finder: RecordFinder, size: int, rounds: int) -> tuple[list[float], float, list[float]]:
    patient = here.lab.patient(f"P:of{size}", here.guest)
    rows_published(here.lab, here.guest, patient.identity, size)
    shown, pids = here.lab.question(patient, here.doctor).shown, here.stage.pids("cloud")
    served, walls = [], []
    asked = here.stage.token_operations("cloud").total()
    for number in range(rounds):
        before, began = cpu_seconds(pids), time.perf_counter()
        found = finder.find(shown, [CLASS], number.to_bytes(16, "big"), lambda _: None)
        walls.append((time.perf_counter() - began) * MILLI)
        served.append((cpu_seconds(pids) - before) * MILLI)
        if len(found) != size:
            raise RuntimeError(f"{len(found)} of {size} records were found")
    return served, (here.stage.token_operations("cloud").total() - asked) / rounds, walls


SECTION = Section(
    "answers",
    "Answers of many pages",
    "A doctor's client asks for every page of a search and checks each. Linear is what is to be reached: a record's share of "
    "the work doesn't grow with how many there are.",
    rows,
)
