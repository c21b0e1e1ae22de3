"""`medunion patient hide`, `show-again` and `hidden`: records that a patient keeps from everybody else."""

import click

from federation.cli.groups import Command
from federation.cli.options import IdentityParameter, handle_of, json_option, show_json
from federation.cli.patient_options import Opened, deputy_option, patient_client
from federation.cli.terminal import say
from federation.person.hiding import Hiding, hidden_words, hiding_lines
from federation.person.node import OpenPatient
from federation.person.visit_words import WAITS
from federation.protocol.access import Hidden
from keystore.identities import ANY, PatientId


@click.command(cls=Command)
@patient_client
@click.option("--hospital", type=IdentityParameter("hospital"), help="What this hospital has.")
@click.option("--department", type=IdentityParameter("department class"), help="What is of this department class.")
@click.option(
    "--record", type=handle_of, metavar="HANDLE", help="One record of --hospital, as `records list` names it."
)
@click.option("--all", "everything", is_flag=True, help="All records, at every hospital.")
@click.option(
    "--emergency-may-see/--emergency-may-not-see",
    "emergency_overrides",
    default=None,
    help="Whether a doctor who declares an emergency sees what is hidden, all of it. At first none does.",
)
@deputy_option
def hide(
    opened: Opened,
    hospital: str | None,
    department: str | None,
    record: bytes | None,
    everything: bool,
    emergency_overrides: bool | None,
    deputy_for: PatientId | None,
) -> None:
    """Hide records from every doctor, whatever you consented to: for them they are not there, and nothing tells that they are.

    You go on seeing them, and so does a deputy of yours who may hide records. The public cloud's index hides them at once,
    hospitals within seconds.
    """
    if everything == bool(hospital or department or record):
        raise click.UsageError("Say what: --hospital, --department, --record, or --all.")
    if record and not hospital:
        raise click.UsageError("A record is named with its hospital: --record HANDLE --hospital H:NAME.")
    hidden = Hidden(hospital or ANY, department or ANY, record.hex() if record else ANY)
    with opened as node:
        _show(node.client.acts.hide(_whose(node, deputy_for), hidden, emergency_overrides))


@click.command("show-again", cls=Command)
@patient_client
@click.argument("numbers", nargs=-1, type=click.IntRange(min=1), metavar="[NUMBER]...")
@click.option("--all", "everything", is_flag=True, help="Hide nothing any more.")
@deputy_option
def show_again(opened: Opened, numbers: tuple[int, ...], everything: bool, deputy_for: PatientId | None) -> None:
    """Hide something no longer, by its number as `hidden` shows it; doctors see it again as far as you consented."""
    if bool(numbers) == everything:
        raise click.UsageError("Give numbers as `hidden` shows them, or --all.")
    with opened as node:
        _show(node.client.acts.show_again(_whose(node, deputy_for), None if everything else numbers))


@click.command(cls=Command)
@patient_client
@deputy_option
@json_option
def hidden(opened: Opened, deputy_for: PatientId | None, as_json: bool) -> None:
    """Ask the public cloud what is hidden, and how many hospitals have taken it so far."""
    with opened as node:
        found = node.client.hiding.look(_whose(node, deputy_for))
    if not as_json:
        _show(found)
        return
    show_json(
        {
            "hidden": [hidden_words(one) for one in found.restriction.hidden],
            "emergency_may_see": found.restriction.emergency_overrides,
            "hospitals_with": found.hospitals_with,
            "hospitals_without": found.hospitals_without,
        }
    )


def _show(hiding: Hiding | None) -> None:
    if hiding is None:
        say(WAITS)
        return
    for line in hiding_lines(hiding):
        say(line)


def _whose(node: OpenPatient, deputy_for: PatientId | None) -> PatientId:
    return deputy_for or PatientId(node.member.identity)
