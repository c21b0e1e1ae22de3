"""`medunion doctor rotate` and `medunion patient rotate`: the generations of a person's keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from federation.cli.common import F, PinChoice, directory_option, pin_options
from federation.cli.rotation import Opening, rotate_group
from federation.party.node_directory import NodeDirectory
from federation.person.node import open_doctor, open_patient
from federation.person.profile import DoctorSettings
from federation.rotation.person import FORGETTABLE, PURPOSES, doctor_rotation, patient_rotation
from federation.rotation.steps import Rotation

SENSOR = click.Path(dir_okay=False, path_type=Path, resolve_path=True)


def sensor_option(command: F) -> F:
    """Add `--simulated-sensor`: whose body is before the sensor now; the enrolled person's by default."""
    return click.option(
        "--simulated-sensor", "sensor", type=SENSOR, help="File that stands for the person who holds the device."
    )(command)


def _doctor_options(command: F) -> F:
    return directory_option(pin_options(command))


def _patient_options(command: F) -> F:
    return directory_option(sensor_option(command))


@contextmanager
def _opened_doctor(directory: NodeDirectory, pin: PinChoice) -> Iterator[Rotation]:
    with open_doctor(directory, pin.provider(directory.settings(DoctorSettings).token)) as opened:
        yield doctor_rotation(opened)


@contextmanager
def _opened_patient(directory: NodeDirectory, sensor: Path | None) -> Iterator[Rotation]:
    with open_patient(directory, sensor) as opened:
        yield patient_rotation(opened)


rotate_doctor = rotate_group(Opening(_doctor_options, _opened_doctor), PURPOSES, FORGETTABLE)
rotate_patient = rotate_group(Opening(_patient_options, _opened_patient), PURPOSES, FORGETTABLE)
