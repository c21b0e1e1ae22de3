"""`medunion hospital evidence` and `public-cloud evidence`: what a server could show a judge."""

from collections.abc import Iterable
from pathlib import Path

import click

import safefiles
from federation.cli.groups import Group
from federation.cli.hospital import Opened, hospital_node
from federation.cli.options import output_option
from federation.cli.public_cloud import Opened as OpenedCloud
from federation.cli.public_cloud import cloud_node
from federation.clinical.text import counted
from federation.hospital.evidence import receipts
from federation.party.fork_evidence import forks
from federation.protocol.exhibit import KeptExhibit, write_file


@click.group("evidence", cls=Group)
def hospital_evidence() -> None:
    """What you could show a judge."""


@hospital_evidence.command("export")
@hospital_node
@output_option("The file for the judge.")
def export_of_hospital(opened: Opened, output: Path) -> None:
    """Write the public cloud's receipts, and the forks of others' logs that were found to a file."""
    with opened as node:
        _write([*receipts(node.hospital), *forks(node.hospital.witness.findings.all())], output)


@click.group("evidence", cls=Group)
def cloud_evidence() -> None:
    """What you could show a judge."""


@cloud_evidence.command("export")
@cloud_node
@output_option("The file for the judge.")
def export_of_cloud(opened: OpenedCloud, output: Path) -> None:
    """Write the forks of others' logs that were found to a file."""
    with opened as node:
        _write(forks(node.cloud.witness.findings.all()), output)


def _write(found: Iterable[KeptExhibit], target: Path) -> None:
    kept = list(found)
    safefiles.replace(target, write_file(kept))
    click.echo(f"{counted(len(kept), 'exhibit')} written to {target}.")
