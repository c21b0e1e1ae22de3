"""`medunion health`: how a node that serves is, for an operator and for a container's health check.

It is asked every few seconds: it reads no module of the nodes, and so not those of the options that other commands share.
"""

import json
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click

from federation.cli.exit_codes import ExitCode
from federation.cli.groups import Command
from federation.monitor.conditions import SERVER, conditions


@click.command(cls=Command)
@click.option(
    "--directory",
    required=True,
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    help="Where the node keeps its settings, store and trust bundle.",
)
@click.option(
    "--strict", is_flag=True, help="End with 1 also if the server takes calls and something it needs is away."
)
@click.option("--timeout", type=click.FloatRange(0.1, 60), default=5.0, help="How long to wait for an answer.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")
def health(directory: Path, strict: bool, timeout: float, as_json: bool) -> None:
    """Ask the node that serves in --directory how it is: 0 if it takes calls, 1 if not.

    A server that lost its token or database still takes calls and refuses what needs them: restarting it would not help.
    """
    found = conditions(directory, timedelta(seconds=timeout))
    if as_json:
        click.echo(json.dumps([asdict(condition) for condition in found], indent=2))
    for condition in () if as_json else found:
        status = "SERVING" if condition.is_serving else "NOT_SERVING"
        click.echo(f"process {condition.process}, {condition.service or 'server'}: {status}")
    if not all(condition.is_serving for condition in found if strict or condition.service == SERVER):
        raise click.exceptions.Exit(ExitCode.REFUSED)
