"""What a ceremony writes: the transcript, its state, its new files; and digests for ears.

The transcript is JSON lines, each bound to the one before it. An entry's digest is SHA-256(previous digest || the entry without
its digest), where the entry is written in its one canonical spelling: ASCII, keys sorted, no blanks. The first entry's previous
digest is 32 zero bytes. At the end everybody present signs T("ceremony", digest of the entry "closed")
(docs/ceremonies/transcript.md).

A digest is hexadecimal for the eye, and words to read aloud: of SLIP-39's list, which `shamir-mnemonic` ships: 1024 English
words, four to eight letters long, no two with the same first four letters. One word is ten bits, so a digest is 26 words
(docs/adr/0016-ceremonies.md says why not another list).
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from shamir_mnemonic.wordlist import WORDLIST

import hsm
import safefiles
from keystore.ceremony.errors import ChainBroken, LineMalformed, OutputExists, ResumeRefused, TranscriptTruncated
from keystore.transcript import transcript

_BITS: Final = 10
_PER_LINE: Final = 6


def words_of(digest: bytes) -> list[str]:
    """Return a digest's words; the last one's low bits are zero where the digest ends inside it."""
    count = -(-len(digest) * 8 // _BITS)
    number = int.from_bytes(digest, "big") << (count * _BITS - len(digest) * 8)
    return [WORDLIST[number >> (_BITS * place) & (1 << _BITS) - 1] for place in reversed(range(count))]


def spoken(digest: bytes) -> list[str]:
    """Return the lines that a person reads aloud, words six to a line."""
    words = words_of(digest)
    return [" ".join(words[start : start + _PER_LINE]) for start in range(0, len(words), _PER_LINE)]


def file_digest(path: Path) -> bytes:
    """Return a file's SHA-256. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def source_digest() -> bytes:
    """Return one SHA-256 over the source of this tool, `safefiles`, `hsm` and `keystore`: names and digests of all files."""
    total = hashlib.sha256(f"{file_digest(Path(safefiles.__file__)).hex()}  safefiles.py\n".encode())
    for package in (Path(hsm.__file__).parent, Path(__file__).parents[1]):
        for path in sorted(package.rglob("*.py")):
            total.update(f"{file_digest(path).hex()}  {package.name}/{path.relative_to(package)}\n".encode())
    return total.digest()


START: Final = bytes(32)
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
        """Return what the next entry is bound to."""
        return hashlib.sha256(bytes.fromhex(self.previous) + canonical(vars(self))).digest()

    def line(self) -> bytes:
        """Return the entry as it stands in the file."""
        return canonical(vars(self) | {"digest": self.digest.hex()}) + b"\n"


def canonical(value: object) -> bytes:
    """Return JSON in its one spelling."""
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
        """Return the digest of the last entry."""
        return self.entries[-1].digest if self.entries else START

    def add(self, event: str, by: str, **data: object) -> Entry:
        """Write an entry, durably."""
        at = self._now().astimezone(UTC).isoformat(timespec="milliseconds")
        entry = Entry(len(self.entries) + 1, at, event, by, data, self.head.hex())
        safefiles.append(self.path, entry.line())
        self.entries.append(entry)
        return entry


def signed_message(head: bytes) -> bytes:
    """Return T("ceremony", head): what participants sign."""
    return transcript("ceremony", head)


@dataclass
class State:
    """Where a ceremony stands. It is written before a key or a file is made, so that nothing made is unknown.

    `made`, `destroyed` and `making` are labels, in whichever of the tokens has them; `before` gives by token what it held,
    `pin_held` how its PIN is held, if not by the administrator, `transports` the SHA-256 of its transport key as it was shown.
    `outputs` gives each file's SHA-256, or "" while it is being written; `card` is the public card of a backup whose shares are
    written down; `aborted` says that nothing is left to do but to undo.
    """

    path: Path
    file_sha256: str
    step: str = ""
    making: str | None = None
    made: list[str] = field(default_factory=list)
    destroyed: list[str] = field(default_factory=list)
    before: dict[str, list[str]] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    card: str | None = None
    pin_held: dict[str, str] = field(default_factory=dict)
    transports: dict[str, str] = field(default_factory=dict)
    aborted: bool = False

    @classmethod
    def read(cls, path: Path, file_sha256: str) -> Self:
        """Read what an interrupted ceremony of this file left. Raises ResumeRefused."""
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            state = cls(path=path, **kept)
        except FileNotFoundError as error:
            raise ResumeRefused(f"{path} is not there: no ceremony was interrupted") from error
        except (ValueError, TypeError) as error:
            raise ResumeRefused(f"{path} is not what an interrupted ceremony leaves") from error
        if state.file_sha256 != file_sha256:
            raise ResumeRefused("the ceremony that was interrupted had another file")
        return state

    def save(self) -> None:
        """Put it on the disk, whole."""
        kept = {name: value for name, value in asdict(self).items() if name != "path"}
        safefiles.replace(self.path, json.dumps(kept, indent=1).encode())

    def forget(self) -> None:
        """Remove it: the ceremony is over, and nothing is half-made."""
        self.path.unlink(missing_ok=True)


def write_new(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file that is not there yet, durably. Raises OutputExists, OSError."""
    try:
        safefiles.create(path, content, mode)
    except FileExistsError as error:
        raise OutputExists(f"{path} is there already") from error


def require_absent(*paths: Path) -> None:
    """Raise OutputExists, naming all, if something is there, a broken link included."""
    there = [str(path) for path in paths if os.path.lexists(path)]
    if there:
        raise OutputExists(f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} there already")
