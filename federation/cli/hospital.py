"""`medunion hospital`: make, register and run a hospital; its roster, its enrolment desk, its outbox, its log, its keys."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

import click

from federation.cli.groups import Command
from federation.cli.options import (
    EXISTING,
    F,
    ask_ticket,
    gather_options,
    json_option,
    moment,
    node_options,
    show_json,
    ticket_option,
)
from federation.cli.qr import qr_code
from federation.cli.rotation import pace_option, rotate_group, told
from federation.cli.server_log import ServerLog, log_commands
from federation.clock import system_clock
from federation.hospital.node import HospitalNode
from federation.hospital.outbox import publish_again as walk_again
from federation.party.certificates import read_crl
from federation.party.node_directory import read_trust, require_digest
from federation.party.reencryption import Pace, walked
from federation.party.registration import parse_ticket, ticket_text
from federation.party.signed_heads import SignedHeads
from federation.protocol.bundle import TrustedBundle
from federation.rotation.hospital import FORGETTABLE, PURPOSES, hospital_rotation
from federation.settings import HospitalSettings, TokenSettings

Opened = AbstractContextManager[HospitalNode]
hospital_node = node_options(HospitalNode, HospitalSettings)


@dataclass(frozen=True)
class HospitalPlan:
    """What a hospital is to be."""

    identity: str
    trust: Path
    trust_digest: str | None
    listen: str
    address: str | None
    departments: tuple[str, ...]

    def bundle(self) -> TrustedBundle:
        """Read the trust bundle, and require the digest that was given. Raises ConfigError, BundleUnpinned."""
        bundle = read_trust(self.trust)
        if self.trust_digest is not None:
            require_digest(bundle, self.trust_digest)
        return bundle

    def settings(self, token: TokenSettings, bundle: TrustedBundle) -> HospitalSettings:
        """Return its settings; without departments of its own it has one of every class."""
        departments = self.departments or tuple(sorted(bundle.anchors.department_classes))
        return HospitalSettings(self.identity, self.listen, self.address or self.listen, token, departments)


def hospital_options(command: F) -> F:
    """Add what a hospital is to be, as a HospitalPlan named `plan`."""
    names = "identity", "trust", "trust_digest", "listen", "address", "departments"
    return gather_options(
        command, lambda values: {"plan": HospitalPlan(**{name: values.pop(name) for name in names})}, _HOSPITAL
    )


_HOSPITAL = (
    click.option("--identity", required=True, help="The hospital's id, H:name."),
    click.option("--trust", type=EXISTING, required=True, help="The federation's trust.json."),
    click.option(
        "--digest",
        "trust_digest",
        help="Digest of trust.json, that its giver told by another way; spaces don't matter.",
    ),
    click.option("--listen", required=True, help="host:port to listen at; port 0 lets the system choose."),
    click.option("--address", help="host:port where others dial this hospital; by default what it listens at."),
    click.option("--department", "departments", multiple=True, help="A class or class.local; by default every class."),
)


rotate = rotate_group(hospital_node, hospital_rotation, PURPOSES, FORGETTABLE)


def _log_of(node: HospitalNode) -> ServerLog:
    hospital = node.hospital
    heads = partial(SignedHeads.of, node.database, node.keys, node.book, system_clock())
    return ServerLog(hospital.audit, hospital.own_log, hospital.witness, heads)


log, log_archive, log_heads, log_settle, log_anew, accesses = log_commands(
    hospital_node,
    _log_of,
    """Show who was given, or refused, what: one entry a line, as JSON.""",
)


@click.command(cls=Command)
@hospital_node
@ticket_option
@click.option(
    "--licence", type=EXISTING, required=True, help="The hospital's licence; its digest goes into the credential."
)
def register(opened: Opened, ticket_file: TextIO | None, licence: Path) -> None:
    """Register with the public cloud, and have the TLS identity certified. What failed half-way goes on here."""
    with opened as node:
        text = "" if node.member.is_registered else ask_ticket(ticket_file)
        node.register(licence.read_bytes(), parse_ticket(text) if text else b"")
        click.echo(f"{node.settings.identity} is registered.")


@click.command(cls=Command)
@hospital_node
@click.argument("patient_id", metavar="P:ID")
@click.option("--qr/--no-qr", default=True, help="Show the ticket as QR code too.")
def ticket(opened: Opened, patient_id: str, qr: bool) -> None:
    """Get a ticket for a patient whom the enrolment desk has identified, to be shown once."""
    with opened as node:
        issued = node.issue_ticket(patient_id)
    text = ticket_text(issued.ticket)
    click.echo(f"Ticket for {patient_id}, good once, until {moment(issued.expires_at)}:\n\n    {text}\n")
    if qr:
        click.echo(qr_code(text), nl=False)


@click.command(cls=Command)
@hospital_node
@click.argument("file", type=EXISTING)
def crl(opened: Opened, file: Path) -> None:
    """Take an authority's newer list of revoked certificates, while the public cloud is silent; servers have it in minutes."""
    with opened as node:
        authority_id, number = node.member.bring_crl(read_crl(file), system_clock())
    click.echo(f"List {number} of {authority_id} is taken; servers here have it within ten minutes, or started anew.")


@click.command(cls=Command)
@hospital_node
@click.option("--publish", is_flag=True, help="Attempt what is due now.")
@json_option
def outbox(opened: Opened, publish: bool, as_json: bool) -> None:
    """Count the records that the public cloud's index does not know yet."""
    with opened as node:
        published = 0
        if publish:
            node.cloud.refresh(node.member)
            published = node.outbox.publish_due()
        waiting = node.stores.outbox.size()
    if as_json:
        show_json({"published": published, "waiting": waiting})
        return
    if publish:
        click.echo(f"{published} published.")
    click.echo(f"{waiting} waiting.")


@click.command(cls=Command)
@pace_option
@hospital_node
def publish_again(opened: Opened, per_second: float) -> None:
    """Publish every record once more, for a public cloud that lost rows of its index or gives them up in a rotation.

    The serving hospital publishes them; run twice, it publishes none twice as long as they wait.
    """
    with opened as node:
        tally = walked(walk_again(node.hospital), Pace(per_second), told("queued"))
        click.echo(f"{tally.seen} looked at, {tally.changed} queued, {node.stores.outbox.size()} waiting.")
