"""Records that were fetched: in words for who asked for them, and saved."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

import safefiles
from federation.cli import terminal
from federation.cli.terminal import say
from federation.clinical.errors import ClinicalError
from federation.clinical.fhir import validate_bundle
from federation.clinical.summary import Person
from federation.clinical.text import listed, printable
from federation.person.fetching import Fetch, Gathering, Missing, part_name
from federation.person.records import Allowance, FetchedRecord
from federation.protocol.search import RecordLocation
from federation.v1.record_pb2 import PART_KIND_FHIR_BUNDLE
from federation.words import local_time, plain, sentence, size

NOTE_TYPE = "text/plain; charset=utf-8"
"""Of a text that is shown with its record; no other file is opened."""
MOST_NOTE_BYTES = 16 * 1024


def fetched(
    fetch: Fetch, locations: Sequence[RecordLocation], most_bytes: int, missing: Missing
) -> Iterator[FetchedRecord]:
    """Fetch from one hospital after the other, and note why it failed where it did: one that is down stops no other."""
    with terminal.transfer("fetching from") as progress:
        yield from Gathering(fetch, Allowance(most_bytes), missing).records(locations, progress)


def show_fetched(
    fetch: Fetch, locations: Sequence[RecordLocation], most_megabytes: float, save: Path | None, mark: str = ""
) -> None:
    """Fetch records, show each, and save it if asked, under names that begin with a mark. Exit code 1 if some did not come."""
    missing: Missing = {}
    people: list[Person] = []
    for record in fetched(fetch, locations, round(most_megabytes * 1_000_000), missing):
        try:
            with terminal.going_on(f"a record from {record.hospital_id}"):
                people += show_record(record, save, mark)
        finally:
            record.close()
    if caution := describe_people(people):
        say(caution)
    for hospital_id, fault in missing.items():
        say(f"\nRECORDS AT {hospital_id} ARE MISSING. {plain(fault)}")
    if missing:
        raise click.exceptions.Exit(1)


def require_empty(save: Path, option: str) -> None:
    """Make the directory, and require that nothing lies there yet: no file of an earlier time is mixed with this one's."""
    try:
        safefiles.make_directory(save)
        is_empty, is_writable = not any(save.iterdir()), os.access(save, os.W_OK | os.X_OK)
    except OSError as error:
        raise click.BadParameter(sentence(error), param_hint=option) from None
    if not is_writable:
        raise click.BadParameter(f"nothing can be written to {save}", param_hint=option)
    if not is_empty:
        raise click.BadParameter(f"{save} is not empty; name another directory", param_hint=option)


def show_record(record: FetchedRecord, save: Path | None, mark: str = "") -> list[Person]:
    """Say what a record holds, and save its parts if asked, under names that begin with a mark; return the people in it."""
    people: list[Person] = []
    say(f"\nFrom {record.hospital_id}, {size(record.size_bytes)}, signed {local_time(record.end.sent_at)}:")
    for number, (entry, part, content) in enumerate(record.parts(), start=1):
        corrected = f", corrected (version {entry.version})" if entry.version > 1 else ""
        stored = f"stored {local_time(entry.stored_at)}{corrected}"
        heading = f"  {entry.department_id}, {stored}: {printable(part.name, 80)}"
        if part.kind == PART_KIND_FHIR_BUNDLE:
            data = b"".join(content)
            words, held = describe_bundle(data, record.manifest.patient_id)
            say(f"{heading}, {size(part.size_bytes)}\n{words}")
            people += held
            pieces = [data]
        elif part.media_type == NOTE_TYPE and part.size_bytes <= MOST_NOTE_BYTES:
            pieces = [b"".join(content)]
            say(f"{heading}, a note:")
            for line in pieces[0].decode(errors="replace").splitlines():
                say(f"    | {printable(line)}")
        else:
            say(f"{heading}, {printable(part.media_type, 60)}, {size(part.size_bytes)}")
            pieces = content  # type: ignore[assignment] # an attachment is written as it is read
        if save is not None:
            safefiles.make_directory(save)
            terminal.write_new(save / f"{mark}{part_name(record, entry, part, number)}", pieces)
    return people


def describe_bundle(data: bytes, patient_id: str) -> tuple[str, Sequence[Person]]:
    """Return in words what a FHIR bundle in this patient's record holds and whether it is of somebody else; and of whom."""
    try:
        summary = validate_bundle(data)
    except ClinicalError as error:
        return f"    not readable as FHIR R4 ({error.reason})", ()
    warned = (f"    CAUTION: it {warning}" for warning in summary.warnings(patient_id))
    return "\n".join([f"    {summary.words()}", *warned]), summary.people


def describe_people(people: Sequence[Person]) -> str:
    """Return that the records of one visit are of several people by name and birth date, if they are."""
    named = list(dict.fromkeys(map(str, people)))
    if len(named) < 2:
        return ""
    return f"\nCAUTION: the records are of {len(named)} people by their names: {listed(named, '; ')}."
