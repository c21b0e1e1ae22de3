"""Biosignals: out of a patient's file, and in words for who sends and who receives one."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from federation.clinical.ecg import (
    describe_ecg,
    leads_from_observation,
    observation_from_dicom,
    other_signals,
    person_in_dicom,
)
from federation.clinical.errors import ClinicalError
from federation.clinical.fhir import load_resource
from federation.clinical.identity import require_subject
from federation.clinical.text import printable
from federation.words import size

DICOM_PREAMBLE_BYTES = 128
"""Before a DICOM file's four letters (PS3.10, section 7.1)."""


@dataclass(frozen=True, repr=False)
class Biosignal:
    """What is to be sent, 0 bytes for none, and what its sender has to know of it."""

    data: bytes = b""
    words: Sequence[str] = ("No biosignal.",)


def is_dicom(data: bytes) -> bool:
    """Return whether a file says that it is DICOM."""
    return data[DICOM_PREAMBLE_BYTES : DICOM_PREAMBLE_BYTES + 4] == b"DICM"


def ecg_of(data: bytes, patient_id: str, file_name: str) -> Biosignal:
    """Return a DICOM file's ECG as an Observation about this patient. Raises ClinicalError."""
    biosignal = observation_from_dicom(data, subject=patient_id)
    words = [f"{describe_biosignal(biosignal, patient_id)} ({file_name})."]
    if person := person_in_dicom(data):
        words.append(f"The file says that it is of {person}. It goes out as {patient_id}'s, without that name.")
    return Biosignal(biosignal, words)


def observation_of(data: bytes, patient_id: str, file_name: str) -> Biosignal:
    """Return a FHIR Observation that is about this patient already. Raises ClinicalError, of somebody else's too."""
    require_subject(load_resource(data, "Observation"), patient_id)
    words = describe_biosignal(data, patient_id)
    return Biosignal(data, (f"{words[0].upper()}{words[1:]} ({file_name}).",))


def biosignal_of(data: bytes, patient_id: str, file_name: str) -> Biosignal:
    """Return what a file holds, whichever of the two it is. Raises ClinicalError."""
    read = ecg_of if is_dicom(data) else observation_of
    return read(data, patient_id, printable(file_name, 80))


def describe_biosignal(biosignal: bytes, patient_id: str) -> str:
    """Return in words what a biosignal is, and whether it is this patient's."""
    if not biosignal:
        return "none"
    try:
        observation = load_resource(biosignal, "Observation")
        require_subject(observation, patient_id)
    except ClinicalError as error:
        return f"{size(len(biosignal))}, which is no usable Observation ({error.reason})"
    with suppress(ClinicalError):
        ecg = describe_ecg(leads_from_observation(biosignal), other_signals(biosignal))
        return f"{ecg}, {size(len(biosignal))}"
    return f"an Observation of {size(len(biosignal))}"
