"""Peers: whoever does a part of what a hospital does, with the same bytes in the same run. An absent one is a row that says so.

None of them does the same: what each leaves out stands in its row, and in docs/paper-tables.md.
"""

import json
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.bare.server import bare_server
from benchmarks.meters import MICRO, served_ms
from benchmarks.peers.fhir import FhirServerAbsent, fhir_server
from benchmarks.rows import Bench, Row, Section
from benchmarks.world import PIN, softhsm_maker
from federation.protocol.access import Receiver
from federation.protocol.frames import SLICE_BYTES, pieces
from federation.protocol.record import Received
from federation.protocol.record_hospital import ReceivedQuery
from tests.contents import record_of
from tests.hospital_lab import JOHNNIE, LUNA
from tests.simulator import simulated

MIB: Final = 1 << 20
EACH: Final = 10


def rows(bench: Bench) -> Iterator[Row]:
    """Yield the peers."""
    yield from _services(bench)
    yield from _age(bench)


def _services(bench: Bench) -> Iterator[Row]:
    directory, rounds = bench.new_directory("fhir"), bench.pick(5, 12)
    bundle = directory / "bundle.json"
    size = bundle.write_text(_two_in_one())
    server = bench.shared(bare_server)
    plain = served_ms([server.process], server.unary(200, size, "Logged"), rounds, EACH)
    note = "over TLS: looks one access up, reads a file, writes a log entry, fsynced; no signature, no seal"
    yield Row(f"plain gRPC service, {size / 1000:,.0f} kB", "ms CPU", plain, note=note)
    try:
        with fhir_server(bundle, directory) as fhir:
            for _ in range(20):  # until Node.js has compiled it
                length = fhir.read()
            taken = served_ms([fhir.process], fhir.read, rounds, EACH)
            note = "over HTTPS from memory: no access check, no log"
            yield Row(f"FHIR server (Medplum's router), {length / 1000:,.0f} kB", "ms CPU", taken, note=note)
    except FhirServerAbsent as absent:
        yield Row("FHIR server (Medplum's router)", "ms CPU", failure=str(absent))
    yield Row("FHIR server (HAPI)", "ms CPU", failure="not installed here")


def _two_in_one() -> str:
    """Return two patients' Bundles as one, as a server writes JSON: 0.7 MB."""
    whole, more = (json.loads(path.read_text()) for path in (JOHNNIE, LUNA))
    whole["entry"] += more["entry"]
    return json.dumps(whole, separators=(",", ":"))


def _age(bench: Bench) -> Iterator[Row]:
    """age against a record: both seal content slice by slice, to be opened as it comes."""
    size, rounds = bench.pick(16, 100) * MIB, bench.pick(3, 7)
    content = os.urandom(size)
    if shutil.which("age") is None:
        yield Row(f"age, {size // MIB} MiB", "us CPU a MiB", failure="not installed here (ci/install-benchmarks)")
    else:
        encrypting, decrypting = _age_taken(bench.new_directory("age"), content, rounds)
        note = "ChaCha20-Poly1305 from file to file, X25519 recipient; its start, too"
        yield Row(f"age: {size // MIB} MiB encrypted", "us CPU a MiB", encrypting, note=note)
        yield Row(f"age: {size // MIB} MiB decrypted", "us CPU a MiB", decrypting, note=note)
    sealing, opening = _ours_taken(bench, content, rounds)
    note = "AES-256-GCM and SHA-256 in memory, as messages that are ready to be sent; Sig_H2, too"
    yield Row(f"ours: record of {size // MIB} MiB sealed", "us CPU a MiB", sealing, note=note)
    yield Row(
        f"ours: record of {size // MIB} MiB opened", "us CPU a MiB", opening, note="and found to be what was signed"
    )


def _ours_taken(bench: Bench, content: bytes, rounds: int) -> tuple[list[float], list[float]]:
    """Return CPU microseconds a MiB of a hospital that seals a record, and of a doctor who opens it."""
    record, sealing, opening = record_of(content), [], []
    mib = len(content) / MIB
    with simulated(softhsm_maker(bench), PIN) as federation:
        hospital, doctor, now = federation.hospital_a, federation.doctor, federation.clock.now
        for _ in range(rounds):
            established, requested = federation.establish(hospital, federation.intent(federation.grant()))
            receiving, frame = established.query(now=now)
            query = requested.receive(frame, hospital.verifier(), now=now)
            assert isinstance(query, ReceivedQuery)
            release = query.decide(hospital.verifier(), Receiver(), now=now).recorded()
            sealed = opened = 0.0
            chunks = (record[start : start + MIB] for start in range(0, len(record), MIB))
            slices = pieces(chunks, next_size=lambda _offset: SLICE_BYTES)
            while True:
                began = time.process_time()
                piece = next(slices, None)
                if piece is None:
                    frame = release.end(1, now=now)
                else:
                    release, sliced = release.slice(piece, now=now)
                    frame = sliced.frame
                sent = time.process_time()
                receiving, received = receiving.receive(frame, doctor.verifier(), now=now)
                sealed, opened = sealed + sent - began, opened + time.process_time() - sent
                if piece is None:
                    break
            assert isinstance(received, Received)
            sealing.append(sealed * MICRO / mib)
            opening.append(opened * MICRO / mib)
    return sealing, opening


def _age_taken(directory: Path, content: bytes, rounds: int) -> tuple[list[float], list[float]]:
    plain, sealed, identity, opened = (directory / name for name in ("plain", "sealed", "identity", "opened"))
    plain.write_bytes(content)
    said = subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True, text=True).stderr
    recipient = said.strip().rpartition(" ")[2]
    encrypting = ["age", "-r", recipient, "-o", str(sealed), str(plain)]
    decrypting = ["age", "-d", "-i", str(identity), "-o", str(opened), str(sealed)]
    taken = [[_of_a_child(command) * MIB / len(content) for _ in range(rounds)] for command in (encrypting, decrypting)]
    if opened.read_bytes() != content:
        raise ValueError("age did not give back what it was given")
    return taken[0], taken[1]


def _of_a_child(command: list[str]) -> float:
    """Return the CPU microseconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * MICRO


SECTION: Final = Section(
    "peers",
    "Peers",
    "What others take for a part of it with the same bytes: a plain service, a FHIR server, a tool that encrypts files. None"
    " does the same; what each leaves out stands in its row.",
    rows,
)
