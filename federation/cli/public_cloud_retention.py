"""`medunion public-cloud retention` and `forget-hospital`: the public cloud keeps nothing that is over."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import timedelta

import click

from federation.cli.common import PinChoice, directory_option, pin_options
from federation.cli.operators import operator, reason_option
from federation.cloud.node import PublicCloudNode, open_public_cloud
from federation.cloud.retention import count_rows_of, purge_rows_of
from federation.party.node_directory import NodeDirectory
from federation.protocol.identities import require_identity
from federation.protocol.time import milliseconds
from federation.settings import CloudSettings
from federation.store.registrations import ExpiredRows


def _open(directory: NodeDirectory, pin: PinChoice) -> AbstractContextManager[PublicCloudNode]:
    return open_public_cloud(directory, pin.provider(directory.settings(CloudSettings).token))


@click.command()
@directory_option
@pin_options
@click.option(
    "--days", type=click.IntRange(min=0), default=90, show_default=True, help="Keep registrations so long after."
)
@click.option("--confirm", is_flag=True, help="Remove it; without this it is only counted.")
@reason_option
def retention(directory: NodeDirectory, pin: PinChoice, days: int, confirm: bool, reason: str) -> None:
    """Remove what is over: registrations, what they superseded, tickets, kept answers, replay keys."""
    with _open(directory, pin) as node:
        now = node.cloud.clock()
        book, ended_before = ExpiredRows(node.database), now - milliseconds(timedelta(days=days))
        if not confirm:
            _tell(book.count(now=now, ended_before=ended_before))
            click.echo("Nothing is removed yet; give --confirm.")
            return
        removed = book.remove(now=now, ended_before=ended_before)
        told = ", ".join(f"{number} {name}" for name, number in removed.items())
        node.cloud.record("RETENTION", f"{told}; by {operator()}: {reason}", now=node.cloud.clock())
        _tell(removed)


@click.command()
@directory_option
@pin_options
@click.argument("hospital_id", metavar="H:ID")
@click.option("--patient", "patient_id", metavar="P:ID", help="Only what it says of this patient.")
@click.option("--confirm", type=click.IntRange(min=0), metavar="N", help="Take them out, if they are N.")
@reason_option
def forget_hospital(
    directory: NodeDirectory, pin: PinChoice, hospital_id: str, patient_id: str | None, confirm: int | None, reason: str
) -> None:
    """Take every row of a hospital out of the index: one that has left, that publishes all of its records again, or that
    buries a patient under rows."""
    require_identity("hospital", hospital_id)
    if patient_id is not None:
        require_identity("patient", patient_id)
    with _open(directory, pin) as node:
        there = count_rows_of(node.cloud, hospital_id, patient_id)
        if confirm is None:
            click.echo(f"{there} rows; nothing is taken out yet. Give --confirm {there} to take them out.")
            return
        if confirm != there:
            raise click.ClickException(f"there are {there} rows, not {confirm}: nothing was taken out")
        gone = purge_rows_of(node.cloud, hospital_id, patient_id)
        whose = hospital_id if patient_id is None else f"{hospital_id} about {patient_id}"
        detail = f"{gone} rows of {whose}; by {operator()}: {reason}"
        node.cloud.record("FORGET-HOSPITAL", detail, now=node.cloud.clock())
        click.echo(f"{gone} rows are taken out.")


def _tell(counts: Mapping[str, int]) -> None:
    for name, number in counts.items():
        click.echo(f"{number} {name}")
