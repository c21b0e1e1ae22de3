"""What Python's one lock costs, and what would be had without it: `python -m benchmarks.gil [--wheels] [PYTHON...]`.

1. CPU of a Search in one process with 1, 2, 4 and 8 worker threads, 64 asked for at a time: what threads cost each other.
2. For this interpreter and each that is named (with the project's dependencies installed): whether it has the lock, and which
   of the packages load in an interpreter of its own beside the first, each with a lock of its own (PEP 684).
3. With `--wheels`, asked of pip: which packages are built for free-threaded Python 3.14 (PEP 703).
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.rows import Bench, Mode
from benchmarks.world import PIN, softhsm_maker
from federation.clock import system_clock, system_entropy
from federation.cloud.search import search
from federation.protocol.search import ask
from federation.v1.search_pb2 import SearchRequest
from federation.wire.workers import Workers
from hsm import pin_from_value
from tests.e2e.cloud_lab import CloudLab, cloud_lab

THREADS = (1, 2, 4, 8)
ROUNDS, SEARCHES, AT_ONCE = 4, 200, 64
PACKAGES = {
    "grpcio": "grpc._cython.cygrpc",
    "protobuf": "google._upb._message",
    "cryptography": "cryptography.hazmat.bindings._rust",
    "python-pkcs11": "pkcs11._pkcs11",
    "SQLAlchemy": "sqlalchemy",
    "psycopg-binary": "psycopg, psycopg_binary._psycopg",
}
FREE_THREADED = "cp314t"
PLATFORMS = ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64", "manylinux_2_34_x86_64")

_LOCK = """
import sys, sysconfig
lock = "without a lock" if sysconfig.get_config_var("Py_GIL_DISABLED") else "one lock an interpreter"
print(sys.version.split()[0], lock, sep=", ")
"""
_LOADS = """
import sys
try:
    import _interpreters
except ImportError:
    print("this Python has no interpreters with a lock of their own")
    raise SystemExit
failed = _interpreters.run_string(_interpreters.create("isolated"), "import " + sys.argv[1])
print("loads" if failed is None else failed.msg)
"""


def told(python: str, program: str, *words: str) -> str:
    """Return what another interpreter says: in a process of its own, which a package may end."""
    said = subprocess.run([python, "-c", program, *words], capture_output=True, text=True, timeout=120, check=False)
    lines = (said.stdout or said.stderr).strip().splitlines()
    return lines[-1] if lines else f"ends with {said.returncode}"


def wheel(package: str) -> str:
    """Return whether pip finds a wheel of a package for free-threaded Python; one of the stable ABI does not load there."""
    with tempfile.TemporaryDirectory() as place:
        words = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", place]
        words += ["--python-version", FREE_THREADED[2:3] + "." + FREE_THREADED[3:5], "--abi", FREE_THREADED]
        words += [word for platform in PLATFORMS for word in ("--platform", platform)]
        subprocess.run([*words, package], capture_output=True, timeout=120, check=False)
        return "a wheel" if any(f"-{FREE_THREADED}-" in path.name for path in Path(place).iterdir()) else "no wheel"


def asker(lab: CloudLab) -> Callable[[int], list[SearchRequest]]:
    """Return what makes so many searches of a registered doctor, each to be sent once and soon."""
    hospital = lab.hospital("H:guest")
    doctor, patient, client = lab.doctor("D:chen"), lab.patient("P:wang", hospital), lab.client()
    lab.publish(hospital, patient.identity, "cardiology")
    client.refresh(doctor)
    question = replace(lab.question(patient, doctor), department_class="cardiology")
    key, verifier, party = client.cloud_key(doctor), doctor.verifier(), doctor.party(system_clock())

    def made(number: int) -> list[SearchRequest]:
        openings = (
            ask(party, question, key, verifier, now=system_clock(), entropy=system_entropy)[1] for _ in range(number)
        )
        return [SearchRequest(opening=opening) for opening in openings]

    return made


async def spent(lab: CloudLab, threads: int, asked: Sequence[SearchRequest]) -> float:
    """Return the milliseconds of CPU that a Search takes with so many threads."""
    workers, left = Workers(threads, AT_ONCE), iter(asked)

    async def caller() -> None:
        for request in left:
            await workers.run(search, lab.node.cloud, request)

    began = time.process_time()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    taken = time.process_time() - began
    workers.close()
    return 1000 * taken / len(asked)


def threads_compared() -> None:
    """Print what a Search costs by the number of threads, in turns."""
    with (
        tempfile.TemporaryDirectory() as place,
        Bench(Mode.QUICK, Path(place)) as bench,
        cloud_lab(bench.new_directory("lab"), softhsm_maker(bench), pin_from_value(PIN)) as lab,
    ):
        made = asker(lab)
        taken: dict[int, list[float]] = {threads: [] for threads in THREADS}
        for turn in range(ROUNDS):
            # Forwards and backwards: what comes first in a round pays for what the one before it left.
            for threads in THREADS[:: 1 - 2 * (turn % 2)]:
                taken[threads].append(asyncio.run(spent(lab, threads, made(SEARCHES))))
    print("| worker threads | CPU ms a Search, each round |\n| --- | --- |")
    for threads, each in taken.items():
        print(f"| {threads} | {', '.join(f'{one:.2f}' for one in each)} |")


def main() -> None:
    """Measure, ask, and print Markdown."""
    pythons = [word for word in sys.argv[1:] if not word.startswith("-")]
    threads_compared()
    for python in (sys.executable, *pythons):
        print(f"\nPython {told(python, _LOCK)}\n\n| package | in an interpreter of its own |\n| --- | --- |")
        for package, module in PACKAGES.items():
            print(f"| {package} | {told(python, _LOADS, module)} |", flush=True)
    if "--wheels" in sys.argv:
        print("\n| package | for free-threaded Python 3.14 |\n| --- | --- |")
        for package in PACKAGES:
            print(f"| {package} | {wheel(package)} |", flush=True)


if __name__ == "__main__":
    main()
