"""`medunion hospital import`: existing records from files, in bulk. A faulty one is refused whole; the rest goes on.

Which files are one record is found in a folder by their names, or listed in a manifest.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from federation.cli.exit_codes import ExitCode
from federation.cli.groups import Command
from federation.cli.hospital import Opened, hospital_node
from federation.cli.options import EXISTING
from federation.cli.text_file import WINDOWS_1252, csv_rows, read_text
from federation.cli.transfers import standard_error, transfers
from federation.clinical.errors import ClinicalError, FhirInvalid
from federation.clinical.summary import BundleSummary
from federation.clinical.text import counted
from federation.errors import FederationError
from federation.hospital.importing import RecordFiles, check_record, keep_record
from federation.hospital.node import HospitalNode
from federation.protocol.identities import require_identity
from federation.words import sentence
from keystore.identities import DepartmentId, PatientId

COLUMNS = ["patient", "department", "file"]
BUNDLE_ENDINGS = (".json", ".ndjson")


@dataclass(frozen=True)
class Passed:
    """A file that goes with no record, and why."""

    path: Path
    why: str


@dataclass(frozen=True)
class Found:
    """What is to be imported, in order, and what is passed over. `where` says for each record where it is listed."""

    records: Sequence[RecordFiles]
    where: Sequence[str]
    passed: Sequence[Passed] = ()
    encoding: str = "utf-8"


def from_paths(patient_id: str, department_id: str, paths: Sequence[Path], attachments: tuple[Path, ...]) -> Found:
    """Find the records in folders and among files. Raises FieldInvalid, OSError."""
    patient, department = require_identity("patient", patient_id), require_identity("department", department_id)
    records: list[RecordFiles] = []
    passed: list[Passed] = []
    for path in paths:
        if path.is_dir():
            beside, left = _in_folder(path)
            records += (RecordFiles(patient, department, bundle, tuple(own)) for bundle, own in beside.items())
            passed += left
        else:
            records.append(RecordFiles(patient, department, path, attachments))
    return Found(records, [str(files.bundle) for files in records], passed)


def from_manifest(manifest: Path) -> Found:
    """Read the records of a CSV file as Excel and others write it. Raises UsageError, WrongFile, OSError; both name the line."""
    text, encoding = read_text(manifest, fallback=WINDOWS_1252)
    records, where = [], []
    for line, fields in csv_rows(manifest, text, COLUMNS):
        if len(fields) < len(COLUMNS) or not all(fields[: len(COLUMNS)]):
            raise click.UsageError(f"{manifest}, line {line}: patient,department,file are needed")
        bundle, *attached = (manifest.parent / field for field in fields[2:] if field)
        records.append(RecordFiles(PatientId(fields[0]), DepartmentId(fields[1]), bundle, tuple(attached)))
        where.append(f"{manifest}, line {line}: {bundle}")
    return Found(records, where, encoding=encoding)


def _in_folder(folder: Path) -> tuple[dict[Path, list[Path]], list[Passed]]:
    """Return each bundle of a folder with the files that go with it, and what is passed over, in folders below too."""
    here = sorted(path for path in folder.iterdir() if path.is_file())
    bundles = [path for path in here if path.suffix in BUNDLE_ENDINGS]
    beside: dict[Path, list[Path]] = {bundle: [] for bundle in bundles}
    passed = [
        Passed(path, _below(path, folder)) for path in sorted(folder.rglob("*")) if path not in here and _is_leaf(path)
    ]
    for path in here:
        if path in beside:
            continue
        found = _longest(path, bundles)
        if len(found) == 1:
            beside[found[0]].append(path)
        elif found:
            passed.append(Passed(path, f"it goes with {' and '.join(one.name for one in found)} alike"))
        else:
            passed.append(Passed(path, _why_not(path)))
    return beside, sorted(passed, key=lambda one: one.path)


def _longest(path: Path, bundles: Sequence[Path]) -> list[Path]:
    """Return the bundles with the longest name, without its ending, that this file's name begins with."""
    found = [bundle for bundle in bundles if path.name.startswith(f"{bundle.stem}.")]
    longest = max((len(bundle.stem) for bundle in found), default=0)
    return [bundle for bundle in found if len(bundle.stem) == longest]


def _is_leaf(path: Path) -> bool:
    return not path.is_dir() or path.is_symlink()


def _below(path: Path, folder: Path) -> str:
    if path.parent == folder:
        return "it is no file"
    return f"it is in a folder below; give {path.parent} to import what is there"


def _why_not(path: Path) -> str:
    if path.suffix.lower() in BUNDLE_ENDINGS:
        return f"its ending is {path.suffix}, not {path.suffix.lower()}; rename it"
    named = f"{path.name.partition('.')[0]}.json"
    return f"no bundle goes with it, such as {named}" if named[0] != "." else "no bundle goes with it"


_PATH = click.Path(exists=True, path_type=Path)


@dataclass(frozen=True)
class Refusal:
    """Why a record was refused, in words: an error itself would hold on to the file's content."""

    reason: str | None
    head: str
    faults: tuple[str, ...]

    @classmethod
    def of(cls, error: Exception) -> "Refusal":
        """Return what is wrong."""
        if not isinstance(error, FhirInvalid):
            return cls(getattr(error, "reason", None), sentence(error), ())
        rest = error.count - len(error.faults)
        faults = *map(str, error.faults), *([f"and {rest:,} more"] if rest else ())
        return cls(error.reason, f"{error.head} [{error.reason}]", faults)


@dataclass(frozen=True)
class Outcome:
    """What became of one record: its handle once it is kept, or why it was refused."""

    files: RecordFiles
    where: str
    summary: BundleSummary | None = None
    handle: bytes | None = None
    refusal: Refusal | None = None

    @property
    def warnings(self) -> list[str]:
        """Return what somebody has to know who takes the files for the record of this patient alone."""
        return self.summary.warnings(self.files.patient_id) if self.summary else []


@dataclass
class Teller:
    """Says what happens to standard error as it happens, beside the progress, and the result to standard output."""

    console: Console = field(default_factory=standard_error)

    def say(self, words: str) -> None:
        """Say a line or more."""
        self.console.print(words, markup=False, highlight=False, soft_wrap=True)

    def found(self, found: Found, manifest: Path | None) -> None:
        """Say what is passed over, and how a manifest was read."""
        if found.encoding != "utf-8":
            self.say(f"{manifest}: read as {found.encoding.upper()}")
        for passed in found.passed:
            self.say(f"{passed.path}: passed over, {passed.why}")

    def outcome(self, outcome: Outcome) -> None:
        """Say what is wrong with a record, if anything is."""
        if outcome.refusal is not None:
            faults = (f"\n  {fault}" for fault in outcome.refusal.faults)
            self.say(f"{outcome.where}: {outcome.refusal.head}{''.join(faults)}")
        for warning in outcome.warnings:
            self.say(f"{outcome.where}: CAUTION: it {warning}")


@click.command("import", cls=Command)
@hospital_node
@click.option("--patient", "patient_id", help="Whose records these are, P:id.")
@click.option("--department", help="Which department of this hospital they go to: a class or class.local.")
@click.option(
    "--attach", "attachments", type=EXISTING, multiple=True, help="A file of any size that goes with the one FILE."
)
@click.option("--manifest", type=EXISTING, help="CSV instead: patient,department,file and attachments after it.")
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be imported, and keep nothing.")
@click.option("--json", "as_json", is_flag=True, help="Write the result to standard output as JSON.")
@click.argument("paths", nargs=-1, type=_PATH, metavar="FILE|DIRECTORY...")
def import_records(
    opened: Opened,
    patient_id: str | None,
    department: str | None,
    attachments: tuple[Path, ...],
    manifest: Path | None,
    dry_run: bool,
    as_json: bool,
    paths: tuple[Path, ...],
) -> None:
    """Import records: each FILE is one record, a FHIR R4 Bundle, one resource, or NDJSON with a resource a line.

    A DIRECTORY gives all its *.json and *.ndjson, without the folders below it. A file whose name begins with that of one of them
    and a dot goes with it (visit.json, visit.dcm, visit.scan.pdf), with the longest such name; what goes with none is passed
    over and named. With --manifest, each line of a CSV file is one record, its paths relative to the CSV file's folder: comma,
    semicolon or tab, in UTF-8, UTF-16 or Windows-1252, as Excel writes it. Of a large import, try --dry-run first.

    Exit code 1 if a record was refused or none came in.
    """
    if manifest is not None and (paths or patient_id or department or attachments):
        raise click.UsageError("--manifest names everything itself")
    if manifest is None and not (paths and patient_id and department):
        raise click.UsageError("--patient, --department and at least one FILE or DIRECTORY are needed, or --manifest")
    if attachments and (len(paths) > 1 or paths[0].is_dir()):
        raise click.UsageError("--attach goes with exactly one FILE")
    listed = None if manifest is None else from_manifest(manifest)
    teller = Teller()
    with opened as node:
        of_department = f"{node.settings.identity}/{department}"
        found = listed or from_paths(patient_id or "", of_department, paths, attachments)
        teller.found(found, manifest)
        outcomes = list(_import_all(node, found, teller, dry_run=dry_run))
    refused = sum(outcome.refusal is not None for outcome in outcomes)
    if as_json:
        click.echo(json.dumps(_result(found, outcomes, dry_run=dry_run), indent=2))
    else:
        for outcome in outcomes if dry_run else ():
            if outcome.summary is not None:
                click.echo(_line(outcome))
        click.echo(_counts(found, len(outcomes) - refused, refused, dry_run=dry_run))
    if refused or not outcomes:
        raise click.exceptions.Exit(ExitCode.REFUSED)


def _import_all(node: HospitalNode, found: Found, teller: Teller, *, dry_run: bool) -> Iterator[Outcome]:
    with _progress(teller.console, 0 if dry_run else sum(map(_size, found.records))) as advance:
        for files, where in zip(found.records, found.where, strict=True):
            counted_bytes = _Counted(advance)
            outcome = _import_one(node, files, where, counted_bytes, dry_run=dry_run)
            # What was refused, or is here already, was not read to its end: the total stays true.
            advance(_size(files) - counted_bytes.size_bytes)
            teller.outcome(outcome)
            yield outcome


def _import_one(
    node: HospitalNode, files: RecordFiles, where: str, advance: Callable[[int], None], *, dry_run: bool
) -> Outcome:
    summary = None
    try:
        checked = check_record(node.hospital, files)
        summary = checked.summary
        handle = None if dry_run else keep_record(node.hospital, files, checked, advance)
    except (ClinicalError, FederationError, OSError) as error:
        return Outcome(files, where, summary, refusal=Refusal.of(error))
    return Outcome(files, where, summary, handle)


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[int], None]]:
    """Show how much of all files was read; nothing where there is nothing to read."""
    read = 0
    with transfers(console) if total else nullcontext() as show:

        def advance(size: int) -> None:
            nonlocal read
            read += size
            if show is not None:
                show("Importing", read, total)

        advance(0)
        yield advance


@dataclass
class _Counted:
    """Counts what was read of one record."""

    advance: Callable[[int], None]
    size_bytes: int = 0

    def __call__(self, size: int) -> None:
        self.size_bytes += size
        self.advance(size)


def _size(files: RecordFiles) -> int:
    try:
        return files.size_bytes
    except OSError:
        # Refused with its reason when its turn comes.
        return 0


def _line(outcome: Outcome) -> str:
    files, summary = outcome.files, outcome.summary
    beside = "".join(f" + {path.name}" for path in files.attachments)
    words = "" if summary is None else summary.words()
    return f"{files.bundle}{beside} for {files.patient_id} at {files.department_id}: {words}"


def _counts(found: Found, good: int, refused: int, *, dry_run: bool) -> str:
    done = "would be imported" if dry_run else "imported"
    passed = f"; {counted(len(found.passed), 'file')} passed over" if found.passed else ""
    if not found.records:
        return f"There is no record to import{passed}."
    return f"{good:,} of {counted(good + refused, 'record')} {done}, {refused:,} refused{passed}."


def _result(found: Found, outcomes: list[Outcome], *, dry_run: bool) -> dict[str, Any]:
    """Return the result as docs/running.md describes it."""
    return {
        "dry_run": dry_run,
        "records": [_record(outcome) for outcome in outcomes],
        "passed_over": [{"file": str(passed.path), "why": passed.why} for passed in found.passed],
    }


def _record(outcome: Outcome) -> dict[str, Any]:
    files, summary, refusal = outcome.files, outcome.summary, outcome.refusal
    return {
        "file": str(files.bundle),
        "attachments": [str(path) for path in files.attachments],
        "patient": files.patient_id,
        "department": files.department_id,
        "accepted": refusal is None,
        "handle": None if outcome.handle is None else outcome.handle.hex(),
        "people": [] if summary is None else [str(person) for person in summary.people],
        "resources": {} if summary is None else dict(summary.entries),
        "warnings": outcome.warnings,
        "reason": None if refusal is None else refusal.reason,
        "said": None if refusal is None else refusal.head,
        "faults": [] if refusal is None else list(refusal.faults),
    }
