"""`medunion hospital guardian`: who stands for a patient that can't sign, as this hospital's desk has seen the papers."""

from datetime import UTC, datetime
from pathlib import Path

import click

import safefiles
from federation.cli.exit_codes import ExitCode
from federation.cli.groups import Choice, Group
from federation.cli.hospital import Opened, hospital_node
from federation.cli.options import json_option, moment, named_bytes, operator, output_option, show_json
from federation.errors import FederationError
from federation.hospital.guardians import (
    KeptGuardianship,
    end_guardianship,
    guardianship,
    guardianships,
    restate_guardianship,
    state_guardianship,
)
from federation.hospital.node import HospitalNode
from federation.protocol.consent import Ward
from federation.protocol.statements import POWER_NAMES, peek_statement
from federation.protocol.time import Instant
from federation.v1.statement_pb2 import Credential, KeyStatement
from federation.words import sentence
from keystore.identities import PatientId

_POWERS = {name: power for power, name in POWER_NAMES.items()}
ID_BYTES = 16


def _identified(_: click.Context, __: click.Parameter, text: str) -> bytes:
    return named_bytes(text, ID_BYTES, f"{text!r} is not a guardianship's 32 hexadecimal digits")


id_argument = click.argument("guardianship_id", metavar="ID", callback=_identified)
handed = output_option("The file for the guardian, whose client imports it; it holds no secret, and names both.")


@click.group(cls=Group)
def guardian() -> None:
    """State who stands for a patient that can't sign: a child's parent, a court's guardian.

    Both are registered patients. The guardian's own device signs, and every grant of its says for whom and by which
    guardianship.
    """


@guardian.command()
@hospital_node
@click.option("--ward", "patient_id", required=True, metavar="P:ID", help="Whom the guardian stands for.")
@click.option("--guardian", "deputy_id", required=True, metavar="P:ID", help="The guardian.")
@click.option("--basis", required=True, help="On what it rests: a code of this hospital's, such as parent or court.")
@click.option("--officer", required=True, help="Who of the desk has looked at the papers.")
@click.option(
    "--until",
    required=True,
    type=click.DateTime(["%Y-%m-%d"]),
    help="The day, in UTC, on which it ends: of a child's the 18th birthday.",
)
@click.option(
    "--power",
    "powers",
    multiple=True,
    type=Choice(list(_POWERS)),
    help="What the guardian may do; again for more, and by default all of it.",
)
@handed
def state(
    opened: Opened,
    patient_id: str,
    deputy_id: str,
    basis: str,
    officer: str,
    until: datetime,
    powers: tuple[str, ...],
    output: Path,
) -> None:
    """Sign a guardianship, keep it, and write what the guardian's client imports."""
    named = sorted(_POWERS[name] for name in set(powers or _POWERS))
    ends_at = round(until.replace(tzinfo=UTC).timestamp() * 1000)
    ward = Ward(PatientId(patient_id), PatientId(deputy_id), basis, officer, named, ends_at)
    with opened as node:
        kept = state_guardianship(node.hospital, ward, operator())
        _write(output, kept)
        _tell_written(output, kept)


@guardian.command()
@hospital_node
@id_argument
@handed
def restate(opened: Opened, guardianship_id: bytes, output: Path) -> None:
    """Sign a guardianship anew, as it was: each ends with the credential of this hospital that it was signed under."""
    with opened as node:
        kept = restate_guardianship(node.hospital, guardianship_id, operator())
        _write(output, kept)
        _tell_written(output, kept)


@guardian.command("list")
@hospital_node
@click.option("--all", "everything", is_flag=True, help="Those that are over or were ended, too.")
@json_option
def list_guardianships(opened: Opened, everything: bool, as_json: bool) -> None:
    """List the guardianships that stand, and which of them are to be stated anew."""
    with opened as node:
        now, serial = node.clock(), _serial(node)
        found = [kept for kept in guardianships(node.hospital) if everything or kept.state(now) == "stands"]
        if as_json:
            show_json([_fields(kept, now, serial) for kept in found])
        else:
            for kept in found:
                stands = kept.state(now)
                marks = "  STATE ANEW" if stands == "stands" and kept.statement.hospital_serial != serial else ""
                untold = "  HERE ALONE" if stands == "ended" and kept.row.told_at is None else ""
                click.echo(f"{_words(kept)}  {stands}{marks}{untold}")


@guardian.command()
@hospital_node
@id_argument
def end(opened: Opened, guardianship_id: bytes) -> None:
    """End a guardianship before its time: here at once, and everywhere by the public cloud's list.

    If the public cloud doesn't answer, the exit code is 1: give the same command again later.
    """
    with opened as node:
        kept = guardianship(node.hospital, guardianship_id)
        is_news = end_guardianship(node.hospital, kept, operator())
        said = f"{_words(kept)}: {'ended' if is_news else 'was ended before'}"
        if kept.row.told_at is None and kept.row.not_after > node.clock():
            _tell(node, kept, said)
        click.echo(f"{said}, everywhere")


def _tell(node: HospitalNode, kept: KeptGuardianship, said: str) -> None:
    try:
        node.take_back("guardian", kept.shown.guardianship)
    except FederationError as error:
        click.echo(
            f"{said} at this hospital. Elsewhere it stands until {moment(kept.row.not_after)}, for the public cloud was not"
            f" told: {sentence(error)} Give the same command again.",
            err=True,
        )
        raise click.exceptions.Exit(ExitCode.REFUSED) from error
    node.stores.guardianships.told(kept.row.guardianship_id, at=node.clock())


def _write(output: Path, kept: KeptGuardianship) -> None:
    safefiles.replace(output, kept.shown.SerializeToString(deterministic=True))


def _tell_written(output: Path, kept: KeptGuardianship) -> None:
    click.echo(_words(kept))
    click.echo(f"{output} is for {kept.statement.deputy_id}, who takes it so:")
    click.echo(f"  medunion patient mandate accept --directory ... {output.name}")


def _serial(node: HospitalNode) -> bytes:
    credential = peek_statement(KeyStatement, node.member.key_statement).credential
    return Credential.FromString(credential).serial


def _fields(kept: KeptGuardianship, now: Instant, serial: bytes) -> dict[str, object]:
    said, state = kept.statement, kept.state(now)
    return {
        "id": said.guardianship_id.hex(),
        "guardian": said.deputy_id,
        "ward": said.patient_id,
        "basis": said.basis,
        "officer": said.officer,
        "until": moment(kept.row.not_after),
        "powers": [POWER_NAMES[power] for power in said.powers],
        "state": state,
        "state_anew": state == "stands" and said.hospital_serial != serial,
        "told_everywhere": kept.row.told_at is not None,
    }


def _words(kept: KeptGuardianship) -> str:
    said = kept.statement
    powers = ", ".join(POWER_NAMES[power] for power in said.powers)
    until = moment(kept.row.not_after).partition("T")[0]
    people = f"{said.deputy_id} for {said.patient_id}"
    return f"{said.guardianship_id.hex()}  {people}  {said.basis}, seen by {said.officer}  until {until}  {powers}"
