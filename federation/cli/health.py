"""`medunion health`: how a node that serves is, for an operator and for a container's health check.

It is asked every few seconds: it reads no module of `check` and of the nodes.
"""

from datetime import timedelta

import click

from federation.cli.options import directory_option
from federation.monitor.admin import SERVER, conditions
from federation.party.node_directory import NodeDirectory


@click.command()
@directory_option
@click.option(
    "--strict", is_flag=True, help="End with 1 also if the server takes calls and something it needs is away."
)
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=5.0, help="How long to wait for an answer.")
def health(directory: NodeDirectory, strict: bool, seconds: float) -> None:
    """Ask the node that serves in --directory how it is: 0 if it takes calls, 1 if not.

    A server that lost its token or database still takes calls and refuses what needs them: restarting it would not help.
    """
    found = conditions(directory, timedelta(seconds=seconds))
    for condition in found:
        status = "SERVING" if condition.is_serving else "NOT_SERVING"
        click.echo(f"process {condition.process}, {condition.service or 'server'}: {status}")
    if not all(condition.is_serving for condition in found if strict or condition.service == SERVER):
        raise click.exceptions.Exit(1)
