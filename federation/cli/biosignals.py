"""Biosignals at a terminal: out of a patient's file, and saved."""

from contextlib import suppress
from pathlib import Path

import click

import safefiles
from federation.cli import terminal
from federation.clinical.drawing import svg
from federation.clinical.ecg import leads_from_observation
from federation.clinical.errors import ClinicalError
from federation.clinical.strictjson import RESOURCE
from federation.person.biosignals import Biosignal, ecg_of, observation_of
from federation.words import plain


def read_biosignal(ecg: Path | None, observation: Path | None, patient_id: str) -> Biosignal:
    """Read a biosignal, if a file is named: an ECG as an Observation about this patient, or one that is about it already.

    Raises ClickException that names the file and what is wrong with it, OSError.
    """
    if ecg is not None and observation is not None:
        raise click.UsageError("Give either --ecg or --observation.")
    path = ecg or observation
    if path is None:
        return Biosignal()
    read = ecg_of if ecg else observation_of
    try:
        return read(_read(path), patient_id, str(path))
    except ClinicalError as error:
        raise click.ClickException(f"{path}: {plain(error)}") from error


def save_biosignal(directory: Path, biosignal: bytes, patient_id: str) -> None:
    """Save a biosignal, if there is one, and its drawing where it is an ECG."""
    if not biosignal:
        return
    safefiles.make_directory(directory)
    terminal.write_new(directory / "biosignal.json", biosignal)
    with suppress(ClinicalError):
        drawing = svg(leads_from_observation(biosignal), lines=[patient_id])
        terminal.write_new(directory / "ecg.svg", drawing.encode())


def _read(path: Path) -> bytes:
    """Read no more than tells that it is too much."""
    with path.open("rb") as file:
        return file.read(RESOURCE.size_bytes + 1)
