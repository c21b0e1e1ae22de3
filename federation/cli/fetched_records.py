"""Records that were fetched: what came, in words for who asked for it, saved if asked, and all of it as one chart."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click

import safefiles
from federation.cli import terminal
from federation.cli.exit_codes import ExitCode
from federation.cli.terminal import say
from federation.clinical.chart import Source, chart_of, text_of
from federation.clinical.errors import ClinicalError
from federation.clinical.fhir import load_resource
from federation.clinical.text import counted, printable
from federation.errors import FederationError, NoSuchRecord
from federation.person.fetching import Fetch, Gathering, Missing, is_note, part_name
from federation.person.records import Allowance, FetchedRecord, Progress
from federation.protocol.search import RecordLocation
from federation.store.errors import StoreError
from federation.v1.record_pb2 import PART_KIND_FHIR_BUNDLE, RecordEntry
from federation.words import local_time, plain, sentence, size

MOST_CHARTED_BYTES = 100_000_000
"""FHIR of one chart: what is read stays in memory until the chart is shown."""


@dataclass
class ToChart:
    """The FHIR of records as they come, for one chart of all."""

    sources: list[Source] = field(default_factory=list)
    patient_id: str = ""
    size_bytes: int = 0
    too_much: int = 0
    """Records that are in no chart because there is too much."""

    def take(self, data: bytes, patient_id: str, entry: RecordEntry, hospital_id: str, key: str) -> str:
        """Take a bundle; return what there is to say of it, "" or why it is in no chart."""
        if self.size_bytes + len(data) > MOST_CHARTED_BYTES:
            self.too_much += 1
            return "not in the chart: too much for one"
        try:
            content = load_resource(data, "Bundle")
        except ClinicalError as error:
            return f"not in the chart: not readable as FHIR R4 ({error.reason})"
        self.size_bytes += len(data)
        self.patient_id = patient_id
        self.sources.append(Source(hospital_id, key, content, entry.department_id, entry.stored_at))
        return ""

    def show(self) -> None:
        """Show the chart; nothing where no FHIR came."""
        if self.too_much:
            say(f"\nTHE CHART LEAVES OUT {counted(self.too_much, 'record').upper()}: there is too much for one.")
        if not self.sources:
            return
        with terminal.going_on("the chart"):
            chart = chart_of(self.sources, today=datetime.now(UTC).astimezone().date(), patient_id=self.patient_id)
            say("\n" + "\n".join(text_of(chart)))


def fetched(
    fetch: Fetch, locations: Sequence[RecordLocation], most_bytes: int, missing: Missing
) -> Iterator[FetchedRecord]:
    """Fetch from one hospital after the other, and note why it failed where it did: one that is down stops no other."""
    with terminal.transfer("fetching from") as progress:
        yield from Gathering(fetch, Allowance(most_bytes), missing).records(locations, progress)


OnSaved = Callable[[FetchedRecord, Sequence[tuple[str, str]]], None]
"""Told of each record that was saved, with the names and digests of its files."""


def no_list(_record: FetchedRecord, _names: Sequence[tuple[str, str]]) -> None:
    """Note nothing."""


def show_fetched(
    fetch: Fetch,
    locations: Sequence[RecordLocation],
    most_megabytes: float,
    save: Path | None,
    mark: str = "",
    on_saved: OnSaved = no_list,
) -> None:
    """Fetch records, save each if asked, under names that begin with a mark, and show all. Exit code 1 if some did not come.

    Who stops it keeps what came whole, and is told what did not come.
    """
    missing, came = Missing(), set[bytes]()
    try:
        _show(fetched(fetch, locations, round(most_megabytes * 1_000_000), missing), save, mark, on_saved, came)
    except KeyboardInterrupt:
        left = [one.hospital.identity for one in locations if one.handle not in came]
        for hospital_id in dict.fromkeys(left):
            say(f"\nSTOPPED: {counted(left.count(hospital_id), 'record').upper()} AT {hospital_id} DID NOT COME.")
        raise
    _require_all(missing)


Ask = Callable[[str, str, Progress, Allowance], FetchedRecord]
"""Asks a hospital itself for all that it has, by its name and address."""


def show_directly(
    ask: Ask, hospitals: Sequence[tuple[str, str]], most_megabytes: float, save: Path | None, mark: str = ""
) -> None:
    """Ask these hospitals, by name and address, for all that they have; then as `show_fetched`."""
    missing, allowance = Missing(), Allowance(round(most_megabytes * 1_000_000))

    def each() -> Iterator[FetchedRecord]:
        with terminal.transfer("fetching from") as progress:
            for hospital_id, address in hospitals:
                try:
                    yield ask(hospital_id, address, progress, allowance)
                except NoSuchRecord:
                    say(f"\n{hospital_id} has no record of this patient that it shows.")
                except (FederationError, StoreError) as error:
                    missing[hospital_id] = error

    _show(each(), save, mark)
    _require_all(missing)


def _show(
    records: Iterator[FetchedRecord],
    save: Path | None,
    mark: str,
    on_saved: OnSaved = no_list,
    came: set[bytes] | None = None,
) -> None:
    chart = ToChart()
    try:
        for record in records:
            try:
                with terminal.going_on(f"a record from {record.hospital_id}"):
                    names = show_record(record, chart, save, mark)
                    on_saved(record, names)
            finally:
                record.close()
            if came is not None:
                came.update(entry.handle for entry in record.manifest.records)
    finally:
        chart.show()


def _require_all(missing: Missing) -> None:
    for hospital_id, fault in missing.items():
        say(f"\nRECORDS AT {hospital_id} ARE MISSING. {plain(fault)}")
    if missing:
        raise click.exceptions.Exit(ExitCode.REFUSED)


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


def show_record(record: FetchedRecord, chart: ToChart, save: Path | None, mark: str = "") -> Sequence[tuple[str, str]]:
    """Say what came, give its FHIR to the chart, and save its parts if asked, under names that begin with a mark.

    Return the names of what was saved, or was there already, and their digests.
    """
    names: list[tuple[str, str]] = []
    say(f"\nFrom {record.hospital_id}, {size(record.size_bytes)}, signed {local_time(record.end.sent_at)}:")
    for number, (entry, part, content) in enumerate(record.parts(), start=1):
        corrected = f", corrected (version {entry.version})" if entry.version > 1 else ""
        stored = f"stored {local_time(entry.stored_at)}{corrected}"
        heading = f"  {entry.department_id}, {stored}: {printable(part.name, 80)}"
        if part.kind == PART_KIND_FHIR_BUNDLE:
            data = b"".join(content)
            key = f"{record.record_digest.hex()}-{number}"
            fault = chart.take(data, record.manifest.patient_id, entry, record.hospital_id, key)
            say(f"{heading}, {size(part.size_bytes)}{f'; {fault}' if fault else ''}")
            pieces = [data]
        elif is_note(part.media_type, part.size_bytes):
            pieces = [b"".join(content)]
            say(f"{heading}, a note:")
            for line in pieces[0].decode(errors="replace").splitlines():
                say(f"    | {printable(line)}")
        else:
            say(f"{heading}, {printable(part.media_type, 60)}, {size(part.size_bytes)}")
            pieces = content  # type: ignore[assignment] # an attachment is written as it is read
        if save is not None:
            safefiles.make_directory(save)
            path, digest = save / f"{mark}{part_name(record, entry, part, number)}", part.digest.hex()
            if not path.exists() or digest_of(path) != digest:
                terminal.write_new(path, pieces)
            names.append((path.name, digest))
    return names


def digest_of(path: Path) -> str:
    """Return SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
