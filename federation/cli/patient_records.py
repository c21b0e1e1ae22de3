"""`medunion patient records`: one's own records, or of whom one stands for, found and fetched as a doctor's are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from federation.cli import terminal
from federation.cli.fetched_records import show_fetched
from federation.cli.groups import Group
from federation.cli.options import (
    DIRECTORY_OPTION,
    F,
    IdentityParameter,
    OutputFile,
    gather_options,
    json_option,
    show_json,
)
from federation.cli.patient_accesses import tell_of_emergencies
from federation.cli.patient_documents import add
from federation.cli.patient_options import deputy_option, opened_patient, sensor_option
from federation.cli.saved_records import SavedRecords
from federation.cli.terminal import say
from federation.clinical.text import counted
from federation.party.node_directory import NodeDirectory
from federation.person.patient import PatientClient
from federation.person.records import MOST_FETCHED_BYTES
from federation.person.visit_words import MORE_THAN_READ
from federation.protocol.search import RecordLocation
from federation.v1.access_pb2 import Deputyship
from federation.v1.statement_pb2 import POWER_READ
from keystore.identities import PatientId, class_of


@dataclass(frozen=True)
class Asking:
    """Who asks for which records."""

    directory: NodeDirectory
    sensor: Path | None
    deputy_for: PatientId | None
    hospitals: Sequence[str]
    departments: Sequence[str]
    trace: Path | None
    dial_only: Sequence[str]

    @contextmanager
    def found(self, *, err: bool = False) -> "Iterator[Found]":
        """Open the client, and ask the public cloud where the records are; `err` is where to say what else is to be said."""
        with (
            terminal.trace_file(self.trace) as file,
            opened_patient(self.directory, self.sensor, file, dial_only=self.dial_only) as opened,
        ):
            client = opened.client
            deputyship = None
            if self.deputy_for is not None:
                client.refresh()
                deputyship = client.consents.acting_for(self.deputy_for, POWER_READ).shown
            locations = client.find_records(deputyship, on_more=lambda: say(MORE_THAN_READ, err=err))
            if deputyship is None:
                tell_of_emergencies(client, err=err)
            patient_id = self.deputy_for or opened.member.identity
            yield Found(client, patient_id, deputyship, [one for one in locations if self._is_asked(one)])

    def _is_asked(self, location: RecordLocation) -> bool:
        of_hospital = not self.hospitals or location.hospital.identity in self.hospitals
        return of_hospital and (not self.departments or class_of(location.department_id) in self.departments)


@dataclass(frozen=True)
class Found:
    """Where the records are that were asked for, whose they are, and by what right they are."""

    client: PatientClient
    patient_id: str
    deputyship: Deputyship | None
    locations: Sequence[RecordLocation]

    def tell(self) -> None:
        """Say where they are."""
        if not self.locations:
            say("No record is known.")
            return
        say(f"{counted(len(self.locations), 'record')}:")
        for location in self.locations:
            say(f"  {location.department_id} at {location.address}, record {location.handle.hex()}")

    def show(self, saved: SavedRecords | None, most_megabytes: float) -> None:
        """Fetch them, show each, and save it if asked and not saved before. Exit code 1 if some did not come."""
        fetch = partial(self.client.fetch_records, deputyship=self.deputyship)
        if saved is None:
            show_fetched(fetch, self.locations, most_megabytes, None)
            return
        left = saved.missing(self.locations, self.patient_id)
        if here := len(self.locations) - len(left):
            say(f"{counted(here, 'record')} of them {'is' if here == 1 else 'are'} here already, whole, as of then.")
            say(
                "They are not asked for again, and the chart below leaves them out. Another directory gets all of them anew."
            )
        show_fetched(fetch, left, most_megabytes, saved.directory, on_saved=saved.add)


_OPTIONS = (
    deputy_option,
    click.option(
        "--hospital",
        "hospitals",
        type=IdentityParameter("hospital"),
        multiple=True,
        help="Records of this hospital only; may be repeated.",
    ),
    click.option(
        "--department",
        "departments",
        type=IdentityParameter("department class"),
        multiple=True,
        help="Records of this department class only; may be repeated.",
    ),
    click.option("--trace", type=OutputFile(), help="Write a line for every message there."),
)


def asking_options(command: F) -> F:
    """Add whose client asks, for whom, and which records, as Asking named `asking`."""
    names = "directory", "sensor", "deputy_for", "hospitals", "departments", "trace", "dial_only"

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        return {"asking": Asking(**{name: values.pop(name) for name in names})}

    return gather_options(command, gather, (DIRECTORY_OPTION, *_OPTIONS, terminal.dial_only_option, sensor_option))


most_option = click.option(
    "--fetch-at-most",
    "most_megabytes",
    type=terminal.Amount(min=0, min_open=True, max=10_000_000),
    default=MOST_FETCHED_BYTES / 1_000_000,
    show_default=True,
    help="Megabytes to fetch, of all records together.",
)


@click.group(cls=Group)
def records() -> None:
    """Find, read and save your own records, or those of whom you stand for, and add to them."""


records.add_command(add)


@records.command("list")
@asking_options
@json_option
def list_command(asking: Asking, as_json: bool) -> None:
    """List at which hospitals the records are; none is fetched."""
    with asking.found(err=as_json) as found:
        if as_json:
            show_json(
                [
                    {"department": it.department_id, "address": it.address, "handle": it.handle.hex()}
                    for it in found.locations
                ]
            )
        else:
            found.tell()


@records.command()
@asking_options
@most_option
def show(asking: Asking, most_megabytes: float) -> None:
    """Fetch the records, and show what each holds."""
    with asking.found() as found:
        found.tell()
        found.show(None, most_megabytes)


@records.command()
@click.option(
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The directory to write; it is not there yet, or empty.",
)
@asking_options
@most_option
def save(asking: Asking, output: Path, most_megabytes: float) -> None:
    """Fetch the records, and write them to a directory, unencrypted, each file as its hospital keeps it.

    Each is written when it came whole. Where some did not come, the same command asks for those alone.
    """
    saved = SavedRecords.of(output, "--output")
    with asking.found() as found:
        found.tell()
        found.show(saved, most_megabytes)
