"""Biosignals: out of a patient's file, in words for who sends and who receives one, and saved."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

import safefiles
from federation.cli import terminal
from federation.clinical.drawing import svg
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
from federation.clinical.strictjson import RESOURCE
from federation.words import plain, size


@dataclass(frozen=True)
class Biosignal:
    """What is to be sent, 0 bytes for none, and what its sender has to know of it."""

    data: bytes = b""
    words: Sequence[str] = ("No biosignal.",)


def read_biosignal(ecg: Path | None, observation: Path | None, patient_id: str) -> Biosignal:
    """Read a biosignal, if a file is named: an ECG as an Observation about this patient, or one that is about it already.

    Raises ClickException that names the file and what is wrong with it, OSError.
    """
    if ecg is not None and observation is not None:
        raise click.UsageError("Give either --ecg or --observation.")
    path = ecg or observation
    if path is None:
        return Biosignal()
    try:
        return _read_ecg(path, patient_id) if ecg else _read_observation(path, patient_id)
    except ClinicalError as error:
        raise click.ClickException(f"{path}: {plain(error)}") from error


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


def save_biosignal(directory: Path, biosignal: bytes, patient_id: str) -> None:
    """Save a biosignal, if there is one, and its drawing where it is an ECG."""
    if not biosignal:
        return
    safefiles.make_directory(directory)
    terminal.write_new(directory / "biosignal.json", biosignal)
    with suppress(ClinicalError):
        drawing = svg(leads_from_observation(biosignal), lines=[patient_id])
        terminal.write_new(directory / "ecg.svg", drawing.encode())


def _read_ecg(path: Path, patient_id: str) -> Biosignal:
    data = _read(path)
    biosignal = observation_from_dicom(data, subject=patient_id)
    words = [f"{describe_biosignal(biosignal, patient_id)} ({path})."]
    if person := person_in_dicom(data):
        words.append(f"The file says that it is of {person}. It goes out as {patient_id}'s, without that name.")
    return Biosignal(biosignal, words)


def _read_observation(path: Path, patient_id: str) -> Biosignal:
    data = _read(path)
    require_subject(load_resource(data, "Observation"), patient_id)
    words = describe_biosignal(data, patient_id)
    return Biosignal(data, (f"{words[0].upper()}{words[1:]} ({path}).",))


def _read(path: Path) -> bytes:
    """Read no more than tells that it is too much."""
    with path.open("rb") as file:
        return file.read(RESOURCE.size_bytes + 1)
