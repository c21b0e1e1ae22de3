"""The transcript: JSON lines, each bound to the one before it.

An entry's digest is SHA-256(previous digest || the entry without its digest), where the entry is written in its one canonical
spelling: ASCII, keys sorted, no blanks. The first entry's previous digest is 32 zero bytes. At the end everybody present
signs `SIGNED_PREFIX || digest` of the entry "closed" (docs/ceremonies/transcript.md).
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import safefiles
from keystore.ceremony.errors import ChainBroken, LineMalformed, OutputExists, TranscriptTruncated

START: Final = bytes(32)
SIGNED_PREFIX: Final = b"medunion/v1 ceremony transcript\x00"
_FIELDS: Final = {"number", "at", "event", "by", "data", "previous", "digest"}
Data = Mapping[str, object]


@dataclass(frozen=True)
class Entry:
    """One line. `at` is UTC to the millisecond; `by` says whose doing it was."""

    number: int
    at: str
    event: str
    by: str
    data: Data
    previous: str

    @property
    def digest(self) -> bytes:
        """Give what the next entry is bound to."""
        return hashlib.sha256(bytes.fromhex(self.previous) + canonical(vars(self))).digest()

    def line(self) -> bytes:
        """Give the entry as it stands in the file."""
        return canonical(vars(self) | {"digest": self.digest.hex()}) + b"\n"


def canonical(value: object) -> bytes:
    """Give JSON in its one spelling."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def parse(content: bytes) -> list[Entry]:
    """Read a transcript and check its chain. Raises LineMalformed, ChainBroken, TranscriptTruncated."""
    if not content.endswith(b"\n"):
        last = content.count(b"\n") + 1
        raise TranscriptTruncated(f"line {last} does not end")
    entries: list[Entry] = []
    previous = START
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), 1):
        entry = _entry(number, line)
        if entry.number != number:
            raise ChainBroken(f"line {number} has the number {entry.number}")
        if entry.previous != previous.hex():
            raise ChainBroken(f"line {number} does not follow line {number - 1}")
        if entry.line() != line + b"\n":
            raise ChainBroken(f"line {number} is not what its digest says")
        if entries and entry.at < entries[-1].at:
            raise ChainBroken(f"line {number} is earlier than line {number - 1}")
        entries.append(entry)
        previous = entry.digest
    return entries


def _entry(number: int, line: bytes) -> Entry:
    try:
        values = json.loads(line)
        digest = values.pop("digest")
        entry = Entry(**values)
        datetime.fromisoformat(entry.at)
        spelled = canonical(values | {"digest": digest})
        bytes.fromhex(entry.previous)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise LineMalformed(f"line {number} is no entry of a transcript") from error
    if spelled != line or not _typed(entry):
        raise LineMalformed(f"line {number} is not spelled as an entry is")
    return entry


def _typed(entry: Entry) -> bool:
    texts = (entry.at, entry.event, entry.by, entry.previous)
    return type(entry.number) is int and isinstance(entry.data, dict) and all(isinstance(text, str) for text in texts)


class Transcript:
    """A transcript that is being written: each entry is on the disk before the ceremony goes on."""

    def __init__(self, path: Path, entries: list[Entry], now: Callable[[], datetime]) -> None:
        """Go on after these entries; use `begin` or `reopen`."""
        self.path = path
        self.entries = entries
        self._now = now

    @classmethod
    def begin(cls, path: Path, now: Callable[[], datetime]) -> "Transcript":
        """Make the file, mode 0600. Raises OutputExists."""
        try:
            safefiles.create(path, b"")
        except FileExistsError as error:
            raise OutputExists(f"{path} is there already") from error
        return cls(path, [], now)

    @classmethod
    def reopen(cls, path: Path, now: Callable[[], datetime]) -> "Transcript":
        """Go on with a file. Raises TranscriptInvalid."""
        transcript = cls(path, [], now)
        transcript.reload()
        return transcript

    def reload(self) -> None:
        """Take the file's word for what was written: an interruption may have come between writing and noting an entry.

        Half a line at its end, where the machine stopped, is cut off. Raises TranscriptInvalid.
        """
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        self.entries = parse(whole) if whole else []
        if whole != content:
            safefiles.cut(self.path, len(whole))

    @property
    def head(self) -> bytes:
        """Give the digest of the last entry."""
        return self.entries[-1].digest if self.entries else START

    def add(self, event: str, by: str, **data: object) -> Entry:
        """Write an entry, durably."""
        at = self._now().astimezone(UTC).isoformat(timespec="milliseconds")
        entry = Entry(len(self.entries) + 1, at, event, by, data, self.head.hex())
        safefiles.append(self.path, entry.line())
        self.entries.append(entry)
        return entry


def signed_message(head: bytes) -> bytes:
    """Give what participants sign."""
    return SIGNED_PREFIX + head
