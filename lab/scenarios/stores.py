"""What a node keeps its things in: its disk full, its database away; and each as before."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.hosts import Server, wait_until
from lab.scenario import Findings, scenario, verify_log
from lab.world import World, begin_visit

_DISK = "64m"
_PIECE_BYTES = 1 << 16


@scenario(
    "disk-full",
    "B's disk is full when the doctor concludes, and has room again",
    "the doctor is told; `health` and `check` say what is full; then the patient has its diagnosis and B keeps the encounter,"
    " once, without a restart",
)
def disk_full(world: World, found: Findings) -> None:
    """B's directory on a small disk, which somebody else's file fills."""
    hospital, doctor = world.servers["b"], world.doctors["chen"]
    before = hospital.run("records count")
    with _small_disk(hospital) as disk:
        process = hospital.process
        visit = begin_visit(world, "disk-full")
        visit.until_read()
        disk.fill()
        visit.conclude()
        # Whether the diagnosis still finds room in the database's files, and the encounter alone does not.
        told = "Send it again?", "THE ENCOUNTER IS NOT DEPOSITED"
        wait_until(lambda: any(words in visit.doctor.said() for words in told), "the doctor is told")
        wait_until(lambda: "records: NOT_SERVING" in _health(hospital), "B's health tells")
        said = hospital.host.run("check", "--directory", hospital.directory, expect=1)
        found.that("`check` says what is full, and what to do", "[STORE_FULL]" in said and "make room" in said, said)
        disk.clear()
        wait_until(lambda: "NOT_SERVING" not in _health(hospital), "B is well again")
        visit.doctor.type("y")
        visit.finish()
        said = visit.patient.said()
        found.that("the patient has its diagnosis", "Signed by D:chen" in said, visit.said())
        world.keep("b", doctor.run("deposit", expect=None))
        found.that("no deposit waits", "No encounter waits" in doctor.run("deposit"))
        found.that(
            "B has one record more", _count(hospital.run("records count")) == _count(before) + 1, visit.doctor.said()
        )
        found.that("B served on", hospital.process is process and process is not None and process.lives)
        found.that("its log says when it was well", '"records-back"' in hospital.said(), hospital.said())
        verify_log(world, found, "b")


@scenario(
    "database-away",
    "C's PostgreSQL stops while the doctor writes the conclusion, and comes back",
    "the doctor is told that it was not sent, and sends it again; C serves on, without a restart",
)
def database_away(world: World, found: Findings) -> None:
    """C alone has a PostgreSQL; the others are on SQLite."""
    hospital, database = world.servers["c"], world.databases["c"]
    process = hospital.process
    visit = begin_visit(world, "database-away", doctor="okafor", patient="ada")
    visit.until_read()
    database.stop()
    visit.conclude()
    wait_until(lambda: "database: NOT_SERVING" in _health(hospital), "C's health tells")
    said = hospital.host.run("check", "--directory", hospital.directory, expect=1)
    helps = "STORE_UNAVAILABLE" in said and "see that the database runs" in said
    found.that("`check` says what is away, and what to do", helps, said)
    visit.doctor.wait_for_words("Send it again?")
    said = visit.doctor.said()
    found.that("the doctor is told that C answers, and can't", "Not sent. The other side answers" in said, said)
    database.start()
    wait_until(lambda: "NOT_SERVING" not in _health(hospital), "C is well again")
    visit.doctor.type("y")
    found.that("both sides end well", visit.finish() == (0, 0), visit.said())
    found.that("C signed for the encounter", visit.kept, visit.doctor.said())
    found.that("C serves on", hospital.process is process and process is not None and process.lives)
    log = hospital.said()
    found.that("its log says when it was lost, and back", '"database-lost"' in log and '"database-back"' in log, log)
    found.that("and repeats nothing by the second", log.count('"sequence-log"') <= 2, log.count('"sequence-log"'))


def _health(server: Server) -> str:
    return server.host.run("health", "--directory", server.directory, expect=None)


def _count(said: str) -> int:
    return sum(int(line.rpartition(": ")[2]) for line in said.splitlines())


class _Disk:
    """A small disk of its own, on which a directory lies."""

    def __init__(self, directory: Path) -> None:
        self._ballast = directory / "somebody-elses"

    def fill(self) -> None:
        """Write somebody else's file until nothing more goes onto it."""
        with suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(_PIECE_BYTES))

    def clear(self) -> None:
        """Make room."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def _small_disk(server: Server) -> Iterator[_Disk]:
    """Have a server's directory on a disk of its own for the block."""
    directory = server.directory
    disk = _Disk(directory)
    beside = directory.with_name(f"{directory.name}-beside")
    server.kill()
    directory.rename(beside)
    directory.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={_DISK},mode=0700", "none", directory)
    _run("cp", "-a", f"{beside}/.", directory)
    server.restart()
    try:
        yield disk
    finally:
        disk.clear()
        server.kill()
        shutil.rmtree(beside)
        _run("cp", "-a", directory, beside)
        _run("umount", directory)
        directory.rmdir()
        beside.rename(directory)
        server.restart()


def _run(*words: object) -> None:
    subprocess.run([*map(str, words)], check=True)
