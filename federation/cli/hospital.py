"""`medunion hospital`: make, register and run a hospital; its enrolment desk, its records, its logs."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
import segno

from federation.cli.common import (
    PinChoice,
    TokenChoice,
    ask_ticket,
    blobs_option,
    database_options,
    directory_option,
    keys_in_token_option,
    pin_options,
    tell_unfinished,
    token_options,
)
from federation.cli.hospital_import import import_records
from federation.cli.hospital_rotate import publish_again, rotate
from federation.cli.init_options import HospitalPlan, hospital_options
from federation.cli.records import records
from federation.cli.records_erase import erase
from federation.cli.serving import Ready, Server, Serving, run, serve_options
from federation.hospital.node import HospitalNode, init_hospital
from federation.party.audit import AuditEntry
from federation.party.node_directory import NodeDirectory
from federation.party.ticket import parse_ticket, ticket_text
from federation.processes.hospital import serve
from federation.processes.worker_slot import Place
from federation.settings import BlobSettings, DatabaseSettings, HospitalSettings
from hsm import PinProvider
from keystore.party import HospitalKeys

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def hospital() -> None:
    """Make, register and run a hospital."""


records.add_command(erase)
for command in (import_records, records, rotate, publish_again):
    hospital.add_command(command)


def open_node(directory: NodeDirectory, pin: PinChoice) -> HospitalNode:
    """Open the node of a directory with the PIN that the command line names."""
    return HospitalNode(directory, pin.provider(directory.settings(HospitalSettings).token))


@hospital.command()
@directory_option
@hospital_options
@keys_in_token_option
@database_options
@blobs_option
@token_options
def init(
    directory: NodeDirectory,
    plan: HospitalPlan,
    keys_in_token: bool,
    database: DatabaseSettings,
    blobs: BlobSettings,
    token: TokenChoice,
) -> None:
    """Make a hospital's keys in its token, its store and its settings; `medunion init` leads through more."""
    bundle = plan.bundle()
    settings = replace(plan.settings(token.settings(directory), bundle), database=database, blobs=blobs)
    tell_unfinished(directory)
    keys_in = HospitalKeys if keys_in_token else None
    init_hospital(directory, settings, bundle, token.pin.provider(settings.token), keys_in)
    click.echo(
        f"{plan.identity} is made in {directory.path}. Next: register it with the ticket of the cloud's operator."
    )


@hospital.command()
@directory_option
@pin_options
@click.option("--ticket", help="The ticket of the public cloud's operator; it is asked for if it is left out.")
@click.option(
    "--licence", type=_FILE, required=True, help="The hospital's licence; its digest goes into the credential."
)
def register(directory: NodeDirectory, pin: PinChoice, ticket: str | None, licence: Path) -> None:
    """Register with the public cloud, and have the TLS identity certified. What failed half-way goes on here."""
    with open_node(directory, pin) as node:
        text = "" if node.member.is_registered else ask_ticket(ticket)
        node.register(licence.read_bytes(), parse_ticket(text) if text else b"")
        click.echo(f"{node.settings.identity} is registered.")


@hospital.command("serve")
@serve_options
def serve_command(serving: Serving) -> None:
    """Serve doctors and patients until SIGTERM or SIGINT; at SIGUSR2 a successor takes over."""
    settings = serving.directory.settings(HospitalSettings)

    async def serve_here(pin: PinProvider, place: Place, stop: asyncio.Event, ready: Ready) -> None:
        with HospitalNode(serving.directory, pin) as node:
            await serve(node, stop, lambda address: ready({"address": address}), place)

    run(
        serving,
        Server(
            kind="hospital",
            listen=(settings.listen,),
            settings=settings.server,
            token=settings.token,
            serve=serve_here,
            words=lambda ready: f"{settings.identity} serves at {ready['address']}",
        ),
    )


@hospital.command()
@directory_option
@pin_options
@click.argument("patient_id", metavar="P:ID")
@click.option("--qr/--no-qr", default=True, help="Show the ticket as QR code too.")
def ticket(directory: NodeDirectory, pin: PinChoice, patient_id: str, qr: bool) -> None:
    """Get a ticket for a patient whom the enrolment desk has identified, to be shown once."""
    with open_node(directory, pin) as node:
        issued = node.issue_ticket(patient_id)
    text = ticket_text(issued.ticket)
    click.echo(f"Ticket for {patient_id}, good once, until {_moment(issued.expires_at)}:\n\n    {text}\n")
    if qr:
        segno.make(text, micro=False).terminal(compact=True)


@hospital.command()
@directory_option
@pin_options
@click.option("--after", type=click.IntRange(min=0), default=0, help="Show entries after this number.")
@click.option("--verify", is_flag=True, help="Check the chain of the whole log first.")
def log(directory: NodeDirectory, pin: PinChoice, after: int, verify: bool) -> None:
    """Show who was given, or refused, what: one entry a line, as JSON."""
    with open_node(directory, pin) as node:
        if verify:
            click.echo(f"{node.hospital.audit.verify()} entries, the chain holds", err=True)
        for entry in node.hospital.audit.entries(after=after):
            click.echo(_line(entry))


@hospital.command()
@directory_option
@pin_options
@click.option("--publish", is_flag=True, help="Attempt what is due now.")
def outbox(directory: NodeDirectory, pin: PinChoice, publish: bool) -> None:
    """Count the records that the public cloud's index does not know yet."""
    with open_node(directory, pin) as node:
        if publish:
            node.cloud.refresh(node.member)
            click.echo(f"{node.outbox.publish_due()} published.")
        click.echo(f"{node.hospital.stores.outbox.size()} waiting.")


def _line(entry: AuditEntry) -> str:
    return json.dumps({"sequence": entry.sequence, "at": _moment(entry.at)} | vars(entry.event), default=bytes.hex)


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
