"""A whole visit by the clients' own code: how long it takes, what it costs whom."""

import time
from collections.abc import Iterator
from statistics import median

from benchmarks.bare.server import bare_server
from benchmarks.counted import VISIT, counted
from benchmarks.meters import MILLI, Weighed, cpu_seconds, wall_ms
from benchmarks.rows import Bench, Row, Section
from benchmarks.sections.calls import parts, steps
from benchmarks.visits import visit
from benchmarks.world import HOSPITAL, world

TARGET = 2.0


def rows(bench: Bench) -> Iterator[Row]:
    """Yield wall time over its floor, CPU of each side, round trips, bytes."""
    here, weighed = bench.shared(world), Weighed()
    bench.shared(steps)  # the record is there
    made = parts(bench, counted(bench)[VISIT])
    trip = wall_ms(bench.shared(bare_server).unary(500, 500), 40)
    walls, cloud, hospital, clients = [], [], [], []
    with visit(here, bench, weighed) as whole:
        whole.run()
        weighed.of(whole.run)
        trips = weighed.messages / 2
        yield Row("messages over the wire, both ways", "messages", [weighed.messages])
        yield Row("bytes of messages, both ways", "kB", [(weighed.sent + weighed.received) / 1000])
        for _ in range(bench.pick(5, 15)):
            sides = here.stage.pids("cloud"), here.stage.pids(HOSPITAL)
            before, own, began = [cpu_seconds(side) for side in sides], time.process_time(), time.perf_counter()
            whole.run()
            walls.append((time.perf_counter() - began) * MILLI)
            clients.append((time.process_time() - own) * MILLI)
            for side, was, kept in zip(sides, before, (cloud, hospital), strict=True):
                kept.append((cpu_seconds(side) - was) * MILLI)
    floor = sum(made.values()) + trips * median(trip)
    made = {**made, "round trips": trips * median(trip)}
    yield Row("a visit: wall", "ms", walls, [floor], TARGET, parts=made, note="doctor and patient in one process")
    yield Row("a visit: cloud", "ms CPU", cloud)
    yield Row("a visit: hospital", "ms CPU", hospital)
    yield Row("a visit: doctor and patient", "ms CPU", clients)


SECTION = Section(
    "visit",
    "A visit",
    "Room, consultation, search, one record of 0.7 MB, diagnosis, receipt, deposit of 427 kB: by the code of the doctor's and "
    "the patient's clients, each step when the one before has come. Its floor is every primitive of all four parties one after "
    "the other, and one bare round trip for each two messages.",
    rows,
)
