"""`medunion hospital emergencies`: what was read here without consent, and what an officer finds of it."""

import json
from pathlib import Path

import click

from federation.cli.groups import Group
from federation.cli.hospital import Opened, hospital_node
from federation.cli.options import EXISTING, json_option, moment, named_bytes, operator, show_json
from federation.cli.text_file import read_text
from federation.clinical.text import counted, printable
from federation.hospital.emergencies import (
    KeptEmergency,
    accesses_in,
    emergency,
    review_emergency,
)
from federation.hospital.emergencies import (
    emergencies as kept_emergencies,
)
from federation.hospital.node import HospitalNode
from federation.protocol.access import AccessEvent
from federation.protocol.consent import peek_duty
from federation.protocol.time import Instant

DIGEST_BYTES = 32


def _named(_: click.Context, __: click.Parameter, text: str) -> bytes:
    return named_bytes(text, DIGEST_BYTES, f"{text!r} is not an emergency's 64 hexadecimal digits")


id_argument = click.argument("emergency_digest", metavar="ID", callback=_named)


@click.group(cls=Group)
def emergencies() -> None:
    """Review the emergencies in which doctors read records here without their patients' consent.

    Each is reviewed within seven days by an officer, who signs whether it was justified. Until then it is open, and after
    that an alert tells of it.
    """


@emergencies.command("list")
@hospital_node
@click.option("--open", "unreviewed", is_flag=True, help="Those that wait for a review alone.")
@json_option
def list_command(opened: Opened, unreviewed: bool, as_json: bool) -> None:
    """List the emergencies, the oldest first."""
    with opened as node:
        now = node.clock()
        found = kept_emergencies(node.hospital, unreviewed=unreviewed)
    if as_json:
        click.echo(json.dumps([_fields(kept, now) for kept in found], indent=2))
        return
    for kept in found:
        click.echo(f"{_words(kept)}  {_state(kept, now)}")
    if not found:
        click.echo("No emergency waits for a review." if unreviewed else "Nothing was read here in an emergency.")


@emergencies.command()
@hospital_node
@id_argument
@json_option
def show(opened: Opened, emergency_digest: bytes, as_json: bool) -> None:
    """Show an emergency: who declared and who seconded it, from where, and what the log says was asked for."""
    with opened as node:
        kept, now = emergency(node.hospital, emergency_digest), node.clock()
        if as_json:
            show_json(_fields(kept, now) | _details(node, kept))
            return
        click.echo(f"{_words(kept)}  {_state(kept, now)}")
        said, duty = kept.statement, peek_duty(kept.declared.duty)
        where = ", ".join(duty.department_classes) or "no department"
        click.echo(f"  declared {moment(said.not_before)}, until {moment(said.not_after)}, for {said.hospital}")
        click.echo(f"  on duty at {duty.hospital_id} in {where}")
        if said.HasField("second_doctor_id"):
            click.echo(f"  seconded by {said.second_doctor_id}")
        click.echo(f"  SHA-256 of the doctor's note: {said.note_digest.hex()}")
        for entry in accesses_in(node.hospital, kept):
            event = entry.event
            if isinstance(event, AccessEvent):
                click.echo(
                    f"  {moment(entry.at)}  {event.kind}  {event.scope}  {event.reason}  {event.detail}".rstrip()
                )
        if kept.finding is not None:
            review = kept.finding.statement
            click.echo(
                f"  reviewed {moment(review.stated_at)} by {review.officer}: {printable(kept.finding.note, 4_000)}"
            )


@emergencies.command()
@hospital_node
@id_argument
@click.option("--justified/--not-justified", default=None, help="What the officer finds.")
@click.option("--officer", required=True, help="Who decided.")
@click.option("--note", help="Why, in the officer's words.")
@click.option("--note-file", type=EXISTING, help="File with the note instead.")
def review(
    opened: Opened,
    emergency_digest: bytes,
    justified: bool | None,
    officer: str,
    note: str | None,
    note_file: Path | None,
) -> None:
    """Sign what an officer finds of an emergency; it is found once, and stays in the log."""
    if justified is None:
        raise click.UsageError("Give --justified or --not-justified.")
    if (note is None) == (note_file is None):
        raise click.UsageError("Give either --note or --note-file.")
    words = note if note_file is None else read_text(note_file)[0].strip()
    with opened as node:
        kept = emergency(node.hospital, emergency_digest)
        review_emergency(node.hospital, kept, officer, words or "", operator(), justified=justified)
        click.echo(f"{_words(kept)}: {'justified' if justified else 'NOT JUSTIFIED'}, signed")


def _words(kept: KeptEmergency) -> str:
    said = kept.statement
    times = counted(kept.row.accesses, "request")
    return (
        f"{kept.row.emergency_digest.hex()}  {moment(kept.row.declared_at)}  {said.doctor_id} with {said.patient_id}"
        f"  {printable(said.reason_code, 40)}  {times}"
    )


def _state(kept: KeptEmergency, now: Instant) -> str:
    if kept.finding is not None:
        return "justified" if kept.finding.statement.justified else "NOT JUSTIFIED"
    return "OVERDUE" if now >= kept.is_overdue_after else "open"


def _details(node: HospitalNode, kept: KeptEmergency) -> dict[str, object]:
    said, duty = kept.statement, peek_duty(kept.declared.duty)
    accesses = [(entry.at, entry.event) for entry in accesses_in(node.hospital, kept)]
    return {
        "until": moment(said.not_after),
        "for": said.hospital,
        "on_duty_at": duty.hospital_id,
        "departments": list(duty.department_classes),
        "note_digest": said.note_digest.hex(),
        "requests": [
            {"at": moment(at), "kind": it.kind, "scope": it.scope, "reason": it.reason, "detail": it.detail}
            for at, it in accesses
            if isinstance(it, AccessEvent)
        ],
        "finding": None if kept.finding is None else kept.finding.note,
    }


def _fields(kept: KeptEmergency, now: Instant) -> dict[str, object]:
    said, finding = kept.statement, kept.finding
    return {
        "id": kept.row.emergency_digest.hex(),
        "declared": moment(kept.row.declared_at),
        "doctor": said.doctor_id,
        "second": said.second_doctor_id if said.HasField("second_doctor_id") else None,
        "patient": said.patient_id,
        "reason": said.reason_code,
        "accesses": kept.row.accesses,
        "state": _state(kept, now).lower(),
        "reviewed": None if finding is None else moment(finding.statement.stated_at),
        "officer": None if finding is None else finding.statement.officer,
    }
