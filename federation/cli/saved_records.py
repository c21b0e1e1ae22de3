"""A directory of saved records: what lies in it whole, so that a later run asks only for what is missing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

import safefiles
from federation.cli.fetched_records import digest_of, require_empty
from federation.person.records import FetchedRecord
from federation.protocol.search import RecordLocation
from federation.words import sentence

LIST = "records.json"
"""What was saved, by whom it was sent, which record and version, and the digest of each file; mode 0600."""

_FIELDS = ("hospital", "handle", "version", "patient", "files")


@dataclass
class SavedRecords:
    """What one directory holds of one patient, by its list."""

    directory: Path
    saved: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, directory: Path, option: str) -> "SavedRecords":
        """Look at a directory that an earlier run filled, or that is empty. Raises BadParameter for any other."""
        try:
            content = (directory / LIST).read_bytes()
        except FileNotFoundError:
            require_empty(directory, option)
            return cls(directory)
        except OSError as error:
            raise click.BadParameter(sentence(error), param_hint=option) from None
        try:
            return cls(directory, [{name: one[name] for name in _FIELDS} for one in json.loads(content)])
        except (ValueError, TypeError, KeyError) as error:
            raise click.BadParameter(f"{LIST} in it is not what a run wrote", param_hint=option) from error

    def missing(self, locations: Sequence[RecordLocation], patient_id: str) -> list[RecordLocation]:
        """Return what of these is not here whole: each file there, and as its hospital signed it."""
        whole = {
            (one["hospital"], one["handle"])
            for one in self.saved
            if one["patient"] == patient_id and self._is_whole(one)
        }
        return [it for it in locations if (it.hospital.identity, it.handle.hex()) not in whole]

    def add(self, record: FetchedRecord, names: Sequence[tuple[str, str]]) -> None:
        """Note what a record was saved as: of each file, in the manifest's order, its name and digest. Raises OSError."""
        if not names:
            return
        left = iter(names)
        for entry in record.manifest.records:
            files = dict(next(left) for _ in entry.parts)
            noted = {"hospital": record.hospital_id, "handle": entry.handle.hex(), "version": entry.version}
            self.saved.append({**noted, "patient": record.manifest.patient_id, "files": files})
        safefiles.replace(self.directory / LIST, json.dumps(self.saved, indent=1).encode())

    def _is_whole(self, one: dict[str, Any]) -> bool:
        try:
            return all(digest_of(self.directory / Path(name).name) == digest for name, digest in one["files"].items())
        except OSError:
            return False
