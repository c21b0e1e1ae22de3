"""`medunion hospital evidence` and `public-cloud evidence`: what a server could show a judge."""

from collections.abc import Iterable
from pathlib import Path

import click

import safefiles
from federation.cli.groups import Group
from federation.cli.hospital import Opened, hospital_node
from federation.cli.options import IdentityParameter, output_option
from federation.cli.public_cloud import Opened as OpenedCloud
from federation.cli.public_cloud import cloud_node
from federation.clinical.text import counted
from federation.hospital.evidence import receipts, requests
from federation.party.fork_evidence import forks
from federation.protocol.exhibit import KeptExhibit, write_file
from keystore.identities import PatientId


@click.group("evidence", cls=Group)
def hospital_evidence() -> None:
    """What you could show a judge."""


@hospital_evidence.command("export")
@hospital_node
@click.option(
    "--patient",
    "patient_id",
    type=IdentityParameter("patient"),
    help="Instead: who asked for records of this patient, and by what.",
)
@output_option("The file for the judge.")
def export_of_hospital(opened: Opened, patient_id: PatientId | None, output: Path) -> None:
    """Write the public cloud's receipts, and the forks of others' logs that were found to a file.

    Requests for records are written for one patient alone: they name it, and who has which consent of it.
    """
    with opened as node:
        hospital = node.hospital
        if patient_id is None:
            _write([*receipts(hospital), *forks(hospital.witness.findings.all())], output)
        else:
            _write(requests(hospital, patient_id), output)


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
