"""Options that a patient's commands share: whose client it is, and for whom it acts."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from federation.cli.options import DIRECTORY_OPTION, F, IdentityParameter, gather_options
from federation.clinical.text import without_control
from federation.party.node_directory import NodeDirectory
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


@contextmanager
def opened_patient(
    directory: NodeDirectory, sensor: Path | None, trace: TextIO | None = None, *, dial_only: Sequence[str] = ()
) -> Iterator[OpenPatient]:
    """Open a patient's client, and say what waited for the public cloud and was refused by it. Raises as `open_patient`."""
    with open_patient(directory, sensor, trace, dial_only=dial_only) as opened:
        try:
            _tell_refused(opened)
            yield opened
        finally:
            _tell_refused(opened)


def _tell_refused(opened: OpenPatient) -> None:
    for words in opened.client.acts.take_refused():
        click.echo(without_control(words), err=True)


def patient_client(command: F) -> F:
    """Add `--directory` and `--simulated-sensor`, as `opened`: enter it with `with` for the client that they open."""

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        return {"opened": opened_patient(values.pop("directory"), values.pop("sensor"))}

    return gather_options(command, gather, (DIRECTORY_OPTION, sensor_option))
