"""`medunion hospital import`: existing records from files, in bulk. A faulty one is refused whole; the rest goes on."""

import csv
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from federation.app.hospital import HospitalNode
from federation.app.node import NodeDirectory
from federation.cli.common import PinChoice, directory_option, pin_options, sentence
from federation.clinical.errors import ClinicalError, FhirInvalid
from federation.config import HospitalSettings
from federation.errors import FederationError
from federation.services.hospital.importing import RecordFiles, import_record

_PATH = click.Path(exists=True, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_COLUMNS = ["patient", "department", "file"]


@click.command("import")
@directory_option
@pin_options
@click.option("--patient", "patient_id", help="Whose records these are, P:id.")
@click.option("--department", "department_id", help="Which department they go to, H:hospital/class.")
@click.option(
    "--attach", "attachments", type=_FILE, multiple=True, help="A file of any size that goes with the one FILE."
)
@click.option("--manifest", type=_FILE, help="CSV instead: patient,department,file and attachments after it.")
@click.argument("paths", nargs=-1, type=_PATH, metavar="FILE|DIR...")
def import_records(
    directory: NodeDirectory,
    pin: PinChoice,
    patient_id: str | None,
    department_id: str | None,
    attachments: tuple[Path, ...],
    manifest: Path | None,
    paths: tuple[Path, ...],
) -> None:
    """Import records: each FILE is a FHIR R4 Bundle, and becomes one record.

    A DIR gives all its *.json; what has the same name before another ending goes with it (visit.json, visit.dcm). With
    --manifest, each line of a CSV file is one record, its paths relative to the CSV file's folder.
    """
    if manifest is not None:
        if paths or patient_id or department_id or attachments:
            raise click.UsageError("--manifest names everything itself")
        found = list(_from_manifest(manifest))
    else:
        found = _from_paths(patient_id, department_id, paths, attachments)
    with HospitalNode(directory, pin.provider(directory.settings(HospitalSettings).token)) as node:
        faulty = _import_all(node, found)
    click.echo(f"{len(found) - faulty} of {len(found)} records imported, {faulty} refused.")
    if faulty:
        raise click.exceptions.Exit(1)


def _from_manifest(manifest: Path) -> Iterator[RecordFiles]:
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.reader(file), start=1):
            fields = [field.strip() for field in row]
            if not any(fields) or (number == 1 and fields[:3] == _COLUMNS):
                continue
            if len(fields) < len(_COLUMNS) or not all(fields[:3]):
                raise click.UsageError(f"{manifest}, line {number}: patient,department,file are needed")
            bundle, *attached = (manifest.parent / field for field in fields[2:] if field)
            yield RecordFiles(fields[0], fields[1], bundle, tuple(attached))


def _from_paths(
    patient_id: str | None, department_id: str | None, paths: tuple[Path, ...], attachments: tuple[Path, ...]
) -> list[RecordFiles]:
    if not patient_id or not department_id or not paths:
        raise click.UsageError("--patient, --department and at least one FILE or DIR are needed, or --manifest")
    if attachments and (len(paths) > 1 or paths[0].is_dir()):
        raise click.UsageError("--attach goes with exactly one FILE")
    found = []
    for path in paths:
        for bundle in sorted(path.glob("*.json")) if path.is_dir() else [path]:
            beside = _beside(bundle) if path.is_dir() else attachments
            found.append(RecordFiles(patient_id, department_id, bundle, beside))
    return found


def _beside(bundle: Path) -> tuple[Path, ...]:
    others = bundle.parent.glob("*")
    return tuple(
        sorted(o for o in others if o.is_file() and o.suffix != ".json" and o.name.partition(".")[0] == bundle.stem)
    )


def _import_all(node: HospitalNode, found: list[RecordFiles]) -> int:
    faulty = 0
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("Importing", total=sum(map(_size, found)))
        for files in found:
            try:
                import_record(node.hospital, files, lambda size: progress.advance(task, size))
            except (ClinicalError, FederationError, OSError) as error:
                faulty += 1
                progress.console.print(_fault(files, error), markup=False, highlight=False, soft_wrap=True)
    return faulty


def _size(files: RecordFiles) -> int:
    try:
        return files.size_bytes
    except OSError:
        # Refused with its reason when its turn comes.
        return 0


def _fault(files: RecordFiles, error: Exception) -> str:
    if not isinstance(error, FhirInvalid):
        return f"{files.bundle}: {sentence(error)}"
    listed = [f"  {fault}" for fault in error.faults]
    rest = error.count - len(error.faults)
    head = f"{files.bundle}: not valid FHIR R4, {error.count} fault{'s' * (error.count != 1)} [{error.reason}]"
    return "\n".join([head, *listed, *([f"  and {rest} more"] if rest else [])])
