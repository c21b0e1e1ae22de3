"""Options that a patient's commands share: whose client it is, and for whom it acts."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from federation.cli.options import DIRECTORY_OPTION, F, IdentityParameter, gather_options
from federation.person.node import OpenPatient, open_patient

Opened = AbstractContextManager[OpenPatient]

SENSOR = click.Path(dir_okay=False, path_type=Path, resolve_path=True)
sensor_option = click.option(
    "--simulated-sensor", "sensor", type=SENSOR, help="File that stands for the person who holds the device."
)
deputy_option = click.option(
    "--as",
    "deputy_for",
    type=IdentityParameter("patient"),
    metavar="P:ID",
    help="In the name of this patient, whose deputy or guardian you are.",
)


def patient_client(command: F) -> F:
    """Add `--directory` and `--simulated-sensor`, as `opened`: enter it with `with` for the client that they open."""

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        return {"opened": open_patient(values.pop("directory"), values.pop("sensor"))}

    return gather_options(command, gather, (DIRECTORY_OPTION, sensor_option))
