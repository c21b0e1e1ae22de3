"""`medunion patient accesses`: who looked for, read and wrote one's own records, or of whom one stands for."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
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
from federation.person.access_log import ReadAccess, accesses_as_fhir, joined
from federation.person.errors import NoDeputy
from federation.person.node import OpenPatient, open_patient
from federation.person.patient import PatientClient
from federation.protocol.access import BEGUN
from federation.protocol.access_log import GROUND_NAMES, KIND_NAMES
from federation.protocol.statements import digest_or_empty
from federation.protocol.time import Instant
from federation.v1.access_pb2 import (
    ACCESS_GROUND_CONSENT,
    ACCESS_GROUND_EMERGENCY,
    ACCESS_GROUND_OWN,
    ACCESS_KIND_ADD,
    ACCESS_KIND_LOG,
    ACCESS_KIND_READ,
    ACCESS_KIND_SEARCH,
    ACCESS_KIND_STORE,
    AccessEntry,
    Deputyship,
)
from federation.v1.statement_pb2 import POWER_LOG, POWER_READ
from federation.words import local_time, plain
from keystore.identities import ANY, HospitalId, PatientId

_WHAT = {
    ACCESS_KIND_SEARCH: "looked for records",
    ACCESS_KIND_READ: "read records",
    ACCESS_KIND_STORE: "kept a visit's record",
    ACCESS_KIND_LOG: "read this log",
    ACCESS_KIND_ADD: "added a document of the patient's own",
}

Fetch = Callable[[], Sequence[AccessEntry]]


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
        reading = _Reading(opened, deputy_for)
        found = [access for access in reading.all(named) if since is None or access.at >= since]
        told = [reading.told(access) for access in sorted(found, key=lambda access: access.at, reverse=True)]
        if fhir is not None:
            listed = [one.access for one in told]
            safefiles.replace(fhir, accesses_as_fhir(reading.patient_id, listed, now=system_clock()))
            say(f"{counted(len(told), 'AuditEvent')} written to {fhir}.")
        reading.remember()
    if as_json:
        click.echo(json.dumps({"accesses": [one.as_json() for one in told], "missing": reading.missing}))
    else:
        _show(told)
    if reading.missing:
        raise click.exceptions.Exit(1)


def tell_of_emergencies(client: PatientClient) -> None:
    """Say in which emergencies one's records were looked for; at each contact with the public cloud, until the log is read."""
    try:
        found = client.new_emergencies()
    except FederationError as error:
        say(f"\nWhether anybody read your records in an emergency could not be asked. {plain(error)}")
        return
    for access in found:
        say(f"\nIN AN EMERGENCY, without your consent, {access.entry.asker_id} asked for your records on")
        say(f"{local_time(access.at)}, {_ended(access.reason)}. `medunion patient accesses` says what was read.")


@dataclass(frozen=True)
class _Told:
    """An access, and what this profile knows of it: by what, in words, and whether it is new."""

    access: ReadAccess
    by: str
    is_new: bool

    @property
    def is_emergency(self) -> bool:
        return self.access.entry.ground == ACCESS_GROUND_EMERGENCY

    def row(self) -> tuple[str, ...]:
        """Return it as a line of the table."""
        access, entry = self.access, self.access.entry
        classes = "every department" if entry.department_class == ANY else entry.department_class
        return (
            "NEW" if self.is_new else "",
            local_time(access.at),
            entry.asker_id,
            f"{_WHAT[entry.kind]} of {classes}",
            f"at {access.party_id}",
            self.by,
            _ended(entry.reason),
        )

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        access, entry = self.access, self.access.entry
        return {
            "at": moment(access.at),
            "where": access.party_id,
            "number": access.number,
            "asker_id": entry.asker_id,
            "kind": KIND_NAMES[entry.kind],
            "department_class": entry.department_class,
            "ground": GROUND_NAMES[entry.ground],
            "by": self.by,
            "reason": entry.reason,
            "authorization": entry.authorization.hex(),
            "new": self.is_new,
        }


class _Reading:
    """One look at the logs."""

    def __init__(self, opened: OpenPatient, deputy_for: PatientId | None) -> None:
        self._client = opened.client
        self._reader = opened.member.identity
        self._cloud_id = opened.member.anchors.cloud_id
        self._deputy_for = deputy_for
        self.patient_id = deputy_for or PatientId(self._reader)
        self._grants = {digest_or_empty("grant", kept.signed): kept.number for kept in self._client.consents.grants()}
        self._read: dict[str, Sequence[AccessEntry]] = {}
        self.missing: dict[str, str] = {}

    def all(self, named: Sequence[tuple[str, str]]) -> list[ReadAccess]:
        """Read the logs of the hospitals that are named, or of the public cloud and every hospital that has records."""
        client = self._client
        client.refresh()
        deputyship = self._deputyship()
        if named:
            places = {HospitalId(hospital_id): address for hospital_id, address in named}
        else:
            self._fetch(self._cloud_id, lambda: client.accesses_at_cloud(deputyship, _tell_more))
            places = self._with_records()
        for hospital_id, address in places.items():
            self._fetch(hospital_id, partial(client.accesses_at, hospital_id, address, deputyship))
        return [access for party_id, entries in self._read.items() for access in joined(party_id, entries)]

    def told(self, access: ReadAccess) -> _Told:
        """Return an access with what is known of it here. What the reader did itself is nothing new to it."""
        is_later = access.number > self._client.last_look.number(self.patient_id, access.party_id)
        return _Told(access, self._by(access.entry), is_later and access.entry.asker_id != self._reader)

    def remember(self) -> None:
        """Keep up to where the logs were read."""
        for party_id, entries in self._read.items():
            self._client.last_look.remember(self.patient_id, party_id, entries)

    def _deputyship(self) -> Deputyship | None:
        return None if self._deputy_for is None else self._client.consents.acting_for(self._deputy_for, POWER_LOG).shown

    def _with_records(self) -> dict[HospitalId, str]:
        """Return the hospitals that have records, and where they are dialled; a deputy finds them by the power to read."""
        try:
            deputy_for = self._deputy_for
            held = None if deputy_for is None else self._client.consents.acting_for(deputy_for, POWER_READ).shown
        except NoDeputy:
            say("Without the power to read, hospitals are not found: name them by --at.")
            return {}
        locations = self._client.find_records(held, _tell_more)
        return {location.hospital.hospital_id: location.address for location in locations}

    def _fetch(self, party_id: str, fetch: Fetch) -> None:
        """Read one log; what can't be had is told, and stops no other."""
        try:
            self._read[party_id] = fetch()
        except FederationError as error:
            self.missing[party_id] = error.reason
            say(f"WHO ASKED AT {party_id} IS MISSING. {plain(error)}")

    def _by(self, entry: AccessEntry) -> str:
        if entry.ground == ACCESS_GROUND_EMERGENCY:
            return "IN AN EMERGENCY, without consent"
        if entry.ground == ACCESS_GROUND_CONSENT:
            number = self._grants.get(entry.grant_digest)
            return "by a consent not given from here" if number is None else f"by your consent no. {number}"
        return self._own(entry.asker_id) if entry.ground == ACCESS_GROUND_OWN else "by nothing"

    def _own(self, asker_id: str) -> str:
        if asker_id == self._reader:
            return "you yourself"
        return "the patient itself" if asker_id == self.patient_id else "a deputy"


def _ended(reason: str) -> str:
    if reason == BEGUN:
        return "begun"
    return "done" if reason == "OK" else f"refused or ended: {reason}"


def _show(told: Sequence[_Told]) -> None:
    emergencies = [one for one in told if one.is_emergency]
    others = [one for one in told if not one.is_emergency]
    if emergencies:
        say(f"IN AN EMERGENCY, {len(emergencies)} in all:")
        _table(emergencies)
    if others:
        say(f"{'Besides, ' if emergencies else 'Accesses, '}{len(others)} in all:")
        _table(others)
    if not told:
        say("Nobody accessed the records.")
    if new := sum(one.is_new for one in told):
        say(f"New since the last look: {new}.")


def _table(told: Sequence[_Told]) -> None:
    for line in _aligned([one.row() for one in told]):
        say(line)


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True) if width).rstrip()


def _tell_more(pages: int) -> None:
    say(f"The public cloud knows of more than is read: {pages} pages more. SOME ARE MISSING.")
