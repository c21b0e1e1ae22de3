"""`medunion patient accesses`: who looked for, read and wrote one's own records, or of whom one stands for."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import safefiles
from federation.cli import terminal
from federation.cli.exit_codes import ExitCode
from federation.cli.groups import Command
from federation.cli.options import (
    DIRECTORY_OPTION,
    AddressParameter,
    IdentityParameter,
    OutputFile,
    json_option,
    moment,
)
from federation.cli.patient_options import deputy_option, opened_patient, sensor_option
from federation.cli.terminal import say
from federation.cli.times import Time
from federation.clinical.text import counted
from federation.clock import system_clock
from federation.errors import FederationError
from federation.party.node_directory import NodeDirectory
from federation.person.accesses import (
    EMERGENCIES_UNASKED,
    FORKED,
    KEPT_AS_EVIDENCE,
    AccessList,
    AccessReading,
    ToldAccess,
    emergency_words,
)
from federation.person.patient import PatientClient
from federation.protocol.access_log import GROUND_NAMES, KIND_NAMES
from federation.protocol.judged_logs import OF_LOGS
from federation.protocol.log_head import Origin
from federation.protocol.time import Instant
from federation.protocol.told_log import ToldLog
from federation.words import local_time, plain
from keystore.identities import PatientId


@click.command(cls=Command)
@DIRECTORY_OPTION
@deputy_option
@click.option("--since", type=Time(), help="Accesses from this day or time on only.")
@click.option(
    "--ask",
    "named",
    type=(IdentityParameter("hospital"), AddressParameter()),
    multiple=True,
    metavar="H:ID HOST:PORT",
    help="Ask this hospital, and nobody else; may be repeated.",
)
@json_option
@click.option("--fhir", type=OutputFile(), help="Write them there, too, as a FHIR R4 Bundle of AuditEvents, JSON.")
@click.option(
    "--evidence",
    type=OutputFile(),
    help="Write what logs told you there, too, at this look and before, with what proves it: for a judge, unencrypted.",
)
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
    evidence: Path | None,
    trace: Path | None,
    dial_only: tuple[str, ...],
    sensor: Path | None,
) -> None:
    """Show who accessed your records: at the public cloud, and at the hospitals that have some.

    What a hospital was asked that has none of your records is there, too: name it by --ask.
    """
    with terminal.trace_file(trace) as file, opened_patient(directory, sensor, file, dial_only=dial_only) as opened:
        reader, cloud_id = PatientId(opened.member.identity), opened.member.anchors.cloud_id
        reading = AccessReading(opened.client, reader, cloud_id, deputy_for, say, on_page=_tell_of_page)
        found = reading.all(named)
        listed = replace(found, told=[one for one in found.told if since is None or one.access.at >= since])
        for party_id, error in found.missing.items():
            kept = f" {KEPT_AS_EVIDENCE}" if isinstance(error, FORKED) else ""
            say(f"WHO ASKED AT {party_id} IS MISSING. {plain(error)}{kept}")
        if fhir is not None:
            safefiles.replace(fhir, listed.as_fhir(now=system_clock()))
            say(f"{counted(len(listed.told), 'AuditEvent')} written to {fhir}.")
        reading.remember()
        if evidence is not None:
            terminal.export_evidence(opened.client.book, evidence, kinds=OF_LOGS)
    if as_json:
        missing = {party_id: error.reason for party_id, error in found.missing.items()}
        told = [_as_json(one) for one in listed.told]
        logs = [_log_as_json(party_id, log) for party_id, log in listed.logs.items()]
        click.echo(json.dumps({"accesses": told, "missing": missing, "logs": logs, "warnings": listed.warnings}))
    else:
        _show(listed)
    if found.missing:
        raise click.exceptions.Exit(ExitCode.REFUSED)


def tell_of_emergencies(client: PatientClient, *, err: bool = False) -> None:
    """Say in which emergencies one's records were looked for; at each contact with the public cloud, until the log is read."""
    try:
        found = client.new_emergencies()
    except FederationError as error:
        say(f"\n{EMERGENCIES_UNASKED} {plain(error)}", err=err)
        return
    for access in found:
        say(f"\n{emergency_words(access)}", err=err)
        say("`medunion patient accesses` says what was read.", err=err)


def _tell_of_page(told: ToldLog) -> None:
    """Say how far a log is read that takes more than one answer."""
    if told.older is not None and told.entries:
        author_id = Origin.read(told.head.head.origin).author_id
        say(f"{len(told.entries)} of {told.entries[0].number} entries of {author_id} read; the older ones are next.")


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
        told.ended + (f"; {told.remark}" if told.remark else ""),
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
        "leaf": entry.leaf_index,
        "remark": told.remark,
        "new": told.is_new,
    }


def _log_as_json(party_id: str, log: ToldLog) -> dict[str, Any]:
    """Return by what a log is proved, for programs."""
    head = log.head.head
    return {
        "where": party_id,
        "origin": head.origin,
        "head": head.size,
        "root": head.root.hex(),
        "cosigned_by": log.cosigners,
        "cosignatures": log.cosignatures,
        "witnessed": log.is_witnessed,
        "began_anew": log.begins_anew,
        "older": log.older,
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
    for words in (*listed.proofs, *listed.warnings):
        say(words)
    for hospital_id in listed.with_older:
        say(f"{hospital_id} HAS OLDER ENTRIES that were not read.")
    if one_sided := sum(one.is_one_sided for one in listed.told):
        say(f"IN A HOSPITAL'S LOG AND NOT IN THE PUBLIC CLOUD'S: {counted(one_sided, 'reading')}.")
    if new := sum(one.is_new for one in listed.told):
        say(f"New since the last look: {new}.")


def _table(told: Sequence[ToldAccess]) -> None:
    for line in _aligned([_row(one) for one in told]):
        say(line)


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True) if width).rstrip()
