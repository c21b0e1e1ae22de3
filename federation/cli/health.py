"""`medunion health`: how a node that serves is, for an operator and for a container's health check.

It is asked every few seconds: it reads no module of `check` and of the nodes.
"""

from dataclasses import asdict
from datetime import timedelta

import click

from federation.cli.exit_codes import ExitCode
from federation.cli.groups import Command
from federation.cli.options import directory_option, json_option, show_json
from federation.monitor.admin import SERVER, conditions
from federation.party.node_directory import NodeDirectory


@click.command(cls=Command)
@directory_option
@click.option(
    "--strict", is_flag=True, help="End with 1 also if the server takes calls and something it needs is away."
)
@click.option("--timeout", type=click.FloatRange(0.1, 60), default=5.0, help="How long to wait for an answer.")
@json_option
def health(directory: NodeDirectory, strict: bool, timeout: float, as_json: bool) -> None:
    """Ask the node that serves in --directory how it is: 0 if it takes calls, 1 if not.

    A server that lost its token or database still takes calls and refuses what needs them: restarting it would not help.
    """
    found = conditions(directory, timedelta(seconds=timeout))
    if as_json:
        show_json([asdict(condition) for condition in found])
    for condition in () if as_json else found:
        status = "SERVING" if condition.is_serving else "NOT_SERVING"
        click.echo(f"process {condition.process}, {condition.service or 'server'}: {status}")
    if not all(condition.is_serving for condition in found if strict or condition.service == SERVER):
        raise click.exceptions.Exit(ExitCode.REFUSED)
