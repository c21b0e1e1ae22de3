"""`medunion patient`: a patient's client, from enrolment to a signed diagnosis."""

from pathlib import Path
from typing import TextIO

import click

from federation.cli import terminal
from federation.cli.biosignals import read_biosignal
from federation.cli.consent_options import consent_options, require_published
from federation.cli.groups import Command, Group
from federation.cli.options import (
    EXISTING,
    OutputFile,
    ask_ticket,
    directory_option,
    json_option,
    moment,
    output_option,
    show_json,
    ticket_option,
)
from federation.cli.patient_accesses import tell_of_emergencies
from federation.cli.patient_grants import read_consent
from federation.cli.patient_options import SENSOR, Opened, deputy_option, opened_patient, patient_client, sensor_option
from federation.cli.patient_visit import Plan, Visit, show_diagnosis
from federation.cli.rotation import rotate_group
from federation.cli.terminal import say
from federation.errors import FederationError
from federation.party.node_directory import NodeDirectory
from federation.party.registration import parse_ticket
from federation.party.registration import register as register_member
from federation.person.asked import Asked
from federation.person.code import DoctorCode
from federation.person.errors import NoAnswer
from federation.person.node import enrol_patient
from federation.person.patient import Diagnosis, PatientClient
from federation.person.profile import PatientSettings
from federation.rotation.person import FORGETTABLE, PURPOSES, patient_rotation
from federation.v1.statement_pb2 import ROLE_PATIENT
from federation.words import plain
from keystore.identities import PatientId

FETCH_SECONDS = 3.0
"""How long `diagnoses` looks for each that is waited for."""

LOOK_SECONDS = 1.0
"""How long it looks for an amendment, which mostly never comes."""


rotate = rotate_group(patient_client, patient_rotation, PURPOSES, FORGETTABLE)


@click.command(cls=Command)
@directory_option
@click.option("--trust", type=EXISTING, required=True, help="The federation's trust bundle.")
@click.option("--identity", required=True, help="Who you are: P:name.")
@click.option(
    "--simulated-sensor", "sensor", type=SENSOR, required=True, help="File that stands for you; made if absent."
)
def init(directory: NodeDirectory, trust: Path, identity: str, sensor: Path) -> None:
    """Make this device yours: a secret, your (simulated) biometric, and keys in a token that they open together."""
    made = enrol_patient(directory, trust, identity, sensor)
    say("The sensor is SIMULATED: a file stands for your body, nothing of it was measured.")
    if made:
        say(f"{sensor} now stands for you. Whoever has this file and the device can act as you.")
    say(f"{identity} is enrolled on this device. With a ticket from a hospital's desk:")
    say(f"  medunion patient register --directory {directory.path}")


@click.command(cls=Command)
@patient_client
@ticket_option
def register(opened: Opened, ticket_file: TextIO | None) -> None:
    """Register with the public cloud; a ticket is good once."""
    secret = parse_ticket(ask_ticket(ticket_file))
    with opened as node:
        password = node.unlocked.password.value
        party = register_member(node.member, node.cloud, ROLE_PATIENT, password, secret)
    say(f"{party.identity} is registered.")


@click.command(cls=Command)
@directory_option
@click.argument("code")
@click.option("--ecg", type=EXISTING, help="An ECG, DICOM, of at most 16 MiB.")
@click.option("--observation", type=EXISTING, help="A FHIR R4 Observation about you, JSON, of at most 16 MiB.")
@consent_options
@click.option(
    "--consent",
    "proposed",
    type=EXISTING,
    help="Propose the consent that this FHIR R4 Consent says, JSON, instead; what is no grant's to say is refused.",
)
@click.option(
    "--under",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="By this consent, given earlier, instead of a new one; `grants` has its number.",
)
@deputy_option
@terminal.yes_option
@click.option("--wait/--no-wait", default=True, help="Wait for the diagnosis.")
@click.option("--patience", type=terminal.Amount(min=0, max=720), default=60, help="Minutes to wait, for each.")
@click.option("--trace", type=OutputFile(), help="Write a line for every message there.")
@terminal.dial_only_option
@sensor_option
def visit(
    directory: NodeDirectory,
    code: str,
    ecg: Path | None,
    observation: Path | None,
    asked: Asked,
    proposed: Path | None,
    under: int | None,
    deputy_for: PatientId | None,
    yes: bool,
    wait: bool,
    patience: float,
    trace: Path | None,
    dial_only: tuple[str, ...],
    sensor: Path | None,
) -> None:
    """Visit the doctor of CODE: you are shown who that is and what you are about to sign, and are asked.

    Unless you say otherwise, the doctor's hospital may keep the record of this visit, and none of your records is read.
    """
    terminal.require_answer(yes)
    if proposed is not None and (under is not None or not asked.is_usual):
        raise click.UsageError("--consent says for whom, what and how long: give no other option of a consent with it.")
    # Before anybody is asked anything: a file that no doctor can take costs nobody a room.
    whose = PatientId(deputy_for or directory.settings(PatientSettings).identity)
    parsed, biosignal = DoctorCode.parse(code), read_biosignal(ecg, observation, whose)
    with terminal.trace_file(trace) as file, opened_patient(directory, sensor, file, dial_only=dial_only) as opened:
        anchors = opened.member.anchors
        require_published(asked, anchors.department_classes)
        plan = Plan(
            code=parsed,
            biosignal=biosignal,
            asked=asked,
            draft=None if proposed is None else read_consent(proposed, whose, anchors),
            under=under,
            deputy_for=deputy_for,
            yes=yes,
            wait=wait,
            patience_seconds=patience * 60,
        )
        Visit(opened.client, plan, f"medunion patient revoke --directory {directory.path}").run()
        tell_of_emergencies(opened.client)


@click.command(cls=Command)
@directory_option
@terminal.dial_only_option
@sensor_option
@json_option
def diagnoses(directory: NodeDirectory, dial_only: tuple[str, ...], sensor: Path | None, as_json: bool) -> None:
    """Fetch the diagnoses that wait for you, and what amends those that came; show all that you have."""
    with opened_patient(directory, sensor, dial_only=dial_only) as opened:
        _fetch(opened.client, err=as_json)
        found = opened.client.diagnoses()
    if as_json:
        show_json([_fields(diagnosis) for diagnosis in found])
        return
    if not found:
        say("You have no diagnosis.")
    for diagnosis in found:
        show_diagnosis(diagnosis)


def _fetch(client: PatientClient, *, err: bool) -> None:
    """Fetch what waits, and what amends; `err` is where to say what did not come."""
    for waiting in list(client.waiting()):
        doctor_id = waiting.doctor_id
        try:
            client.await_diagnosis(waiting, seconds=FETCH_SECONDS)
        except NoAnswer:
            say(f"{doctor_id} has not sent a diagnosis yet.", err=err)
        except FederationError as error:
            say(f"From {doctor_id}: {plain(error)}", err=err)
    for diagnosed in list(client.amendable()):
        try:
            client.look_for_amendment(diagnosed, seconds=LOOK_SECONDS)
        except FederationError as error:
            whose = f"Whether {diagnosed.doctor_id} has amended a diagnosis"
            say(f"{whose} could not be found out. {plain(error)}", err=err)


def _fields(diagnosis: Diagnosis) -> dict[str, object]:
    """Return a diagnosis as JSON has it; the report is the doctor's FHIR DiagnosticReport as it was signed."""
    return {
        "doctor": diagnosis.doctor_id,
        "signed": moment(diagnosis.sent_at),
        "received": moment(diagnosis.received_at),
        "report": diagnosis.report.decode("utf-8", "replace"),
        "amends": None if diagnosis.amends is None else _fields(diagnosis.amends),
    }


@click.group(cls=Group)
def evidence() -> None:
    """What you could show a judge."""


@evidence.command("export")
@patient_client
@terminal.only_option
@output_option("The file for the judge.")
def export(opened: Opened, numbers: tuple[int, ...], output: Path) -> None:
    """Write every signature that you hold, and what it covers, unencrypted: for a judge."""
    with opened as node:
        terminal.export_evidence(node.client.book, output, numbers)
