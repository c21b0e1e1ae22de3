"""Real input: two Synthea bundles and a 12-lead ECG (tests/data/README.md)."""

from pathlib import Path

import pytest

from federation.clinical.ecg import observation_from_dicom

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="session")
def johnnie() -> bytes:
    """A valid bundle of 237 entries."""
    return (DATA / "synthea-johnnie679.json").read_bytes()


@pytest.fixture(scope="session")
def luna() -> bytes:
    """A bundle with two faults."""
    return (DATA / "synthea-luna60.json").read_bytes()


@pytest.fixture(scope="session")
def dicom() -> bytes:
    """A real ECG."""
    return (DATA / "waveform_ecg.dcm").read_bytes()


@pytest.fixture(scope="session")
def observation(dicom: bytes) -> bytes:
    """The same ECG as FHIR."""
    return observation_from_dicom(dicom, subject="P:johnnie679")
