"""`medunion patient accesses`: who looked for, read and wrote one's own records, or of whom one stands for."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import safefiles
from federation.cli import terminal
from federation.cli.options import DIRECTORY_OPTION, IdentityParameter, OutputFile, json_option, moment
from federation.cli.patient_options import deputy_option, sensor_option
from federation.cli.terminal import say
from federation.cli.times import Time
from federation.clinical.text import counted
from federation.clock import system_clock
from federation.errors import FederationError
from federation.party.node_directory import NodeDirectory
from federation.person.access_log import accesses_as_fhir
from federation.person.accesses import EMERGENCIES_UNASKED, AccessList, AccessReading, ToldAccess, emergency_words
from federation.person.node import open_patient
from federation.person.patient import PatientClient
from federation.protocol.access_log import GROUND_NAMES, KIND_NAMES
from federation.protocol.time import Instant
from federation.words import local_time, plain
from keystore.identities import PatientId


@click.command()
@DIRECTORY_OPTION
@deputy_option
@click.option("--since", type=Time(), metavar="DATE", help="Accesses from this day or time on only.")
@click.option(
    "--at",
    "named",
    type=(IdentityParameter("hospital"), str),
    multiple=True,
    metavar="H:HOSPITAL ADDRESS",
    help="Ask this hospital at host:port, and nobody else; may be repeated.",
)
@json_option
@click.option("--fhir", type=OutputFile(), help="Write them there, too, as a FHIR R4 Bundle of AuditEvents, JSON.")
@click.option("--trace", type=OutputFile(), help="Write a line for every message there.")
@terminal.dial_only_option
@sensor_option
def accesses(
    directory: NodeDirectory,
    deputy_for: PatientId | None,
    since: Instant | None,
    named: tuple[tuple[str, str], ...],
    as_json: bool,
    fhir: Path | None,
    trace: Path | None,
    dial_only: tuple[str, ...],
    sensor: Path | None,
) -> None:
    """Show who accessed your records: at the public cloud, and at the hospitals that have some.

    What a hospital was asked that has none of your records is there, too: name it by --at.
    """
    with terminal.trace_file(trace) as file, open_patient(directory, sensor, file, dial_only=dial_only) as opened:
        reader, cloud_id = PatientId(opened.member.identity), opened.member.anchors.cloud_id
        reading = AccessReading(opened.client, reader, cloud_id, deputy_for, say)
        found = reading.all(named)
        listed = replace(found, told=[one for one in found.told if since is None or one.access.at >= since])
        for party_id, error in found.missing.items():
            say(f"WHO ASKED AT {party_id} IS MISSING. {plain(error)}")
        if fhir is not None:
            read = [one.access for one in listed.told]
            safefiles.replace(fhir, accesses_as_fhir(listed.patient_id, read, now=system_clock()))
            say(f"{counted(len(read), 'AuditEvent')} written to {fhir}.")
        reading.remember()
    if as_json:
        missing = {party_id: error.reason for party_id, error in found.missing.items()}
        click.echo(json.dumps({"accesses": [_as_json(one) for one in listed.told], "missing": missing}))
    else:
        _show(listed)
    if found.missing:
        raise click.exceptions.Exit(1)


def tell_of_emergencies(client: PatientClient) -> None:
    """Say in which emergencies one's records were looked for; at each contact with the public cloud, until the log is read."""
    try:
        found = client.new_emergencies()
    except FederationError as error:
        say(f"\n{EMERGENCIES_UNASKED} {plain(error)}")
        return
    for access in found:
        say(f"\n{emergency_words(access)}")
        say("`medunion patient accesses` says what was read.")


def _row(told: ToldAccess) -> tuple[str, ...]:
    """Return an access as a line of the table."""
    access = told.access
    return (
        "NEW" if told.is_new else "",
        local_time(access.at),
        access.entry.asker_id,
        told.what,
        f"at {access.party_id}",
        told.by,
        told.ended,
    )


def _as_json(told: ToldAccess) -> dict[str, Any]:
    """Return an access for programs."""
    access, entry = told.access, told.access.entry
    return {
        "at": moment(access.at),
        "where": access.party_id,
        "number": access.number,
        "asker_id": entry.asker_id,
        "kind": KIND_NAMES[entry.kind],
        "department_class": entry.department_class,
        "ground": GROUND_NAMES[entry.ground],
        "by": told.by,
        "reason": entry.reason,
        "authorization": entry.authorization.hex(),
        "new": told.is_new,
    }


def _show(listed: AccessList) -> None:
    emergencies, others = listed.emergencies, listed.others
    if emergencies:
        say(f"IN AN EMERGENCY, {len(emergencies)} in all:")
        _table(emergencies)
    if others:
        say(f"{'Besides, ' if emergencies else 'Accesses, '}{len(others)} in all:")
        _table(others)
    if not listed.told:
        say("Nobody accessed the records.")
    if new := sum(one.is_new for one in listed.told):
        say(f"New since the last look: {new}.")


def _table(told: Sequence[ToldAccess]) -> None:
    for line in _aligned([_row(one) for one in told]):
        say(line)


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True) if width).rstrip()
