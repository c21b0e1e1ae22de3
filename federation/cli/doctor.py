"""`medunion doctor`: a doctor's client, from its keys to a consultation."""

import sys
import time
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

import click
from cryptography.hazmat.primitives.serialization import Encoding

from federation.cli import terminal
from federation.cli.consultation import Desk, Plan
from federation.cli.exit_codes import ExitCode
from federation.cli.groups import Choice, Command, Group
from federation.cli.options import (
    EXISTING,
    TOKEN_URI_FILE,
    OutputFile,
    PinChoice,
    TokenChoice,
    directory_option,
    json_option,
    moment,
    node_options,
    output_option,
    pin_options,
    show_json,
    token_options,
    write_pin_unless_there,
)
from federation.cli.rotation import rotate_group
from federation.cli.terminal import say
from federation.clinical.report import Coding
from federation.errors import FederationError, RenewalNotDue
from federation.party import certificates
from federation.party.node_directory import NodeDirectory
from federation.party.registration import register as register_member
from federation.party.registration import renew_registration, renewal_due
from federation.person import conclusion as conclusion_words
from federation.person.errors import WrongFile
from federation.person.node import OpenDoctor, init_doctor, open_doctor, write_request
from federation.person.profile import DoctorSettings
from federation.person.records import MOST_FETCHED_BYTES
from federation.person.visit_words import duty_words
from federation.protocol.consultation import CONSULTATION_LIFE
from federation.protocol.time import milliseconds
from federation.rotation.person import FORGETTABLE, PURPOSES, doctor_rotation
from federation.settings import ConfigError
from federation.v1.statement_pb2 import ROLE_DOCTOR
from federation.words import plain
from hsm import Pin, PinProvider, pin_from_fd, pin_from_file, pin_from_value
from keystore.errors import CertificateRejected
from keystore.identities import DoctorId, HospitalId

Opened = AbstractContextManager[OpenDoctor]
doctor_client = node_options(open_doctor, DoctorSettings)


rotate = rotate_group(doctor_client, doctor_rotation, PURPOSES, FORGETTABLE)


@click.command(cls=Command)
@directory_option
@click.option("--trust", type=EXISTING, required=True, help="The federation's trust bundle.")
@click.option("--identity", required=True, help="Who you are: D:name.")
@token_options
def init(directory: NodeDirectory, trust: Path, identity: str, token: TokenChoice) -> None:
    """Make your keys, in the token that you name or else in a software token of its own, and a certificate request."""
    named = token.uri is not None or (directory.tokens / TOKEN_URI_FILE).exists()
    settings = token.settings(directory) if named else None
    pin = token.pin.provider(settings) if settings else _new_pin(token.pin)
    request = init_doctor(directory, trust, identity, settings, pin, _kept(token.pin.pin_file))
    if settings is None:
        say("Your keys are in a software token: fit for trying out, not for patients.")
    say(f"Take {request} to your medical authority; its certificate registers you:")
    say(f"  medunion doctor register --directory {directory.path} --certificate FILE")


@click.command(cls=Command)
@doctor_client
@click.option("--certificate", type=EXISTING, required=True, help="Your certificate, DER or PEM.")
def register(opened: Opened, certificate: Path) -> None:
    """Register with the public cloud; your certificate is your ticket. After a rotation of your key: register again."""
    data = read_certificate(certificate)
    with opened as node:
        member, cloud = node.member, node.cloud
        if member.is_registered and renewal_due(member, cloud.clock()):
            try:
                party = renew_registration(member, cloud, data, certificate=data)
            except RenewalNotDue as error:
                from_on = moment(cloud.clock() + milliseconds(error.retry_after))
                say(f"{member.identity} is registered already. {plain(error)} Ask again from {from_on} on.")
                return
        else:
            party = register_member(member, cloud, ROLE_DOCTOR, data, None, certificate=data)
    say(f"{party.identity} is registered.")


@click.command(cls=Command)
@directory_option
@pin_options
def certificate_request(directory: NodeDirectory, pin: PinChoice) -> None:
    """Write a certificate request for your newest identity key, after `rotate prepare identity`."""
    with open_doctor(directory, _pin(directory, pin)) as opened:
        file = write_request(directory, opened)
    say(f"Take {file} to your medical authority; when it has certified it:")
    say(f"  medunion doctor rotate activate identity --directory {directory.path}")
    say(f"  medunion doctor register --directory {directory.path} --certificate FILE")


@click.command(cls=Command)
@directory_option
@click.option("--hospital", "hospital_id", required=True, help="Your hospital: H:name.")
@click.option("--address", required=True, help="Where your hospital is dialled: host:port.")
@click.option("--department", help="Department class under which the encounter is kept, such as cardiology.")
@click.option("--fetch", type=Choice(["all", "none"]), default="all", show_default=True, help="Records to fetch.")
@click.option("--conclusion", help="Your conclusion; asked for when it is not given.")
@click.option("--conclusion-file", type=EXISTING, help="File with your conclusion.")
@click.option("--amend", "amendment", help="With a given conclusion: then sign this in its place. For scripts.")
@click.option("--code", "codes", multiple=True, metavar="ICD10=WORDS", help="A coded diagnosis; may be repeated.")
@click.option("--deposit/--no-deposit", default=True, help="Keep the encounter at your hospital.")
@click.option("--code-file", type=OutputFile(), help="Write the room's code there, too.")
@click.option("--save", type=click.Path(file_okay=False, path_type=Path), help="Save what was read there, unencrypted.")
@click.option("--patience", type=terminal.Amount(min=0, max=720), default=60, help="Minutes to wait for the patient.")
@click.option(
    "--until",
    type=click.DateTime(["%H:%M"]),
    help="See one patient after the other until this time of day, all by one code; write it as 17:00.",
)
@click.option(
    "--code-per-patient", is_flag=True, help="With --until: another code, and another room, for each patient."
)
@click.option(
    "--receipt-timeout", type=terminal.Amount(min=0, max=3600), default=60, help="How long to wait for the receipt."
)
@click.option("--trace", type=OutputFile(), help="Write a line for every message there.")
@click.option(
    "--fetch-at-most",
    "most_megabytes",
    type=terminal.Amount(min=0, min_open=True, max=10_000_000),
    default=MOST_FETCHED_BYTES / 1_000_000,
    show_default=True,
    help="Megabytes to fetch, of all records together.",
)
@terminal.dial_only_option
@pin_options
def consult(
    directory: NodeDirectory,
    hospital_id: str,
    address: str,
    department: str | None,
    fetch: str,
    conclusion: str | None,
    conclusion_file: Path | None,
    amendment: str | None,
    codes: tuple[str, ...],
    deposit: bool,
    code_file: Path | None,
    save: Path | None,
    patience: float,
    until: datetime | None,
    code_per_patient: bool,
    receipt_timeout: float,
    trace: Path | None,
    most_megabytes: float,
    dial_only: tuple[str, ...],
    pin: PinChoice,
) -> None:
    """Open a room, wait for a patient, read its records, diagnose; with --until for one patient after the other."""
    _require_for_several(until, code_per_patient=code_per_patient, given=bool(conclusion or conclusion_file or codes))
    if deposit and department is None:
        raise click.UsageError("--department says where the encounter is kept; or give --no-deposit.")
    if conclusion_file is not None:
        if conclusion is not None:
            raise click.UsageError("Give either --conclusion or --conclusion-file.")
        conclusion = read_conclusion(conclusion_file)
    if amendment is not None and conclusion is None:
        raise click.UsageError("--amend goes with --conclusion or --conclusion-file.")
    plan = Plan(
        hospital_id=HospitalId(hospital_id),
        address=address,
        department=department,
        fetch=fetch == "all",
        conclusion=conclusion,
        amendment=amendment,
        codes=[coding(code) for code in codes],
        deposit=deposit,
        code_file=code_file,
        save=save,
        patience_seconds=patience * 60,
        receipt_seconds=receipt_timeout,
        most_fetched_bytes=round(most_megabytes * 1_000_000),
        until=None if until is None else time.monotonic() + _seconds_until(until),
        code_per_patient=code_per_patient,
    )
    plan.require_usable(DoctorId(directory.settings(DoctorSettings).identity))
    with terminal.trace_file(trace) as file, _opened(directory, pin, file, dial_only) as opened:
        _require_published(department, opened.member.anchors.department_classes)
        Desk(opened.client, opened.member.doctor_id, plan).run()


@click.command(cls=Command)
@directory_option
@click.option("--hospital", "hospital_id", required=True, help="Your hospital: H:name.")
@click.option("--address", required=True, help="Where your hospital is dialled: host:port.")
@terminal.dial_only_option
@pin_options
@json_option
def duty(
    directory: NodeDirectory, hospital_id: str, address: str, dial_only: tuple[str, ...], pin: PinChoice, as_json: bool
) -> None:
    """Ask your hospital where it says that you are on duty now; without it no room opens and nothing is kept."""
    with _opened(directory, pin, None, dial_only) as opened:
        stated = opened.client.duty(HospitalId(hospital_id), address)
    if as_json:
        until = moment(stated.validity.not_after)
        classes = list(stated.department_classes)
        show_json({"hospital": stated.hospital_id, "departments": classes, "until": until})
    else:
        say(f"{duty_words(stated)}.")


@click.command(cls=Command)
@directory_option
@terminal.dial_only_option
@pin_options
def deposit(directory: NodeDirectory, dial_only: tuple[str, ...], pin: PinChoice) -> None:
    """Send the encounters again that your hospital has not signed for yet; what it has already it does not keep twice."""
    with _opened(directory, pin, None, dial_only) as opened:
        waiting = opened.client.waiting_deposits()
        refused = 0
        for prepared in waiting:
            try:
                with terminal.sending(prepared.hospital_id, prepared.size_bytes) as on_sent:
                    receipt = opened.client.deposit(prepared, on_sent)
            except FederationError as error:
                refused += 1
                say(f"{prepared.hospital_id}: {plain(error)}")
            else:
                say(
                    f"{prepared.hospital_id} keeps the encounter as record {receipt.handle.hex()} and has signed for it."
                )
    if not waiting:
        say("No encounter waits.")
    if refused:
        raise click.exceptions.Exit(ExitCode.REFUSED)


@click.group(cls=Group)
def evidence() -> None:
    """What you could show a judge."""


@evidence.command("export")
@doctor_client
@terminal.only_option
@output_option("The file for the judge.")
def export(opened: Opened, numbers: tuple[int, ...], output: Path) -> None:
    """Write every signature that you hold, and what it covers, unencrypted: for a judge."""
    with opened as node:
        terminal.export_evidence(node.client.book, output, numbers)


def read_certificate(path: Path) -> bytes:
    """Read Cert_D, DER or PEM; return DER. Raises WrongFile."""
    try:
        return certificates.read_certificate(path).public_bytes(Encoding.DER)
    except CertificateRejected as error:
        raise WrongFile(f"{error}.") from error


def read_conclusion(path: Path) -> str:
    """Read a conclusion from a file, UTF-8 with or without a byte order mark. Raises BadParameter."""
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError:
        raise click.BadParameter(f"{path} is no text in UTF-8", param_hint="--conclusion-file") from None


def coding(text: str) -> Coding:
    """Read a coded diagnosis. Raises BadParameter."""
    try:
        return conclusion_words.coding(text)
    except conclusion_words.CodeUnreadable as error:
        raise click.BadParameter(str(error), param_hint="--code") from None


def _opened(
    directory: NodeDirectory, pin: PinChoice, trace: TextIO | None, dial_only: tuple[str, ...]
) -> AbstractContextManager[OpenDoctor]:
    return open_doctor(directory, _pin(directory, pin), trace, dial_only=dial_only)


def _pin(directory: NodeDirectory, choice: PinChoice) -> PinProvider:
    return choice.provider(directory.settings(DoctorSettings).token)


def _new_pin(choice: PinChoice) -> PinProvider:
    """Return the PIN for a token that is about to be made: from a file, written if it is not there, or chosen here."""
    if choice.pin_file is not None:
        write_pin_unless_there(choice.pin_file)
        return pin_from_file(choice.pin_file)
    if choice.pin_fd is not None:
        return _held(pin_from_fd(choice.pin_fd)())
    if not sys.stdin.isatty():
        raise ConfigError("a PIN for the new token is needed: give --pin-file or --pin-fd")
    return pin_from_value(click.prompt("A PIN for your new token", hide_input=True, confirmation_prompt=True))


def _require_published(department: str | None, published: frozenset[str]) -> None:
    """Find out before the patient comes, not when the encounter is to be kept."""
    if department is not None and department not in published:
        raise click.BadParameter(f"the federation publishes {', '.join(sorted(published))}", param_hint="--department")


def _require_for_several(until: datetime | None, *, code_per_patient: bool, given: bool) -> None:
    """Nobody signs a conclusion for whoever comes next."""
    if until is not None and given:
        raise click.UsageError(
            "With --until each patient gets a conclusion of its own: give no --conclusion and no --code."
        )
    if code_per_patient and until is None:
        raise click.UsageError("--code-per-patient goes with --until.")


def _seconds_until(until: datetime, now: datetime | None = None) -> float:
    """Return how long it is until a time of this day, or of the night that follows, by the clock of who typed it.

    Raises BadParameter for one that is past, and comes again later than a room lasts.
    """
    now = now or datetime.now().astimezone()
    left = now.replace(hour=until.hour, minute=until.minute, second=0, microsecond=0) - now
    if left <= timedelta():
        left += timedelta(days=1)
        if left > CONSULTATION_LIFE:
            raise click.BadParameter(f"it is past {until:%H:%M} already", param_hint="--until")
    return left.total_seconds()


def _held(pin: Pin) -> PinProvider:
    """Return a PIN that comes only once to whoever asks again."""
    return lambda: pin


def _kept(pin_file: Path | None) -> Path | None:
    return None if pin_file is None else pin_file.resolve()
