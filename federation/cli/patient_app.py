"""`medunion patient app`: visits, diagnoses, consents and records, as pages in the patient's own browser."""

from pathlib import Path

import click

from federation.cli import terminal
from federation.cli.groups import Command
from federation.cli.options import DIRECTORY_OPTION, OutputFile
from federation.cli.page_options import PageChoice, page_options, pages_extra
from federation.cli.patient_options import sensor_option
from federation.cli.terminal import say
from federation.party.node_directory import NodeDirectory


@click.command(cls=Command)
@DIRECTORY_OPTION
@click.option(
    "--patience",
    type=terminal.Amount(min=0, max=720),
    default=60,
    show_default=True,
    help="Minutes that a doctor has to answer, once you agreed.",
)
@page_options
@click.option("--trace", type=OutputFile(), help="Write a line for every message there.")
@terminal.dial_only_option
@sensor_option
def app(
    directory: NodeDirectory,
    patience: float,
    pages: PageChoice,
    trace: Path | None,
    dial_only: tuple[str, ...],
    sensor: Path | None,
) -> None:
    """Visit doctors, give and take back consent, read diagnoses and records in a browser of this computer.

    The page is yours alone: it opens with a reading of your body, which is taken again after a lock. Ctrl-C ends it.
    """
    with pages_extra():
        from federation.pages.app.client import AppClient  # noqa: PLC0415
        from federation.pages.app.side import AppSide  # noqa: PLC0415
        from federation.pages.serve import serve  # noqa: PLC0415
    with terminal.trace_file(trace) as file:
        client = AppClient(directory, sensor, dial_only=dial_only, trace=file, patience_seconds=patience * 60)
        client.begin()
        try:
            serve(AppSide(client), directory.path, lock_after=pages.lock_after, browser=pages.browser, say=say)
        finally:
            client.close()
