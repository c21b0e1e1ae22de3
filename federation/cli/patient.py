"""`medunion patient`: a patient's client, from enrolment to a signed diagnosis."""

from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from federation.cli import terminal
from federation.cli.options import (
    DIRECTORY_OPTION,
    EXISTING,
    F,
    OutputFile,
    ask_ticket,
    directory_option,
    gather_options,
)
from federation.cli.rotation import rotate_group
from federation.cli.terminal import say
from federation.clinical.ecg import (
    describe_ecg,
    leads_from_observation,
    observation_from_dicom,
    other_signals,
    person_in_dicom,
)
from federation.clinical.errors import ClinicalError
from federation.clinical.fhir import load_resource
from federation.clinical.identity import require_subject
from federation.clinical.report import summarise
from federation.clinical.strictjson import RESOURCE
from federation.clinical.text import counted, printable
from federation.clock import system_clock
from federation.errors import FederationError, Unavailable
from federation.party.node_directory import NodeDirectory
from federation.party.registration import parse_ticket
from federation.party.registration import register as register_member
from federation.person.code import DoctorCode
from federation.person.consents import KeptGrant, NewGrant
from federation.person.errors import NoAnswer, NoSuchGrant
from federation.person.node import OpenPatient, enrol_patient, open_patient
from federation.person.patient import Diagnosis
from federation.person.profile import PatientSettings
from federation.protocol.access import LONGEST_GRANT, ToDoctor
from federation.protocol.consent import Terms
from federation.protocol.identities import require_identity
from federation.protocol.statements import RIGHT_NAMES
from federation.rotation.person import FORGETTABLE, PURPOSES, patient_rotation
from federation.v1.statement_pb2 import ROLE_PATIENT
from keystore.identities import ANY

FETCH_SECONDS = 3.0
"""How long `diagnoses` looks for each that is waited for."""

_RIGHTS = {name: right for right, name in RIGHT_NAMES.items()}
_SENSOR = click.Path(dir_okay=False, path_type=Path, resolve_path=True)
Opened = AbstractContextManager[OpenPatient]

sensor_option = click.option(
    "--simulated-sensor", "sensor", type=_SENSOR, help="File that stands for the person who holds the device."
)


def patient_client(command: F) -> F:
    """Add `--directory` and `--simulated-sensor`, as `opened`: enter it with `with` for the client that they open."""

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        return {"opened": open_patient(values.pop("directory"), values.pop("sensor"))}

    return gather_options(command, gather, (DIRECTORY_OPTION, sensor_option))


@click.group(cls=terminal.ClientGroup)
def patient() -> None:
    """Visit doctors, give and take back consent, read your diagnoses."""


patient.add_command(rotate_group(patient_client, patient_rotation, PURPOSES, FORGETTABLE))


@patient.command()
@directory_option
@click.option("--trust", type=EXISTING, required=True, help="The federation's trust bundle.")
@click.option("--id", "--identity", "identity", required=True, help="Who you are: P:name.")
@click.option(
    "--simulated-sensor", "sensor", type=_SENSOR, required=True, help="File that stands for you; made if absent."
)
def enrol(directory: NodeDirectory, trust: Path, identity: str, sensor: Path) -> None:
    """Make this device yours: a secret, your (simulated) biometric, and keys in a token that they open together."""
    made = enrol_patient(directory, trust, identity, sensor)
    say("The sensor is SIMULATED: a file stands for your body, nothing of it was measured.")
    if made:
        say(f"{sensor} now stands for you. Whoever has this file and the device can act as you.")
    say(f"{identity} is enrolled on this device. With a ticket from a hospital's desk:")
    say(f"  medunion patient register --directory {directory.path}")


@patient.command()
@patient_client
@click.option("--ticket", help="The ticket from the desk; it is asked for if it is left out.")
def register(opened: Opened, ticket: str | None) -> None:
    """Register with the public cloud; a ticket is good once."""
    secret = parse_ticket(ask_ticket(ticket))
    with opened as node:
        password = node.unlocked.password.value
        party = register_member(node.member, node.cloud, ROLE_PATIENT, password, secret)
    say(f"{party.identity} is registered.")


@patient.command()
@directory_option
@click.argument("code")
@click.option("--ecg", type=EXISTING, help="An ECG, DICOM, of at most 16 MiB.")
@click.option("--observation", type=EXISTING, help="A FHIR R4 Observation about you, JSON, of at most 16 MiB.")
@click.option("--hospital", "hospitals", multiple=True, help="Consent covers this hospital only (repeat for more).")
@click.option("--department", "departments", multiple=True, help="Consent covers this department class only (repeat).")
@click.option("--rights", default="index,read,write", show_default=True, help="What the doctor may do.")
@click.option(
    "--hours",
    type=terminal.Amount(min=0, min_open=True, max=LONGEST_GRANT / timedelta(hours=1)),
    default=24,
    show_default=True,
)
@click.option("--purpose", default="consultation", show_default=True, help="Why, in your words, ASCII.")
@click.option("--no-grant", is_flag=True, help="Consent to nothing beyond this visit.")
@click.option("--wait/--no-wait", default=True, help="Wait for the diagnosis.")
@click.option("--patience", type=terminal.Amount(min=0, max=720), default=60, help="Minutes to wait for it.")
@click.option("--trace", type=OutputFile(), help="Write a line for every message there.")
@terminal.dial_only_option
@sensor_option
def visit(
    directory: NodeDirectory,
    code: str,
    ecg: Path | None,
    observation: Path | None,
    hospitals: tuple[str, ...],
    departments: tuple[str, ...],
    rights: str,
    hours: float,
    purpose: str,
    no_grant: bool,
    wait: bool,
    patience: float,
    trace: Path | None,
    dial_only: tuple[str, ...],
    sensor: Path | None,
) -> None:
    """Visit the doctor of CODE: show who you are, hand over your biosignal, and consent to what your doctor may do."""
    addressed = DoctorCode.parse(code)
    terms = None if no_grant else read_terms(hospitals, departments, rights, hours, purpose)
    # Before anybody is asked anything: a file that no doctor can take costs nobody a room.
    biosignal = read_biosignal(ecg, observation, directory.settings(PatientSettings).identity)
    with terminal.trace_file(trace) as file, open_patient(directory, sensor, file, dial_only=dial_only) as opened:
        _require_published(departments, opened.member.anchors.department_classes)
        view = opened.client.look(addressed)
        to = ToDoctor(view.doctor.doctor_id, view.authority_id)
        waiting = opened.client.visit(view, biosignal, None if terms is None else NewGrant(to, terms))
        doctor_id = waiting.doctor_id
        say(f"{doctor_id} has your biosignal ({terminal.size(len(biosignal))})" + _consent_words(terms))
        if not wait:
            say("`medunion patient diagnoses` fetches the diagnosis later, within twelve hours.")
            return
        say("Waiting for the diagnosis ...")
        show_diagnosis(opened.client.await_diagnosis(waiting, seconds=patience * 60))


@patient.command()
@directory_option
@terminal.dial_only_option
@sensor_option
def diagnoses(directory: NodeDirectory, dial_only: tuple[str, ...], sensor: Path | None) -> None:
    """Fetch the diagnoses that wait for you, and show all that you have."""
    with open_patient(directory, sensor, dial_only=dial_only) as opened:
        for waiting in list(opened.client.waiting()):
            doctor_id = waiting.doctor_id
            try:
                opened.client.await_diagnosis(waiting, seconds=FETCH_SECONDS)
            except NoAnswer:
                say(f"{doctor_id} has not sent a diagnosis yet.")
            except FederationError as error:
                say(f"From {doctor_id}: {terminal.plain(error)}")
        found = opened.client.diagnoses()
    if not found:
        say("You have no diagnosis.")
    for diagnosis in found:
        show_diagnosis(diagnosis)


@patient.command()
@patient_client
def grants(opened: Opened) -> None:
    """List the consents that you gave."""
    with opened as node:
        try:
            node.client.refresh()
        except Unavailable:
            say("The public cloud does not answer: what was taken back lately may not show.")
        found = node.client.consents.grants()
    if not found:
        say("You gave no consent.")
    for kept in found:
        show_grant(kept, system_clock())


@patient.command()
@patient_client
@click.argument("grant_id", metavar="GRANT-ID")
def revoke(opened: Opened, grant_id: str) -> None:
    """Take a consent back, by its number as `grants` shows it."""
    try:
        number = bytes.fromhex(grant_id)
    except ValueError as error:
        raise NoSuchGrant("You gave no consent of this number from here.") from error
    with opened as node:
        node.client.consents.revoke([kept for kept in node.client.consents.grants() if kept.grant.id == number])
    say("Taken back. Hospitals know as soon as they have the next list, within the hour at the latest.")


@patient.group()
def evidence() -> None:
    """What you could show a judge."""


@evidence.command("export")
@patient_client
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
def export(opened: Opened, target: Path) -> None:
    """Write every signature that you hold, and what it covers, to files in TARGET, unencrypted."""
    with opened as node:
        count = terminal.export_evidence(node.client.book, target)
    say(f"{counted(count, 'exhibit')} written to {target}.")


def read_terms(
    hospitals: tuple[str, ...], departments: tuple[str, ...], rights: str, hours: float, purpose: str
) -> Terms:
    """Read what the patient consents to."""
    names = [name.strip() for name in rights.split(",")]
    if not set(names) <= set(_RIGHTS):
        raise click.BadParameter(f"choose from {', '.join(_RIGHTS)}", param_hint="--rights")
    terms = Terms(
        hospitals=tuple(require_identity("hospital", name) for name in hospitals) or (ANY,),
        department_classes=tuple(require_identity("department class", name) for name in departments) or (ANY,),
        rights=tuple(_RIGHTS[name] for name in dict.fromkeys(names)),
        purpose=purpose,
        life=timedelta(hours=hours),
    )
    return terms


def read_biosignal(ecg: Path | None, observation: Path | None, patient_id: str) -> bytes:
    """Read the biosignal: an ECG as an Observation about this patient, or one that is about it already.

    Raises ClickException that names the file and what is wrong with it, OSError.
    """
    path = ecg or observation
    if path is None or (ecg and observation):
        raise click.UsageError("Give either --ecg or --observation.")
    try:
        return _read_ecg(path, patient_id) if ecg else _read_observation(path, patient_id)
    except ClinicalError as error:
        raise click.ClickException(f"{path}: {terminal.plain(error)}") from error


def _read_ecg(path: Path, patient_id: str) -> bytes:
    data = _read(path)
    biosignal = observation_from_dicom(data, subject=patient_id)
    say(f"{path}: {describe_ecg(leads_from_observation(biosignal), other_signals(biosignal))}")
    if person := person_in_dicom(data):
        say(f"The file says that it is of {person}. It goes out as {patient_id}'s, without that name.")
    return biosignal


def _read_observation(path: Path, patient_id: str) -> bytes:
    data = _read(path)
    require_subject(load_resource(data, "Observation"), patient_id)
    return data


def _require_published(departments: tuple[str, ...], published: frozenset[str]) -> None:
    """A consent to a class that nobody has would open nothing, and be noticed in the doctor's room."""
    unknown = sorted(set(departments) - published)
    if unknown:
        names = ", ".join(sorted(published))
        raise click.BadParameter(f"{unknown[0]}: the federation publishes {names}", param_hint="--department")


def _read(path: Path) -> bytes:
    """Read no more than tells that it is too much."""
    with path.open("rb") as file:
        return file.read(RESOURCE.size_bytes + 1)


def show_diagnosis(diagnosis: Diagnosis) -> None:
    """Show a diagnosis, whose signature held when it came."""
    say(f"\nSigned by {diagnosis.doctor_id} on {terminal.moment(diagnosis.sent_at)}:")
    with terminal.going_on("this report"):
        try:
            say(f"  {summarise(diagnosis.report)}")
        except ClinicalError as error:
            say(f"  The report is not readable as FHIR ({error.reason}); it begins: {_beginning(diagnosis.report)}")


def show_grant(kept: KeptGrant, now: int) -> None:
    """Show a consent on two lines."""
    grant = kept.grant
    until = grant.validity.not_after
    over = "ended" if until <= now else f"until {terminal.moment(until)}"
    state = "TAKEN BACK" if kept.is_revoked else over
    rights = ", ".join(RIGHT_NAMES[right] for right in grant.rights)
    say(f"{kept.number}  {grant.grantee}  {state}")
    say(f"  {rights}; hospitals {', '.join(grant.hospitals)}; departments {', '.join(grant.department_classes)}")


def _consent_words(terms: Terms | None) -> str:
    if terms is None:
        return ", and no consent beyond this visit."
    rights = ", ".join(terminal.RIGHTS[RIGHT_NAMES[right]] for right in terms.rights)
    return f", and may {rights} for {terminal.life(terms.life)}."


def _beginning(report: bytes) -> str:
    return printable(report[:200].decode("utf-8", "replace"))
