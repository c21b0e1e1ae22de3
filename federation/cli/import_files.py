"""Which files are one record: found in a folder by their names, or listed in a manifest."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from federation.cli.text_file import WINDOWS_1252, read_text
from federation.hospital.importing import RecordFiles
from federation.protocol.identities import require_identity

COLUMNS = ["patient", "department", "file"]
BUNDLE_ENDINGS = (".json", ".ndjson")

_FIRST_FIELD = re.compile(r'\s*(?:"[^"]*"|[^",;\t]*)\s*([,;\t])')
"""A line's first field and what comes after it: Excel separates by what the country's settings say."""


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


def from_paths(
    patient_id: str | None, department_id: str | None, paths: Sequence[Path], attachments: tuple[Path, ...]
) -> Found:
    """Find the records in folders and among files. Raises UsageError, FieldInvalid, OSError."""
    if not patient_id or not department_id or not paths:
        raise click.UsageError("--patient, --department and at least one FILE or DIR are needed, or --manifest")
    if attachments and (len(paths) > 1 or paths[0].is_dir()):
        raise click.UsageError("--attach goes with exactly one FILE")
    require_identity("patient", patient_id)
    require_identity("department", department_id)
    records: list[RecordFiles] = []
    passed: list[Passed] = []
    for path in paths:
        if path.is_dir():
            beside, left = _in_folder(path)
            records += (RecordFiles(patient_id, department_id, bundle, tuple(own)) for bundle, own in beside.items())
            passed += left
        else:
            records.append(RecordFiles(patient_id, department_id, path, attachments))
    return Found(records, [str(files.bundle) for files in records], passed)


def from_manifest(manifest: Path) -> Found:
    """Read the records of a CSV file as Excel and others write it. Raises UsageError, WrongFile, OSError; both name the line."""
    text, encoding = read_text(manifest, fallback=WINDOWS_1252)
    records, where = [], []
    for line, fields in _rows(manifest, text):
        if len(fields) < len(COLUMNS) or not all(fields[: len(COLUMNS)]):
            raise click.UsageError(f"{manifest}, line {line}: patient,department,file are needed")
        bundle, *attached = (manifest.parent / field for field in fields[2:] if field)
        records.append(RecordFiles(fields[0], fields[1], bundle, tuple(attached)))
        where.append(f"{manifest}, line {line}: {bundle}")
    return Found(records, where, encoding=encoding)


def _in_folder(folder: Path) -> tuple[dict[Path, list[Path]], list[Passed]]:
    """Give each bundle of a folder with the files that go with it, and what is passed over: one by one, in folders below, too."""
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
    """Give the bundles with the longest name, without its ending, that this file's name begins with."""
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


def _rows(manifest: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Give each row with its first line's number, without the header, Excel's `sep=;` and empty rows."""
    lines = list(io.StringIO(text, newline=""))
    stated = re.fullmatch(r"sep=([,;\t|])\s*", lines[0]) if lines else None
    skipped = 1 if stated else 0
    guessed = _FIRST_FIELD.match(next((line for line in lines[skipped:] if line.strip()), ""))
    delimiter = stated[1] if stated else guessed[1] if guessed else ","
    reader = csv.reader(lines[skipped:], delimiter=delimiter, strict=True)
    is_first, line = True, skipped + 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise click.UsageError(f"{manifest}, line {line}: {error}") from error
        fields = [field.strip() for field in row]
        is_header = is_first and [field.lower() for field in fields[:3]] == COLUMNS
        if any(fields) and not is_header:
            yield line, fields
        is_first = is_first and not any(fields)
        line = skipped + reader.line_num + 1
