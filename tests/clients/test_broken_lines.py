"""A record whose line is cut in the middle goes on behind what came, in the reference clients as in Python's."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.stage import Federation, free_address, run
from tests.clients.foreign import certify_doctor, enrol_patient, party
from tests.clients.test_visits import RECORD, Clinic, consult, visit
from tests.slow_line import Line

SLICE_BYTES = 512 * 1024

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class FarHospital:
    """A hospital at the far end of a line."""

    label: str
    line: Line
    root: Path

    def log(self) -> str:
        """Who was given what there."""
        return run("hospital", "log", "--directory", self.root)


@pytest.fixture(scope="module")
def far(stage: Federation) -> Iterator[FarHospital]:
    """Give a hospital that is dialled through a line."""
    listens = free_address()
    line = Line(int(listens.rpartition(":")[2]))
    try:
        stage.add_hospital("far", "--listen", listens, "--address", f"127.0.0.1:{line.port}")
        yield FarHospital("far", line, stage.root / "far")
    finally:
        line.close()


def test_record_whose_line_is_cut_goes_on_behind_what_came(
    stage: Federation, built: str, far: FarHospital, tmp_path: Path
) -> None:
    scan = tmp_path / "scan.bin"
    scan.write_bytes(hashlib.shake_256(built.encode()).digest(8 * SLICE_BYTES))
    patient = enrol_patient(stage, party(stage, built, "patient", f"{built}-far-patient"), "b")
    doctor = certify_doctor(stage, party(stage, built, "doctor", f"{built}-far-doctor"))
    where = "--directory", far.root, "--patient", patient.identity, "--department", "cardiology"
    run("hospital", "import", *where, "--attach", scan, RECORD)
    stage.await_publication(far.label)
    clinic = Clinic(stage, built, patient, doctor, tmp_path, tmp_path)
    saved = tmp_path / "saved"
    before = len(far.log().splitlines())
    far.line.cut_after = far.line.down_bytes + 5 * SLICE_BYTES
    command, code = consult(clinic, "far", "--save", saved)
    visit(clinic, code)
    told = command.wait()
    assert far.line.cut_after is None
    [record] = told["records"]
    [part] = [it for it in record["parts"] if it["size"] == scan.stat().st_size]
    assert (saved / record["handle"] / part["name"]).read_bytes() == scan.read_bytes()
    assert re.search(r"The record from H:far broke off: \d\.\d of \d\.\d MB came", command.log.read_text())
    entries = far.log().splitlines()[before:]
    (again,) = [it for it in entries if "from byte" in it and '"OK"' in it]
    assert int(again.partition("from byte ")[2].split()[0]) % SLICE_BYTES == 0
