"""Long records: what a hospital spends on sending one, and how fast it comes, beside a bare stream and its cryptography."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bare.server import bare_server
from benchmarks.meters import MILLI, cpu_seconds
from benchmarks.rows import Bench, Row, Section
from benchmarks.sections.primitives import price
from benchmarks.world import HOSPITAL, LONG, World, world
from tests.hospital_lab import JOHNNIE

MB = 1_000_000
CPU, WALL = 1.4, 2.0
"""Of the server, over what it has to do; and of the clock, over a bare stream: half as fast."""


def rows(bench: Bench) -> Iterator[Row]:
    """Yield CPU and wall of one record, or of two."""
    here = bench.shared(world)
    for department, megabytes in zip(LONG, bench.pick((20,), (100,), (100, 1_000)), strict=False):
        yield from _record(bench, here, department, megabytes)


def _record(bench: Bench, here: World, department: str, megabytes: int) -> Iterator[Row]:
    size = megabytes * MB
    here.import_record(department, JOHNNIE, _attachment(here.stage.root, size))
    bare, pids = bench.shared(bare_server), here.stage.pids(HOSPITAL)
    grant, stream = here.callers.grant(), bare.stream(size)
    served, walls, plain, plain_walls, callers = [], [], [], [], []
    for _ in range(bench.pick(3, 5, 5 if megabytes < 500 else 3)):
        before, own, began = cpu_seconds(pids), time.process_time(), time.perf_counter()
        digest = hashlib.sha256()
        here.client.read(here.callers.intent(grant, department_class=department), digest.update)
        walls.append((time.perf_counter() - began) * MILLI)
        served.append((cpu_seconds(pids) - before) * MILLI)
        callers.append((time.process_time() - own) * MILLI)
        before, began = cpu_seconds([bare.process]), time.perf_counter()
        stream()
        plain_walls.append((time.perf_counter() - began) * MILLI)
        plain.append((cpu_seconds([bare.process]) - before) * MILLI)
    mib = size / (1 << 20)
    seals, hashed = 2 * mib * price(bench, "AES-GCM, 1 MiB") / 1000, mib * price(bench, "SHA-256, 1 MiB") / 1000
    made = {"bare stream": sorted(plain)[len(plain) // 2], "open and seal": seals, "hash": hashed}
    floor = [seals + hashed + each for each in plain]
    yield Row(f"{megabytes} MB: server", "ms CPU", served, floor, CPU, parts=made)
    yield Row(
        f"{megabytes} MB: wall, over a bare stream's",
        "ms",
        walls,
        plain_walls,
        WALL,
        note="on two free cores: 2 x is half as fast",
    )
    yield Row(f"{megabytes} MB: reader", "ms CPU", callers, note="it opens, hashes and checks the record")


def _attachment(root: Path, size_bytes: int) -> Path:
    file, block = root / f"attachment-{size_bytes}.bin", os.urandom(MB)
    with file.open("wb") as out:
        for _ in range(size_bytes // MB):
            out.write(block)
    return file


SECTION = Section(
    "streams",
    "Long records",
    "A record with an attachment of random bytes, from the hospital's blob store over TLS to a doctor who checks it. The floor "
    "is a bare gRPC stream of as many bytes, opening them as they are kept, sealing them for the session, and one hash.",
    rows,
)
