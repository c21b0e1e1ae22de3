"""`medunion patient app`: visits, diagnoses, consents and records, as pages in the patient's own browser."""

from datetime import timedelta
from pathlib import Path

import click

from federation.cli import terminal
from federation.cli.options import DIRECTORY_OPTION, OutputFile
from federation.cli.patient_options import sensor_option
from federation.cli.terminal import say
from federation.party.node_directory import NodeDirectory
from federation.settings import ConfigError


@click.command()
@DIRECTORY_OPTION
@click.option(
    "--patience",
    type=terminal.Amount(min=0, max=720),
    default=60,
    show_default=True,
    help="Minutes that a doctor has to answer, once you agreed.",
)
@click.option(
    "--lock-after",
    type=terminal.Amount(min=1, max=240),
    default=10,
    show_default=True,
    help="Minutes without a touch after which the page is locked, and the client closed.",
)
@click.option("--browser/--no-browser", default=True, help="Open the page in your browser.")
@click.option("--trace", type=OutputFile(), help="Write a line for every message there.")
@terminal.dial_only_option
@sensor_option
def app(
    directory: NodeDirectory,
    patience: float,
    lock_after: float,
    browser: bool,
    trace: Path | None,
    dial_only: tuple[str, ...],
    sensor: Path | None,
) -> None:
    """Visit doctors, give and take back consent, read diagnoses and records in a browser of this computer.

    The page is yours alone: it opens with a reading of your body, which is taken again after a lock. Ctrl-C ends it.
    """
    try:
        from federation.pages.app.client import AppClient  # noqa: PLC0415 - an extra that other commands do without
        from federation.pages.app.side import AppSide  # noqa: PLC0415
        from federation.pages.serve import serve  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(f"pages need the extra `pages`: {error.name} is not installed") from None
    with terminal.trace_file(trace) as file:
        client = AppClient(directory, sensor, dial_only=dial_only, trace=file, patience_seconds=patience * 60)
        client.begin()
        try:
            serve(AppSide(client), directory.path, lock_after=timedelta(minutes=lock_after), browser=browser, say=say)
        finally:
            client.close()
