"""`medunion hospital records`: what is on file, and what operators and privacy officers do to it (docs/retention.md).

A record is named by its handle: 32 hexadecimal digits. Whose a record is, is never shown; a patient's records are found by naming
the patient. Every action asks for a reason, which goes into the sealed log with the name of who typed it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from federation.cli.exit_codes import ExitCode
from federation.cli.groups import Group
from federation.cli.hospital import Opened, hospital_node
from federation.cli.options import EXISTING, handle_of, json_option, moment, operator, reason_option, show_json
from federation.cli.text_file import read_text
from federation.clinical.text import counted
from federation.errors import FederationError, NoSuchRecord, RecordErased
from federation.hospital import records_administration
from federation.hospital.node import HospitalNode
from federation.hospital.records_administration import OperatorAction, Overview, correct_record
from federation.party.audit import AuditEvent
from federation.store.errors import StoreError, StoreUnavailable
from federation.words import sentence
from keystore.identities import DepartmentId

patient_option = click.option("--patient", "patient_id", metavar="P:ID", help="All records of this patient instead.")


@click.group(cls=Group)
def records() -> None:
    """See what is on file; keep, hold, withdraw, correct and erase records."""


handles_argument = click.argument("handles", nargs=-1, type=handle_of, metavar="[HANDLE]...")
handle_argument = click.argument("handle", type=handle_of)


def action_for(reason: str) -> OperatorAction:
    """Return the action of whoever types. Raises FieldInvalid for no reason, or too long a one."""
    return OperatorAction(operator(), reason)


def chosen(node: HospitalNode, handles: tuple[bytes, ...], patient_id: str | None) -> tuple[bytes, ...]:
    """Return the records that the command line names. Raises UsageError unless it names some by handle, or a patient."""
    if bool(handles) == (patient_id is not None):
        raise click.UsageError("name records by their handles, or a patient with --patient")
    return handles if patient_id is None else tuple(records_administration.records_of(node.hospital, patient_id))


def each(handles: Iterable[bytes], step: Callable[[bytes], str]) -> None:
    """Do the same to several records, and say what became of each. One that is refused stops no other; then exit code 1."""
    refused = False
    for handle in handles:
        try:
            click.echo(f"{handle.hex()}  {step(handle)}")
        except (FederationError, StoreError) as error:
            refused = True
            click.echo(f"{handle.hex()}  {sentence(error)}", err=True)
    if refused:
        raise click.exceptions.Exit(ExitCode.REFUSED)


@records.command()
@hospital_node
@json_option
def count(opened: Opened, as_json: bool) -> None:
    """Count the records of each department."""
    with opened as node:
        newest = {record.handle: DepartmentId(record.department_id) for record in node.stores.records.all()}
        counts = Counter(newest.values())
        if as_json:
            open_ones = {department_id: counts.pop(department_id, 0) for department_id in node.hospital.departments}
            rows = [*((*one, True) for one in open_ones.items()), *((*one, False) for one in sorted(counts.items()))]
            show_json([{"department": name, "records": number, "open": is_open} for name, number, is_open in rows])
            return
        for department_id in node.hospital.departments:
            click.echo(f"{department_id}: {counts.pop(department_id, 0)}")
        for department_id, number in sorted(counts.items()):
            click.echo(f"{department_id} (closed): {number}")


@records.command("list")
@hospital_node
@patient_option
@click.option("--withdrawn", is_flag=True, help="Those that are withdrawn alone.")
@click.option("--held", is_flag=True, help="Those with a legal hold alone.")
@click.option(
    "--erased", is_flag=True, help="The handles of erased records instead, and when: keep them with your backups."
)
@json_option
def list_command(
    opened: Opened, patient_id: str | None, withdrawn: bool, held: bool, erased: bool, as_json: bool
) -> None:
    """List records, one a line."""
    with opened as node:
        if erased:
            gone = node.stores.administration.standings("erased")
            if as_json:
                show_json([{"handle": it.handle.hex(), "erased": moment(it.changed_at)} for it in gone])
                return
            for standing in gone:
                click.echo(f"{standing.handle.hex()}  {moment(standing.changed_at)}")
            return
        of_patient = None if patient_id is None else records_administration.records_of(node.hospital, patient_id)
        handles = node.stores.administration.handles() if of_patient is None else of_patient
        views = (
            view
            for view in records_administration.overviews(node.hospital, handles)
            if (view.is_withdrawn or not withdrawn) and (view.holds or not held)
        )
        if as_json:
            show_json([fields_of(view) for view in views])
            return
        for view in views:
            click.echo(line_of(view))


@records.command()
@hospital_node
@handle_argument
@json_option
def show(opened: Opened, handle: bytes, as_json: bool) -> None:
    """Show a record's versions, where it stands and what holds it, with the reasons; not whose it is, nor what is in it."""
    with opened as node:
        view = records_administration.overview(node.hospital, handle)
        if as_json:
            show_json(_whole(node, view))
            return
        click.echo(line_of(view))
        for version in view.versions:
            sizes = [part.size_bytes for part in node.hospital.vault.parts(version)]
            parts = f"{counted(len(sizes), 'part')}, {counted(sum(sizes), 'byte')}"
            click.echo(f"  version {version.version}, stored {moment(version.stored_at)}, {parts}")
        if view.standing is not None:
            click.echo(
                f"  {view.standing.standing} since {moment(view.standing.changed_at)}{_why(node, view.standing.logged)}"
            )
        for hold in view.holds:
            click.echo(f"  hold {hold.hold_id.hex()} since {moment(hold.placed_at)}{_why(node, hold.logged)}")


@records.command()
@hospital_node
@json_option
def due(opened: Opened, as_json: bool) -> None:
    """List the records whose retention is over."""
    with opened as node:
        listed = list(records_administration.overviews(node.hospital, due_in(node)))
        if as_json:
            show_json([fields_of(view) for view in listed])
            return
        for view in listed:
            click.echo(line_of(view))
        undated = sum(1 for _ in node.stores.administration.handles(undated=True))
        held = sum(1 for view in listed if view.holds)
        click.echo(f"{len(listed)} past their retention, {held} of them held; {undated} without a date.")


@records.command()
@hospital_node
@handles_argument
@patient_option
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The day, in UTC, from which they may be erased.")
@click.option("--by-policy", is_flag=True, help="Instead: give every record without a date the one of [retention].")
@reason_option
def retention(
    opened: Opened,
    handles: tuple[bytes, ...],
    patient_id: str | None,
    until: datetime | None,
    by_policy: bool,
    reason: str,
) -> None:
    """Set until when records are kept: longer for one reason, shorter for another."""
    if by_policy != (until is None) or (by_policy and (handles or patient_id)):
        raise click.UsageError("give --until and the records that it is for, or --by-policy alone")
    action = action_for(reason)
    with opened as node:
        hospital = node.hospital

        def keep(handle: bytes) -> str:
            date = _policy(node, handle) if until is None else round(until.replace(tzinfo=UTC).timestamp() * 1000)
            if date is None:
                return "the policy says nothing of its class"
            records_administration.keep_until(hospital, handle, date, action)
            return f"kept until {_day(date)}"

        each(
            hospital.stores.administration.handles(undated=True) if by_policy else chosen(node, handles, patient_id),
            keep,
        )


@records.command()
@hospital_node
@handles_argument
@patient_option
@reason_option
def hold(opened: Opened, handles: tuple[bytes, ...], patient_id: str | None, reason: str) -> None:
    """Place a legal hold on records: none is erased before every hold on it is released."""
    action = action_for(reason)
    with opened as node:
        each(
            chosen(node, handles, patient_id),
            lambda handle: f"held: {records_administration.place_hold(node.hospital, handle, action).hex()}",
        )


@records.command()
@hospital_node
@handle_argument
@click.option("--hold", "hold_id", required=True, help="Which hold, as `records show` names it.")
@reason_option
def release(opened: Opened, handle: bytes, hold_id: str, reason: str) -> None:
    """Release a hold."""
    action = action_for(reason)
    with opened as node:
        try:
            records_administration.release_hold(node.hospital, handle, bytes.fromhex(hold_id), action)
        except ValueError:
            raise click.UsageError(f"{hold_id} is no hold") from None
        click.echo(f"{handle.hex()}  released")


@records.command()
@hospital_node
@handles_argument
@patient_option
@reason_option
def withdraw(opened: Opened, handles: tuple[bytes, ...], patient_id: str | None, reason: str) -> None:
    """Withdraw records, those entered in error for one: they stay on file, and nobody finds or gets them."""
    action = action_for(reason)
    with opened as node:

        def step(handle: bytes) -> str:
            return (
                "withdrawn"
                if records_administration.withdraw(node.hospital, handle, action)
                else "was withdrawn already"
            )

        each(chosen(node, handles, patient_id), step)


@records.command()
@hospital_node
@handles_argument
@patient_option
@reason_option
def reinstate(opened: Opened, handles: tuple[bytes, ...], patient_id: str | None, reason: str) -> None:
    """Have withdrawn records found again."""
    action = action_for(reason)
    with opened as node:

        def step(handle: bytes) -> str:
            return (
                "reinstated" if records_administration.reinstate(node.hospital, handle, action) else "was not withdrawn"
            )

        each(chosen(node, handles, patient_id), step)


@records.command()
@hospital_node
@handle_argument
@click.argument("bundle", type=EXISTING, metavar="FILE")
@click.option("--attach", "attachments", type=EXISTING, multiple=True, help="A file of any size that goes with it.")
@reason_option
def correct(
    opened: Opened,
    handle: bytes,
    bundle: Path,
    attachments: tuple[Path, ...],
    reason: str,
) -> None:
    """Put another version in a record's place: FILE is the whole FHIR R4 Bundle, corrected. The version before stays on file."""
    action = action_for(reason)
    with opened as node:
        corrected = correct_record(node.hospital, handle, bundle, attachments, action, lambda _: None)
        for warning in corrected.warnings:
            click.echo(f"{bundle}: CAUTION: it {warning}", err=True)
        click.echo(f"{handle.hex()}  version {corrected.version} is found from now on")


@records.command()
@hospital_node
@handles_argument
@patient_option
@click.option("--due", is_flag=True, help="All records whose retention is over, but those that are held, instead.")
@click.option(
    "--handles-file",
    "list_file",
    type=EXISTING,
    help="The records of a file, one handle a line, as `list --erased` wrote it, instead.",
)
@click.option("--confirm", type=click.IntRange(min=0), metavar="N", help="Erase them, if they are N.")
@reason_option
def erase(
    opened: Opened,
    handles: tuple[bytes, ...],
    patient_id: str | None,
    due: bool,
    list_file: Path | None,
    confirm: int | None,
    reason: str,
) -> None:
    """Erase records for good: their keys, their content, their rows of the index.

    A record whose retention is not over, and one that is held, is refused. Without --confirm nothing is done but counting.
    """
    action = action_for(reason)
    with opened as node:
        named = _named(node, handles, patient_id, list_file, due=due)
        if confirm is None:
            _tell(node, named)
        elif confirm != len(named):
            raise click.ClickException(f"{counted(len(named), 'record')} to erase, not {confirm}: nothing was erased")
        else:
            _erase(node, named, action)


def _named(
    node: HospitalNode, handles: tuple[bytes, ...], patient_id: str | None, list_file: Path | None, *, due: bool
) -> Sequence[bytes]:
    ways = bool(handles or patient_id is not None) + due + (list_file is not None)
    if ways != 1:
        raise click.UsageError("name records by their handles, or give one of --patient, --due and --handles-file")
    if due:
        return [
            view.newest.handle
            for view in records_administration.overviews(node.hospital, due_in(node))
            if not view.holds
        ]
    if list_file is not None:
        return list(dict.fromkeys(_handles_in(list_file)))
    return list(dict.fromkeys(chosen(node, handles, patient_id)))


def _handles_in(list_file: Path) -> Iterator[bytes]:
    text, _ = read_text(list_file)
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield handle_of(line.split()[0])
            except click.BadParameter as error:
                raise click.UsageError(f"{list_file}, line {number}: {error.message}") from error


def _tell(node: HospitalNode, named: Sequence[bytes]) -> None:
    for handle in named:
        try:
            click.echo(line_of(records_administration.overview(node.hospital, handle)))
        except (RecordErased, NoSuchRecord) as error:
            click.echo(sentence(error))
    click.echo(f"{len(named)} to erase; nothing is erased yet. Give --confirm {len(named)} to erase them for good.")


def _erase(node: HospitalNode, named: Sequence[bytes], action: OperatorAction) -> None:
    def step(handle: bytes) -> str:
        return "erased" if records_administration.erase(node.hospital, handle, action) else "was erased already"

    try:
        each(named, step)
    finally:
        _bury(node)


def _bury(node: HospitalNode) -> None:
    """Remove what a shelf that did not answer, or a command that was killed, left of erased records."""
    try:
        records_administration.bury(node.hospital)
    except StoreUnavailable as error:
        click.echo(f"Content without its key waits to be removed, by the server or this command: {error}", err=True)


def due_in(node: HospitalNode) -> Iterator[bytes]:
    """Return the records whose retention is over now, held ones too."""
    return node.stores.administration.handles(kept_until_before=node.clock())


def line_of(view: Overview) -> str:
    """Return a record as a line."""
    newest, until = view.newest, view.keep_until
    kept = "no retention date" if until is None else f"kept until {_day(until)}"
    marks = [newest.sensitivity.upper()] * (newest.sensitivity != "normal")
    marks += ["WITHDRAWN"] * view.is_withdrawn + [f"HELD x{len(view.holds)}"] * bool(view.holds)
    fields = newest.handle.hex(), newest.department_id, f"v{newest.version}", _day(newest.stored_at), kept
    return "  ".join([*fields, *marks])


def fields_of(view: Overview) -> dict[str, object]:
    """Return a record as JSON has it."""
    newest, until = view.newest, view.keep_until
    return {
        "handle": newest.handle.hex(),
        "department": newest.department_id,
        "version": newest.version,
        "stored": moment(newest.stored_at),
        "kept_until": None if until is None else moment(until),
        "sensitivity": newest.sensitivity,
        "withdrawn": view.is_withdrawn,
        "holds": [hold.hold_id.hex() for hold in view.holds],
    }


def _whole(node: HospitalNode, view: Overview) -> dict[str, object]:
    """Return a record with its versions, and who holds it and why."""
    sizes = {
        version.version: [part.size_bytes for part in node.hospital.vault.parts(version)] for version in view.versions
    }
    versions = [
        {
            "version": it.version,
            "stored": moment(it.stored_at),
            "parts": len(sizes[it.version]),
            "bytes": sum(sizes[it.version]),
        }
        for it in view.versions
    ]
    holds = [
        {"id": it.hold_id.hex(), "since": moment(it.placed_at), "why": _why(node, it.logged).removeprefix(": ")}
        for it in view.holds
    ]
    standing = view.standing
    stands = standing and {
        "standing": standing.standing,
        "since": moment(standing.changed_at),
        "why": _why(node, standing.logged).removeprefix(": "),
    }
    return fields_of(view) | {"versions": versions, "holds": holds, "standing": stands}


def _policy(node: HospitalNode, handle: bytes) -> int | None:
    newest = records_administration.overview(node.hospital, handle).newest
    return node.hospital.retention.keep_until(newest.department_class, newest.stored_at)


def _why(node: HospitalNode, logged: bytes) -> str:
    """Return what the log says in an entry; nothing if it was given up in a rotation, or its time was over."""
    event = node.hospital.audit.entry_of(logged).event
    return f": {event.detail}" if isinstance(event, AuditEvent) and event.detail else ""


def _day(at: int) -> str:
    return moment(at).partition("T")[0]
