"""`medunion patient grants`, `revoke` and `mandate`: what a patient signed for others, and what others signed for it."""

from datetime import timedelta
from pathlib import Path

import click

import safefiles
from federation.cli import terminal
from federation.cli.groups import Choice, Command, Group
from federation.cli.options import EXISTING, IdentityParameter, OutputFile, json_option, moment, show_json
from federation.cli.patient_options import Opened, deputy_option, patient_client
from federation.cli.terminal import say
from federation.clinical.errors import ClinicalError
from federation.clinical.strictjson import BUNDLE
from federation.clinical.text import counted
from federation.clock import system_clock
from federation.errors import GrantExpired, Unavailable
from federation.person import consent_files
from federation.person.consent_words import (
    KNOWN_BY,
    POWERS,
    grantee_words,
    power_words,
    right_sentences,
    standing_words,
    stated_words,
    term_lines,
)
from federation.person.consents import MOST_FILE_BYTES, KeptGrant
from federation.person.errors import NoSuchGrant
from federation.person.node import OpenPatient
from federation.person.visit_words import WAITS
from federation.protocol.access import LONGEST_MANDATE
from federation.protocol.anchors import Anchors
from federation.protocol.statements import POWER_NAMES
from federation.protocol.time import milliseconds
from federation.words import local_time, plain
from keystore.identities import PatientId

_POWERS = {POWER_NAMES[power]: power for power in POWERS}


@click.command(cls=Command)
@patient_client
@deputy_option
@click.option("--fhir", type=OutputFile(), help="Write them there, too, as a FHIR R4 Bundle of Consents, JSON.")
@json_option
def grants(opened: Opened, deputy_for: PatientId | None, fhir: Path | None, as_json: bool) -> None:
    """List the consents that you gave, by the numbers that `revoke` takes; with --as those that you gave for another."""
    with opened as node:
        _refresh(node)
        found = [kept for kept in node.client.consents.grants() if _is_of(kept, deputy_for)]
        if fhir is not None:
            safefiles.replace(fhir, consent_files.exported(found, node.member.anchors, now=system_clock()))
    if as_json:
        show_json([_grant_fields(kept) for kept in found])
        return
    if not found:
        say("You gave no consent.")
    for kept in found:
        show_grant(kept)
    if fhir is not None:
        say(f"{counted(len(found), 'consent')} written to {fhir}.")


@click.command(cls=Command)
@patient_client
@click.argument("numbers", nargs=-1, type=click.IntRange(min=1), metavar="[NUMBER]...")
@click.option("--last", is_flag=True, help="The newest that still stands.")
@click.option("--all", "everything", is_flag=True, help="Everything that you signed until now, your mandates too.")
@deputy_option
def revoke(
    opened: Opened, numbers: tuple[int, ...], last: bool, everything: bool, deputy_for: PatientId | None
) -> None:
    """Take consents back, by their numbers as `grants` shows them."""
    if bool(numbers) + last + everything != 1:
        raise click.UsageError("Give numbers as `grants` shows them, or --last, or --all.")
    with opened as node:
        consents, acts = node.client.consents, node.client.acts
        if everything:
            is_known = acts.sweep(deputy_for or PatientId(node.member.identity))
            say(
                f"Everything that was signed in the name of {deputy_for or node.member.identity} until now is taken back:"
            )
            say("consents and mandates, and what deputies granted by them.")
        else:
            chosen = [_newest(node, deputy_for)] if last else [consents.grant(it, deputy_for) for it in numbers]
            is_known = acts.revoke(chosen)
            for kept in chosen:
                say(f"No. {kept.number}, for {grantee_words(kept.grant.grantee)}.")
    say(f"Taken back. {KNOWN_BY}" if is_known else WAITS)


@click.group(cls=Group)
def mandate() -> None:
    """Make another patient your deputy, end that, and accept what makes you one."""


@mandate.command()
@patient_client
@click.argument("deputy", type=IdentityParameter("patient"), metavar="P:ID")
@click.option(
    "--power",
    "names",
    type=Choice(list(_POWERS)),
    multiple=True,
    required=True,
    help="What the deputy may do; repeat for more. There is none that goes without saying.",
)
@click.option(
    "--days",
    type=terminal.Amount(min=0, min_open=True, max=LONGEST_MANDATE / timedelta(days=1)),
    required=True,
    help="For how long, up to five years.",
)
@click.option("--output", type=OutputFile(), required=True, help="The file to hand over to the deputy.")
@terminal.yes_option
def give(opened: Opened, deputy: str, names: tuple[str, ...], days: float, output: Path, yes: bool) -> None:
    """Make another registered patient your deputy: what the deputy then does counts as yours."""
    terminal.require_answer(yes)
    powers, life = [_POWERS[name] for name in dict.fromkeys(names)], timedelta(days=days)
    with opened as node:
        say(f"You make {deputy} your deputy, until {local_time(system_clock() + milliseconds(life))}.")
        say("In your name the deputy may")
        for power in powers:
            say(f"  - {POWERS[power]}.")
        terminal.confirm("\nSign this?", yes=yes, unless="Nothing is signed.")
        handed = node.client.consents.appoint(PatientId(deputy), powers, life)
        safefiles.replace(output, handed.SerializeToString(deterministic=True))
        number = len(node.client.consents.mandates())
    say(f"Mandate no. {number} is signed. {output} is for {deputy}, who types:")
    say(f"  medunion patient mandate accept --directory ... {output.name}")
    say(f"It ends by: medunion patient mandate end --directory ... {number}")


@mandate.command("list")
@patient_client
@json_option
def list_command(opened: Opened, as_json: bool) -> None:
    """List the mandates that you gave, by the numbers that `end` takes."""
    with opened as node:
        _refresh(node)
        found = node.client.consents.mandates()
    if as_json:
        show_json(
            [
                {
                    "number": kept.number,
                    "deputy": kept.mandate.deputy_id,
                    "powers": [POWER_NAMES[power] for power in kept.mandate.powers],
                    "until": moment(kept.mandate.validity.not_after),
                    "taken_back": kept.is_revoked,
                }
                for kept in found
            ]
        )
        return
    if not found:
        say("You gave no mandate.")
    for kept in found:
        said = kept.mandate
        say(f"{kept.number}  {said.deputy_id}  {standing_words(kept.is_revoked, said.validity, system_clock())}")
        say(f"   May {power_words(said.powers)}.")


@mandate.command()
@patient_client
@click.argument("number", type=click.IntRange(min=1))
def end(opened: Opened, number: int) -> None:
    """End a mandate, by its number as `list` shows it; what the deputy granted by it ends too."""
    with opened as node:
        ended, is_known = node.client.acts.end_mandate(number)
    if is_known:
        say(f"{ended.mandate.deputy_id} is no longer your deputy by no. {number}.")
        say(KNOWN_BY)
    else:
        say(f"{ended.mandate.deputy_id} is to be your deputy by no. {number} no longer.")
        say(WAITS)


@mandate.command()
@patient_client
@click.argument("file", type=EXISTING)
def accept(opened: Opened, file: Path) -> None:
    """Check and keep FILE, which makes you a deputy: a patient's mandate, or a guardianship from a hospital's desk."""
    with file.open("rb") as handed:
        data = handed.read(MOST_FILE_BYTES + 1)
    with opened as node:
        node.client.refresh()
        held = node.client.consents.accept(data)
    says = held.says
    say(f"You stand for {says.patient_id} until {local_time(says.validity.not_after)}, as {held.stated_by} says.")
    say(f"You may {power_words(says.powers)}: give --as {says.patient_id}.")


@mandate.command()
@patient_client
@json_option
def held(opened: Opened, as_json: bool) -> None:
    """List for whom you stand, and what you may do."""
    with opened as node:
        _refresh(node)
        found = node.client.consents.held()
    if as_json:
        show_json(
            [
                {
                    "patient": one.says.patient_id,
                    "kind": one.says.kind,
                    "stated_by": one.stated_by,
                    "powers": [POWER_NAMES[power] for power in one.says.powers],
                    "until": moment(one.says.validity.not_after),
                    "taken_back": one.is_revoked,
                }
                for one in found
            ]
        )
        return
    if not found:
        say("You stand for nobody.")
    for one in found:
        says = one.says
        how = "mandate" if says.kind == "mandate" else stated_words(says.kind, one.stated_by)
        say(f"{says.patient_id}  {how}  {standing_words(one.is_revoked, says.validity, system_clock())}")
        say(f"   You may {power_words(says.powers)}.")


def read_consent(path: Path, patient_id: PatientId, anchors: Anchors) -> consent_files.Draft:
    """Read the draft of a consent about this patient. Raises ClickException that names the file and what is wrong, OSError."""
    with path.open("rb") as file:
        data = file.read(BUNDLE.size_bytes + 1)
    try:
        return consent_files.drafted(data, patient_id, anchors, now=system_clock())
    except (ClinicalError, GrantExpired) as error:
        raise click.ClickException(f"{path}: {plain(error)}") from error


def _grant_fields(kept: KeptGrant) -> dict[str, object]:
    grant = kept.grant
    return {
        "number": kept.number,
        "patient": grant.patient_id,
        "for": grantee_words(grant.grantee),
        "until": moment(grant.validity.not_after),
        "taken_back": kept.is_revoked,
        "allows": list(right_sentences(grant, "your" if kept.deputyship is None else f"{grant.patient_id}'s")),
    }


def show_grant(kept: KeptGrant) -> None:
    """Show a consent: its number, whom it is for and whether it stands, then what it allows."""
    grant = kept.grant
    state = standing_words(kept.is_revoked, grant.validity, system_clock())
    of_whom = "" if kept.deputyship is None else f"  in the name of {grant.patient_id}"
    say(f"{kept.number}  {grantee_words(grant.grantee)}  {state}{of_whom}")
    for line in term_lines(grant, "your" if kept.deputyship is None else f"{grant.patient_id}'s"):
        say(f" {line}")


def _newest(node: OpenPatient, deputy_for: PatientId | None) -> KeptGrant:
    """Return the newest consent that stands. Raises NoSuchGrant."""
    _refresh(node)
    standing = (
        kept
        for kept in reversed(node.client.consents.grants())
        if _is_of(kept, deputy_for) and not kept.is_revoked and system_clock() < kept.grant.validity.not_after
    )
    newest = next(standing, None)
    if newest is None:
        raise NoSuchGrant("None of your consents stands.")
    return newest


def _is_of(kept: KeptGrant, deputy_for: PatientId | None) -> bool:
    return deputy_for is None or kept.grant.patient_id == deputy_for


def _refresh(node: OpenPatient) -> None:
    try:
        node.client.refresh()
    except Unavailable:
        say("The public cloud does not answer: what was taken back lately may not show.", err=True)
