"""`medunion hospital duty`: the roster. Only a doctor who is on it now gets a room here, or a duty that others are shown.

A serving hospital goes by the roster at once: what is added or ended here needs no restart.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click

from federation.cli.exit_codes import ExitCode
from federation.cli.groups import Group
from federation.cli.hospital import Opened, hospital_node
from federation.cli.options import EXISTING, json_option, named_bytes, operator
from federation.cli.text_file import WINDOWS_1252, csv_rows, read_text
from federation.cli.times import Time, has_zone, local, moment_of, zone
from federation.clinical.text import counted
from federation.errors import FederationError, FieldInvalid
from federation.hospital.node import HospitalNode
from federation.hospital.roster import (
    SHIFT_BYTES,
    Span,
    checked_span,
    planned,
    put_on_roster,
    take_off_roster,
)
from federation.party.epochs import as_signed
from federation.protocol.identities import require_identity
from federation.protocol.time import Instant, milliseconds
from federation.store.rows import StoredShift
from federation.words import sentence
from keystore.transcript import digest

COLUMNS = ("doctor", "departments", "from", "until")
USUAL = timedelta(hours=12)
NEXT = timedelta(hours=24)


@click.group(cls=Group)
def duty() -> None:
    """Say who is on duty here: a doctor who isn't gets no room, and deposits nothing.

    A duty is stated by this hospital when its doctor asks for it, and shown to patients, to the public cloud and to other
    hospitals; it lives at most 24 hours. Times are ISO 8601, as 2026-03-01T07:00+01:00; without a zone they are of this
    machine's.
    """


@duty.command()
@hospital_node
@click.argument("doctor_id", metavar="D:ID")
@click.option(
    "--department",
    "classes",
    multiple=True,
    metavar="CLASS",
    help="In which department, by its class, such as cardiology; again for more. None is at the hospital, in no department.",
)
@click.option("--from", "begins", type=Time(), help="When it begins; by default now.")
@click.option("--until", "ends", type=Time(), help="When it ends, not itself included; by default 12 hours later.")
def add(opened: Opened, doctor_id: str, classes: tuple[str, ...], begins: Instant | None, ends: Instant | None) -> None:
    """Put a doctor on duty. What lasts longer than 24 hours becomes several shifts.

    A shift that is on the roster already stays as it is; one that was ended is made again.
    """
    with opened as node:
        now = node.clock()
        not_before = now if begins is None else begins
        not_after = not_before + milliseconds(USUAL) if ends is None else ends
        span = checked_span(node.hospital, doctor_id, classes, not_before, not_after)
        if not_after <= now:
            raise FieldInvalid(f"the shift is over: it ended at {local(not_after)}")
        plan = planned(node.hospital, [span], revive=True)
        if plan.new:
            put_on_roster(node.hospital, plan.new, operator(), f"of {span.doctor_id}")
        for shift in plan.present:
            click.echo(f"{_words(shift)}: on the roster already")
        for shift in plan.new:
            click.echo(_words(shift))


@duty.command("list")
@hospital_node
@click.option("--all", "everything", is_flag=True, help="Every shift that is kept, those that are over or ended, too.")
@json_option
def list_shifts(opened: Opened, everything: bool, as_json: bool) -> None:
    """List who is on duty now, and who is next within 24 hours."""
    with opened as node:
        now = node.clock()
        shifts = list(node.stores.shifts.all(ending_after=0 if everything else now))
    if as_json:
        click.echo(json.dumps([_fields(shift, now) for shift in shifts], indent=2))
    elif everything:
        for shift in shifts:
            click.echo(f"{_words(shift)}  {_state(shift, now)}")
    else:
        _list_now(shifts, now)


def _list_now(shifts: Sequence[StoredShift], now: Instant) -> None:
    on_duty = [shift for shift in shifts if shift.is_on(now)]
    follow = [
        shift for shift in shifts if shift.ended_at is None and now < shift.not_before <= now + milliseconds(NEXT)
    ]
    click.echo("On duty now:" if on_duty else "Nobody is on duty now.")
    for shift in on_duty:
        click.echo(f"  {_words(shift)}")
    if follow:
        click.echo("Next:")
        for shift in sorted(follow, key=lambda shift: (shift.not_before, shift.doctor_id)):
            click.echo(f"  {_words(shift)}")


@duty.command()
@hospital_node
@click.argument("which", metavar="ID|D:ID")
@click.option("--all", "everything", is_flag=True, help="Of a doctor, the shifts that have not begun, too.")
def end(opened: Opened, which: str, everything: bool) -> None:
    """End a shift, or those in which a doctor works now: its rooms close and nothing is deposited here, at once.

    The public cloud takes a duty that was shown back everywhere. If it doesn't answer, the exit code is 1: give the same command
    again later.
    """
    with opened as node:
        shifts = _to_end(node, which, everything=everything)
        by = operator()
        left = [shift for shift in shifts if not _ended(node, shift, by)]
    if left:
        raise click.exceptions.Exit(ExitCode.REFUSED)


def _to_end(node: HospitalNode, which: str, *, everything: bool) -> Sequence[StoredShift]:
    if not which.startswith("D:"):
        found = node.stores.shifts.get(_shift_id(which))
        if found is None:
            raise click.BadParameter(f"there is no shift {which} on the roster")
        return [found]
    now = node.clock()
    shifts = node.stores.shifts.of(require_identity("doctor", which), ending_after=now)
    chosen = [shift for shift in shifts if (shift.not_before <= now or everything) and not _is_settled(shift)]
    if not chosen:
        raise click.ClickException(f"{which} is not on duty now: nothing was ended")
    return chosen


def _is_settled(shift: StoredShift) -> bool:
    """Return whether a shift was ended, and everybody knows who has to."""
    return shift.ended_at is not None and (shift.duty is None or shift.told_at is not None)


def _shift_id(text: str) -> bytes:
    return named_bytes(text, SHIFT_BYTES, f"{text!r} is neither a shift's 32 hexadecimal digits nor D:ID")


def _ended(node: HospitalNode, shift: StoredShift, by: str) -> bool:
    """End a shift here, then everywhere; return whether nothing is left to do."""
    is_news = take_off_roster(node.hospital, shift, by)
    # As it is now: no duty is stated any more, and what was stated is kept.
    left = node.stores.shifts.get(shift.shift_id) or shift
    said = f"{_words(left)}: {'ended' if is_news else 'was ended before'}"
    if left.duty is None:
        click.echo(f"{said}; its duty was shown to nobody")
    elif left.told_at is not None or left.not_after <= node.clock():
        click.echo(f"{said}, everywhere")
    else:
        try:
            node.take_back("duty", as_signed(left.duty))
        except FederationError as error:
            click.echo(
                f"{said} at this hospital. Elsewhere the duty stands until {local(left.not_after)}, for the public cloud"
                f" was not told: {sentence(error)} Give the same command again.",
                err=True,
            )
            return False
        node.stores.shifts.told(left.shift_id, at=node.clock())
        click.echo(f"{said}, everywhere")
    return True


@dataclass(frozen=True)
class Line:
    """A line of a roster file: its number, what it says, or what is wrong with it."""

    number: int
    span: Span | None = None
    fault: str = ""
    is_local: bool = False


@duty.command("import")
@hospital_node
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.argument("roster", type=EXISTING, metavar="FILE")
def import_roster(opened: Opened, dry_run: bool, roster: Path) -> None:
    """Put the shifts of a CSV file on the roster, with the columns doctor,departments,from,until.

    Departments are classes with a space between; an empty field is at the hospital, in no department. Comma, semicolon or tab,
    in UTF-8, UTF-16 or Windows-1252, as Excel writes it. Every line is checked first: if one is bad, each bad one is named and
    nothing changes. Shifts are only added: what is on the roster already stays, and so does the end of what was ended by hand;
    importing a file again changes nothing.
    """
    text, _ = read_text(roster, fallback=WINDOWS_1252)
    with opened as node:
        lines = list(_lines(node, roster, text))
        faults = [line for line in lines if line.fault]
        for line in faults:
            click.echo(f"{roster}, line {line.number}: {line.fault}", err=True)
        if faults:
            raise click.ClickException(f"{counted(len(faults), 'line')} of {len(lines)} are bad: nothing was changed")
        if not lines:
            raise click.ClickException(f"{roster} holds no shift")
        plan = planned(node.hospital, [line.span for line in lines if line.span is not None])
        if plan.new and not dry_run:
            name = digest(text.encode()).hex()[:16]
            put_on_roster(node.hospital, plan.new, operator(), f"imported from a file of SHA-256 {name}...")
    if any(line.is_local for line in lines):
        click.echo(f"Times without a zone were taken as this machine's, {zone()} now.")
    for shift in plan.new:
        click.echo(_words(shift))
    kept = len(plan.present) - len(plan.ended)
    click.echo(
        f"{counted(len(plan.new), 'shift')} {'would be added' if dry_run else 'added'}, {kept} on the roster already,"
        f" {len(plan.ended)} ended by hand and left so, {plan.over} over and left out."
    )


def _lines(node: HospitalNode, roster: Path, text: str) -> Iterator[Line]:
    for number, fields in csv_rows(roster, text, COLUMNS):
        try:
            yield _line(node, number, fields)
        except FieldInvalid as error:
            yield Line(number, fault=str(error))


def _line(node: HospitalNode, number: int, fields: Sequence[str]) -> Line:
    if len(fields) < len(COLUMNS) or any(fields[len(COLUMNS) :]):
        raise FieldInvalid(f"a line has {', '.join(COLUMNS)}, and this one {counted(len(fields), 'field')}")
    doctor_id, classes, begins, ends = fields[: len(COLUMNS)]
    is_local = not (has_zone(begins) and has_zone(ends))
    span = checked_span(node.hospital, doctor_id, classes.split(), moment_of(begins), moment_of(ends))
    return Line(number, span, is_local=is_local)


@duty.command()
@hospital_node
@click.option("--all", "everything", is_flag=True, help="Shifts that are over, too.")
def export(opened: Opened, everything: bool) -> None:
    """Write the roster to standard output as `duty import` reads it; what was ended by hand is left out."""
    with opened as node:
        shifts = node.stores.shifts.all(ending_after=0 if everything else node.clock())
        click.echo(_csv(shift for shift in shifts if shift.ended_at is None), nl=False)


def _csv(shifts: Iterable[StoredShift]) -> str:
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(COLUMNS)
    for shift in shifts:
        classes = " ".join(shift.department_classes)
        writer.writerow([shift.doctor_id, classes, local(shift.not_before), local(shift.not_after)])
    return written.getvalue()


def _words(shift: StoredShift) -> str:
    where = ", ".join(shift.department_classes) or "no department"
    return f"{shift.shift_id.hex()}  {shift.doctor_id}  {local(shift.not_before)} to {local(shift.not_after)}  {where}"


def _state(shift: StoredShift, now: Instant) -> str:
    if shift.ended_at is not None:
        everywhere = "" if _is_settled(shift) or shift.not_after <= now else ", HERE ALONE"
        return f"ended at {local(shift.ended_at)}{everywhere}"
    if now < shift.not_before:
        return "to come"
    return "on duty" if shift.is_on(now) else "over"


def _fields(shift: StoredShift, now: Instant) -> dict[str, object]:
    return {
        "id": shift.shift_id.hex(),
        "doctor": shift.doctor_id,
        "departments": list(shift.department_classes),
        "from": local(shift.not_before),
        "until": local(shift.not_after),
        "ended": None if shift.ended_at is None else local(shift.ended_at),
        "ended_everywhere": shift.ended_at is not None and _is_settled(shift),
        "on_duty": shift.is_on(now),
        "shown": shift.duty is not None,
    }
