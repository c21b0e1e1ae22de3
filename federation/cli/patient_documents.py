"""`medunion patient records add`: a note or a document of one's own, into one's record at a hospital."""

from pathlib import Path

import click

from federation.cli import terminal
from federation.cli.groups import Choice, Command
from federation.cli.options import DIRECTORY_OPTION, EXISTING, AddressParameter, IdentityParameter
from federation.cli.patient_options import deputy_option, opened_patient, sensor_option
from federation.cli.terminal import say
from federation.clinical.text import printable
from federation.party.node_directory import NodeDirectory
from federation.person.documents import WHO_READS
from federation.person.fetching import NOTE_TYPE, media_type_of
from federation.protocol.documents import MOST_DOCUMENT_BYTES, NewDocument
from federation.protocol.statements import SENSITIVITIES
from federation.v1.statement_pb2 import POWER_ADD
from federation.words import size
from keystore.identities import HospitalId, PatientId


@click.command(cls=Command)
@DIRECTORY_OPTION
@deputy_option
@click.option("--hospital", type=IdentityParameter("hospital"), required=True, help="The hospital that is to keep it.")
@click.option("--address", type=AddressParameter(), required=True, help="Where it is dialled: host:port.")
@click.option(
    "--department",
    "department_class",
    type=IdentityParameter("department class"),
    required=True,
    help="For whom it is.",
)
@click.option("--title", required=True, help="What it is called in the record.")
@click.option("--note", help="The text of a note.")
@click.argument("path", required=False, type=EXISTING, metavar="[FILE]")
@click.option("--media-type", help="What the file is, such as application/pdf; else it is told by its name.")
@click.option(
    "--sensitivity",
    type=Choice(list(SENSITIVITIES)),
    default="normal",
    show_default=True,
    help="Who may read it: secret is for the patient alone.",
)
@terminal.yes_option
@terminal.dial_only_option
@sensor_option
def add(
    directory: NodeDirectory,
    deputy_for: PatientId | None,
    hospital: str,
    address: str,
    department_class: str,
    title: str,
    note: str | None,
    path: Path | None,
    media_type: str | None,
    sensitivity: str,
    yes: bool,
    dial_only: tuple[str, ...],
    sensor: Path | None,
) -> None:
    """Add a note or a document of your own to your record: --note, or FILE, which is taken as it is.

    It is signed by you and marked as yours, and nobody can change it. It changes nothing that a doctor wrote.
    """
    new = NewDocument(title, *_content(note, path, media_type), SENSITIVITIES[sensitivity])
    terminal.require_answer(yes)
    hospital_id = HospitalId(hospital)
    with opened_patient(directory, sensor, dial_only=dial_only) as opened:
        client = opened.client
        client.refresh()
        held = None if deputy_for is None else client.consents.acting_for(deputy_for, POWER_ADD)
        whose = "your record" if deputy_for is None else f"the record of {deputy_for}"
        say(f'"{printable(title)}", {new.media_type}, {size(len(new.content))}, goes into {whose}')
        say(f"at {hospital_id}, {department_class}, signed by you. {WHO_READS[sensitivity]}")
        terminal.confirm("\nSend this?", yes=yes, unless="Nothing is signed, and nothing is sent.")
        with terminal.sending(hospital_id, len(new.content)) as on_sent:
            deputyship = held.shown if held else None
            receipt = client.add_document(hospital_id, address, department_class, new, deputyship, on_sent)
    say(f"{hospital_id} keeps it: record {receipt.handle.hex()}.")


def _content(note: str | None, path: Path | None, media_type: str | None) -> tuple[str, bytes]:
    """Return the media type and the bytes of the note, or of the file."""
    if (note is None) == (path is None):
        raise click.UsageError("give --note TEXT or FILE")
    if path is None:
        if media_type is not None:
            raise click.UsageError("--media-type is of a file")
        return NOTE_TYPE, (note or "").encode()
    with path.open("rb") as file:
        content = file.read(MOST_DOCUMENT_BYTES + 1)
    if len(content) > MOST_DOCUMENT_BYTES:
        raise click.BadParameter(f"{path} has more than {size(MOST_DOCUMENT_BYTES)}", param_hint="FILE")
    return media_type or media_type_of(path.name), content
