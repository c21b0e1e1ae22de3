"""What each call costs its server over TLS, from the operating system, beside the least that it could cost."""

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.bare.server import BareServer, bare_server
from benchmarks.counted import Cost, counted
from benchmarks.meters import MILLI, cpu_seconds
from benchmarks.rows import Bench, Row, Section
from benchmarks.sections.primitives import price
from benchmarks.steps import Step, at_cloud, at_hospital
from benchmarks.world import HOSPITAL, World, world
from tests.hospital_lab import JOHNNIE

FLOORS = {"Search, 1 row": 1.8, "Search, 8 rows": 1.8, "Publish": 1.8, "PutEncryptionKey": 1.8, "Open, 0.7 MB": 1.8} | {
    "Deposit, 427 kB": 1.8
}
BARE = {"PutFrame, 1 kB": 2.5, "GetDirectory": 1.5}
PLAIN_SERVICE = {"Open, 0.7 MB": 5.0}
FOLLOWED = {"Deposit, 427 kB": "; its publication, which comes by itself, falls into it and is not in the floor"}
CHEAP = {"PutFrame, 1 kB": 12, "GetDirectory": 60}
"""How many calls of a kind make a round of some 20 ms; of the others, four do."""


@contextmanager
def steps(bench: Bench) -> Iterator[list[Step]]:
    """Prepare all calls once a run; the hospital has one record of 0.7 MB."""
    here = bench.shared(world)
    here.import_record("cardiology", JOHNNIE)
    yield [*at_cloud(here.lab, here.guest, here.doctor), *at_hospital(here.callers, here.client, here.channel)]


@dataclass
class Taken:
    """CPU milliseconds of one call, of some rounds: the server's, the caller's, and bare servers' for the same bytes."""

    server: list[float] = field(default_factory=list)
    caller: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)


def parts(bench: Bench, cost: Cost) -> Mapping[str, float]:
    """Return the primitives of a call in CPU milliseconds, by where they are."""

    def of(counts: Mapping[str, float]) -> float:
        return sum(number * price(bench, name) for name, number in counts.items()) / 1000

    mib = cost.content / (1 << 20)
    long = mib * (2 * price(bench, "AES-GCM, 1 MiB") + price(bench, "SHA-256, 1 MiB")) / 1000
    return {"token": of(cost.token), "software": of(cost.software) + long, "SQL": of(cost.sql)}


def taken(here: World, bare: BareServer, step: Step, cost: Cost, rounds: int) -> Taken:
    """Measure a call and the bare calls of the same bytes in turns."""
    pids = here.stage.pids("cloud" if step.at == "cloud" else HOSPITAL)
    each, found = CHEAP.get(step.name, 4), Taken()
    unary = bare.unary(cost.sent, cost.received)
    logged = bare.unary(cost.sent, cost.received, "Logged")
    step.run()
    for call in (unary, logged):
        call()
    gc.collect()
    for _ in range(rounds):
        given = [step.prepare() for _ in range(each)]
        before, own = cpu_seconds(pids), time.process_time()
        answers = [step.call(one) for one in given]
        found.server.append((cpu_seconds(pids) - before) * MILLI / each)
        found.caller.append((time.process_time() - own) * MILLI / each)
        for answer in answers:
            step.after(answer)
        for call, kept in ((unary, found.bare), (logged, found.plain)):
            before = cpu_seconds([bare.process])
            for _ in range(each * 3):
                call()
            kept.append((cpu_seconds([bare.process]) - before) * MILLI / (each * 3))
    return found


def rows(bench: Bench) -> Iterator[Row]:
    """Yield each call: the server's CPU over its floor, the caller's, the bytes."""
    costs, here, bare = counted(bench), bench.shared(world), bench.shared(bare_server)
    for step in bench.shared(steps):
        cost = costs.get(step.name, Cost())
        found, made = taken(here, bare, step, cost, bench.pick(6, 14)), parts(bench, cost)
        unary = sorted(found.bare)[len(found.bare) // 2]
        floor = [sum(made.values()) + each for each in found.bare]
        yield Row(
            f"{step.name}: server",
            "ms CPU",
            found.server,
            floor,
            FLOORS.get(step.name),
            parts={"bare call": unary, **made},
            note=_counts(cost) + FOLLOWED.get(step.name, ""),
        )
        if step.name in BARE:
            yield Row(f"{step.name}: server, over a bare call", "ms CPU", found.server, found.bare, BARE[step.name])
        if step.name in PLAIN_SERVICE:
            note = "bare gRPC that looks an access up and writes a log entry, fsynced"
            target = PLAIN_SERVICE[step.name]
            yield Row(
                f"{step.name}: server, over a plain service", "ms CPU", found.server, found.plain, target, note=note
            )
        yield Row(f"{step.name}: caller", "ms CPU", found.caller)
        yield Row(
            f"{step.name}: messages", "kB", [(cost.sent + cost.received) / 1000], note=f"{cost.sent:,} B to the server"
        )


def _counts(cost: Cost) -> str:
    """Say what a call is made of."""
    most = {"ECDSA verify", "ML-KEM encapsulate", "ML-KEM decapsulate", "ECDH", "point read", "X.509 parse"}
    named = {
        **{f"token {name}": number for name, number in cost.token.items()},
        **{name: number for name, number in cost.software.items() if name in most},
        **cost.sql,
    }
    return ", ".join(f"{number:g} {name}" for name, number in named.items())


SECTION = Section(
    "calls",
    "Calls over TLS",
    "Each call as a client makes it, to servers in processes of their own; the servers' CPU is the operating system's. The "
    "floor is a bare gRPC call of the same bytes over the same TLS, measured in turns with it, and the call's operations of "
    "token, software and SQL, counted where nothing is remembered, each at its bare price.",
    rows,
)
