"""`medunion doctor emergency`: reading a patient's records without consent, when waiting for it would do harm.

It is asked for with a reason and a note; a second clinician signs at the same desk, or on a machine of its own.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

import safefiles
from federation.cli import terminal
from federation.cli.doctor_options import ClientChoice, client_options
from federation.cli.fetched_records import require_empty, show_directly, show_fetched
from federation.cli.groups import Group
from federation.cli.options import (
    EXISTING,
    AddressParameter,
    IdentityParameter,
    gather_options,
    json_option,
    moment,
    output_option,
    show_json,
)
from federation.cli.terminal import say, yes_option
from federation.cli.text_file import read_text
from federation.clinical.text import counted, printable
from federation.errors import Unavailable
from federation.party.node_directory import NodeDirectory
from federation.person.emergencies import Declared, DoctorEmergencies
from federation.person.emergency_words import FOLLOWS, asked_words, declared_words, until_words
from federation.person.node import OpenDoctor
from federation.person.profile import DoctorSettings
from federation.person.records import MOST_FETCHED_BYTES
from federation.person.visit_words import MORE_THAN_READ
from federation.protocol.consent import Declaration
from federation.words import local_time, plain
from keystore.identities import ANY, DoctorId, HospitalId, PatientId

F = TypeVar("F", bound=Callable[..., Any])

MARK = "emergency-"
"""What the names of saved copies begin with."""

NOTICE = "READ-IN-AN-EMERGENCY.txt"

_NOT_DECLARED = "No emergency is declared, and nobody is asked."
_NOT_SECONDED = "You don't sign this emergency. The declaration alone opens records where one signature is enough."


@click.group(cls=Group)
def emergency() -> None:
    """Read a patient's records without consent, when waiting for it would do harm.

    An emergency lives an hour. Each hospital and the public cloud let it in by their own policy: for which reasons, from which
    departments, and whether a second clinician has to sign.
    """


_DECLARATION = (
    click.option("--hospital", "duty_at", required=True, type=IdentityParameter("hospital"), help="Your hospital."),
    click.option("--address", required=True, help="Where your hospital is dialled: host:port."),
    click.option(
        "--patient", "patient_id", help="Whose records: P:name; asked for, typed or from a card, if left out."
    ),
    click.option("--reason", help="A code that the hospitals let in, such as unconscious; asked for if left out."),
    click.option("--note", help="What you saw, in your words; it stays here, sealed, and its digest goes out."),
    click.option("--note-file", type=EXISTING, help="File with the note instead."),
    click.option(
        "--records-of",
        "hospital",
        type=IdentityParameter("hospital", ANY),
        default=ANY,
        show_default=True,
        help="The one hospital whose records are asked for, or every one.",
    ),
)


def declaration_options(command: F) -> F:
    """Add what is declared, as functions of who seconds it: named `declaration`, beside `duty_at` and `address`."""

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        note, note_file = values.pop("note"), values.pop("note_file")
        names = "patient_id", "reason", "hospital"
        return {
            "declaration": partial(_declaration, note=note, note_file=note_file, **{it: values.pop(it) for it in names})
        }

    return gather_options(command, gather, _DECLARATION)


READING = (
    click.option(
        "--ask",
        "directly",
        type=(IdentityParameter("hospital"), AddressParameter()),
        multiple=True,
        metavar="H:ID HOST:PORT",
        help="Ask this hospital itself where the public cloud does not answer; may be repeated.",
    ),
    click.option(
        "--save", type=click.Path(file_okay=False, path_type=Path), help="Save what is read there, unencrypted."
    ),
    click.option(
        "--fetch-at-most",
        "most_megabytes",
        type=terminal.Amount(min=0, min_open=True, max=10_000_000),
        default=MOST_FETCHED_BYTES / 1_000_000,
        show_default=True,
        help="Megabytes to fetch, of all records together.",
    ),
)


def reading_options(command: F) -> F:
    """Add what is done with what is read, as `save` and `most_megabytes`."""
    return gather_options(command, lambda _: {}, READING)


@emergency.command()
@client_options
@declaration_options
@click.option(
    "--second-directory",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Directory of the second clinician's client, who signs here, too.",
)
@reading_options
@yes_option
def read(
    client: ClientChoice,
    duty_at: str,
    address: str,
    declaration: Callable[[DoctorId | None], Declaration],
    second_directory: Path | None,
    directly: Sequence[tuple[str, str]],
    save: Path | None,
    most_megabytes: float,
    yes: bool,
) -> None:
    """Declare an emergency, find the patient's records, and read them."""
    terminal.require_answer(yes)
    second = None if second_directory is None else client.of(NodeDirectory(second_directory.resolve()))
    named = None if second is None else DoctorId(second.directory.settings(DoctorSettings).identity)
    if save is not None:
        require_empty(save, "--save")
    with client.opened() as opened:
        declared = _declare(opened, declaration(named), HospitalId(duty_at), address, yes=yes)
        if second is None:
            _read(opened.client.emergencies, declared, directly, save, most_megabytes)
            return
    # One after the other: a process has the software tokens of one directory at a time.
    with second.opened() as seconding:
        declared = _second(seconding, declared, yes=yes)
    with client.opened() as opened:
        _read(opened.client.emergencies, declared, directly, save, most_megabytes)


@emergency.command()
@client_options
@declaration_options
@click.option(
    "--second",
    "second_doctor_id",
    type=IdentityParameter("doctor"),
    required=True,
    help="The second clinician, D:name, who signs by `emergency second`.",
)
@output_option("The file for the second clinician; it names the patient.")
@yes_option
def declare(
    client: ClientChoice,
    duty_at: str,
    address: str,
    declaration: Callable[[DoctorId | None], Declaration],
    second_doctor_id: str,
    output: Path,
    yes: bool,
) -> None:
    """Declare an emergency that a second clinician signs at another machine."""
    terminal.require_answer(yes)
    with client.opened() as opened:
        declared = _declare(opened, declaration(DoctorId(second_doctor_id)), HospitalId(duty_at), address, yes=yes)
    safefiles.replace(output, declared.to_bytes())
    say(
        f"{output} is for {second_doctor_id}, who signs it by `medunion doctor emergency second {output.name}`; bring it back"
    )
    say(f"then, and read by `medunion doctor emergency open {output.name}` until {until_words(declared)}.")


@emergency.command()
@client_options
@click.argument("file", type=EXISTING)
@yes_option
def second(client: ClientChoice, file: Path, yes: bool) -> None:
    """Sign a colleague's emergency, in its FILE: you answer for it, too."""
    terminal.require_answer(yes)
    declared = Declared.read(file)
    with client.opened() as opened:
        declared = _second(opened, declared, yes=yes)
    safefiles.replace(file, declared.to_bytes())
    say(f"Signed. {file} goes back to {declared.statement.doctor_id}, until {until_words(declared)}.")


@emergency.command("open")
@client_options
@click.argument("file", type=EXISTING)
@reading_options
def open_command(
    client: ClientChoice,
    file: Path,
    directly: Sequence[tuple[str, str]],
    save: Path | None,
    most_megabytes: float,
) -> None:
    """Find and read the records by an emergency of yours that was seconded, in its FILE, or again within its hour."""
    declared = Declared.read(file)
    if save is not None:
        require_empty(save, "--save")
    with client.opened() as opened:
        _read(opened.client.emergencies, declared, directly, save, most_megabytes)


@emergency.command("list")
@client_options
@json_option
def list_command(client: ClientChoice, as_json: bool) -> None:
    """List the emergencies that you declared, with your notes: an officer may ask for them."""
    with client.opened() as opened:
        kept = opened.client.emergencies.kept()
    if as_json:
        show_json([_fields(declared, note) for declared, note in kept])
        return
    if not kept:
        say("You declared no emergency.")
    for declared, note in kept:
        say(f"{local_time(declared.statement.not_before)}  {declared_words(declared)}\n    {printable(note, 4_000)}")


def _fields(declared: Declared, note: str) -> dict[str, object]:
    said = declared.statement
    return {
        "doctor": said.doctor_id,
        "second": said.second_doctor_id if said.HasField("second_doctor_id") else None,
        "patient": said.patient_id,
        "reason": said.reason_code,
        "for": said.hospital,
        "declared": moment(said.not_before),
        "until": moment(said.not_after),
        "note": note,
    }


def _declaration(
    second_doctor_id: DoctorId | None,
    *,
    patient_id: str | None,
    reason: str | None,
    hospital: str,
    note: str | None,
    note_file: Path | None,
) -> Declaration:
    if note is not None and note_file is not None:
        raise click.UsageError("Give either --note or --note-file.")
    if note_file is not None:
        note = read_text(note_file)[0].strip()
    asked = patient_id or click.prompt("Whose records (P:name, typed or from a card)")
    return Declaration(
        PatientId(asked.strip()),
        reason or click.prompt("For which reason (a code, such as unconscious)"),
        note or click.prompt("What you saw, for who reviews this"),
        hospital,
        second_doctor_id,
    )


def _declare(opened: OpenDoctor, declaration: Declaration, duty_at: HospitalId, address: str, *, yes: bool) -> Declared:
    asker = opened.member.identity
    say(asked_words(asker, declaration.patient_id, declaration.hospital, declaration.reason_code))
    say(FOLLOWS)
    terminal.confirm("Declare this emergency?", yes=yes, unless=_NOT_DECLARED)
    return opened.client.emergencies.declare(declaration, duty_at, address)


def _second(opened: OpenDoctor, declared: Declared, *, yes: bool) -> Declared:
    say(f"\n{opened.member.identity} is asked to sign, as the second clinician:")
    say(f"  {declared_words(declared)}")
    say(FOLLOWS)
    terminal.confirm("Sign this emergency?", yes=yes, unless=_NOT_SECONDED)
    return opened.client.emergencies.second(declared)


def _read(
    emergencies: DoctorEmergencies,
    declared: Declared,
    directly: Sequence[tuple[str, str]],
    save: Path | None,
    most_megabytes: float,
) -> None:
    try:
        locations = emergencies.find(declared, _tell_more)
    except Unavailable as error:
        if not directly:
            raise
        say(
            f"\nThe public cloud does not answer. {plain(error)} OTHER HOSPITALS MAY HAVE MORE than those that are asked."
        )
        _give_notice(declared, save)
        show_directly(partial(emergencies.fetch_directly, declared), directly, most_megabytes, save, MARK)
        return
    if not locations:
        say("\nNo record of this patient is known.")
        return
    say(f"\n{counted(len(locations), 'record')} found:")
    for location in locations:
        say(f"  {location.department_id} at {location.address}")
    _give_notice(declared, save)
    show_fetched(partial(emergencies.fetch, declared), locations, most_megabytes, save, MARK)


def _give_notice(declared: Declared, save: Path | None) -> None:
    if save is not None:
        notice = f"These copies were read in an emergency, without the patient's consent.\n{declared_words(declared)}\n"
        terminal.write_new(save / NOTICE, notice.encode())


def _tell_more() -> None:
    say(f"\n{MORE_THAN_READ}")
