"""Identities are typed by what they name: mypy refuses one where another belongs."""

from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parents[2]

HEAD = """
from federation.protocol.access import AccessEvent
from federation.protocol.identities import require_identity
from federation.protocol.index import BlindIndex, BlindPatient, Location
from federation.protocol.verifier import VerifiedParty


def use(party: VerifiedParty, index: BlindIndex, row: BlindPatient, location: Location) -> None:
    patient, doctor = require_identity("patient", "P:alice"), require_identity("doctor", "D:chen")
    hospital, department = location.hospital_id, location.department_id
"""

RIGHT = [
    'AccessEvent("READ", doctor, patient, "*", b"", "consent", "OK")',
    'AccessEvent("READ", party.doctor_id, party.patient_id, "*", b"", "consent", "OK")',
    "index.patients(patient)",
    "row.hospital_key(hospital)",
    'Location(department, b"", doctor)',
    "text: str = patient",
]

SWAPPED = [
    'AccessEvent("READ", patient, doctor, "*", b"", "consent", "OK")',
    'AccessEvent("READ", party.patient_id, party.doctor_id, "*", b"", "consent", "OK")',
    'AccessEvent("READ", doctor, party.identity, "*", b"", "consent", "OK")',
    "index.patients(hospital)",
    'index.patients("P:alice")',
    "row.hospital_key(department)",
    'Location(hospital, b"", doctor)',
    'Location(department, b"", patient)',
]


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give each statement that mypy refuses, and why."""
    directory = tmp_path_factory.mktemp("identities")
    module = directory / "snippet.py"
    module.write_text(HEAD + "".join(f"    {statement}\n" for statement in RIGHT + SWAPPED))
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(directory / "cache")]
    told, _, _ = api.run([*options, "--follow-imports", "silent", "--no-error-summary", "--no-pretty", str(module)])
    lines = module.read_text().splitlines()
    errors = [line.split(":", 3) for line in told.splitlines() if ": error:" in line]
    return {lines[int(number) - 1].strip(): why for _, number, _, why in errors}


@pytest.mark.parametrize("statement", SWAPPED)
def test_a_swapped_identity_is_refused(faults: dict[str, str], statement: str) -> None:
    assert "[arg-type]" in faults[statement]


def test_each_identity_in_its_place_is_not(faults: dict[str, str]) -> None:
    assert set(faults) == set(SWAPPED)
