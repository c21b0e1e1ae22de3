"""What stands in the binder of a ceremony: run sheet and transcript as one document that people sign.

Before a ceremony it is a sheet with blanks, from the ceremony's file; after it the same sheet is filled in, from a transcript
that was verified. Who was there, what was done, who said so and how long it took come first, then lines to sign on; every field
of the transcript and every file that was made are in an annex. Nothing in it is secret, for nothing in a transcript is.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from keystore.ceremony.plan import Plan
from keystore.ceremony.steps import SIGN, minutes, script
from keystore.ceremony.transcript import Entry, spoken
from keystore.ceremony.verify import Verified

BLANK: Final = ""
"""Where something is written by hand."""
_ROW_BYTES: Final = 16
_EXCEPTIONS: Final = {
    "asked-again": "a PIN was refused and asked for once more",
    "paused": "a pause began",
    "continued": "the pause ended",
    "interrupted": "the ceremony was interrupted",
    "failed": "something failed",
    "resumed": "the ceremony went on",
}


@dataclass(frozen=True)
class Digest:
    """A SHA-256 for the eye and for the ear."""

    what: str
    hexadecimal: str
    words: tuple[str, ...]

    @classmethod
    def of(cls, what: str, digest: bytes) -> "Digest":
        """Spell a digest."""
        return cls(what, digest.hex(), tuple(spoken(digest)))


@dataclass(frozen=True)
class Person:
    """Somebody present; `signed_at` is when their token signed the transcript."""

    name: str
    role: str
    affiliation: str
    public_key: str
    signed_at: str = BLANK


@dataclass(frozen=True)
class Confirmation:
    """Somebody's "Yes" to a step's question, or the box for it."""

    name: str
    role: str
    at: str = BLANK


@dataclass(frozen=True)
class Record:
    """A step: what was to be done, when it began and how long it took, who confirmed it, and what it showed."""

    id: str
    do: str
    estimated: str
    begun: str = BLANK
    took: str = BLANK
    question: str = ""
    confirmations: tuple[Confirmation, ...] = ()
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A line of the transcript with its fields."""

    number: int
    at: str
    event: str
    by: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class MadeFile:
    """A file that the ceremony made, as text if it is text, else its bytes in hexadecimal."""

    file: str
    sha256: str
    rows: tuple[str, ...]


@dataclass(frozen=True)
class Binder:
    """The document."""

    title: str
    kind: str
    rehearsal: bool
    facts: tuple[tuple[str, str], ...]
    digests: tuple[Digest, ...]
    people: tuple[Person, ...]
    steps: tuple[Record, ...]
    exceptions: tuple[str, ...] = ()
    lines: tuple[Line, ...] = field(default=(), repr=False)
    files: tuple[MadeFile, ...] = field(default=(), repr=False)

    @property
    def is_blank(self) -> bool:
        """Return whether it is a sheet to be filled in."""
        return not self.lines


def blank_binder(plan: Plan) -> Binder:
    """Return the sheet that people fill in while they hold a ceremony; the same for the same file."""
    steps = script(plan)
    people = [
        Person(name, plan.roles.role_of(name), who.affiliation, who.public_key)
        for name, who in plan.participants.items()
    ]
    tokens = [("Token", str(uri)) for uri in plan.tokens.values()]
    facts = [
        ("Place", plan.place),
        ("Date", BLANK),
        ("Estimated", f"{minutes(sum(step.seconds for step in steps))} min"),
        *tokens,
    ]
    return Binder(
        title=plan.title,
        kind=f"{plan.kind.name}: {plan.kind.purpose}",
        rehearsal=False,
        facts=tuple(facts),
        digests=(Digest.of("the ceremony's file", plan.digest),),
        people=tuple(people),
        steps=tuple(
            Record(
                step.id,
                step.do,
                f"{minutes(step.seconds)} min",
                question=step.question,
                confirmations=tuple(Confirmation(name, plan.roles.role_of(name)) for name in step.confirm),
            )
            for step in steps
        ),
    )


def filled_binder(verified: Verified) -> Binder:
    """Return the document of a ceremony that was held."""
    entries, opened = verified.entries, verified.entries[0].data
    facts = [
        ("Place", _text(opened.get("place"))),
        ("Date", entries[0].at[:10]),
        ("Begun", _time(entries[0].at)),
        ("Ended", _time(entries[-1].at)),
        ("Took", _lasted(entries[0], entries[-1])),
        *((name, _text(opened.get(key))) for name, key in (("Tool", "tool"), ("OpenSSL", "openssl"))),
        ("SHA-256 of the tool's source", _text(opened.get("tool_sha256"))),
        ("SHA-256 of the transcript before", _text(opened.get("previous_sha256")) or "none came before"),
    ]
    digests = [
        Digest.of("the ceremony's file", bytes.fromhex(_text(opened.get("file_sha256")))),
        Digest.of("the transcript, which everybody signed", verified.head),
    ]
    return Binder(
        title=verified.title,
        kind=verified.kind,
        rehearsal=verified.rehearsal,
        facts=tuple(facts),
        digests=tuple(digests),
        people=tuple(_people(verified)),
        steps=tuple(_records(entries)),
        exceptions=tuple(_exception(entry) for entry in entries if entry.event in _EXCEPTIONS),
        lines=tuple(map(_line, entries)),
        files=tuple(_file(entry) for entry in entries if entry.event == "output"),
    )


def _people(verified: Verified) -> Iterator[Person]:
    opened = verified.entries[0].data
    roles, affiliations = _table(opened.get("roles")), _table(opened.get("affiliations"))
    signed = {entry.by: _time(entry.at) for entry in verified.entries if entry.event == "signed"}
    for name, key in verified.signers.items():
        yield Person(name, roles.get(name, ""), affiliations.get(name, ""), key, signed.get(name, BLANK))


def _records(entries: Sequence[Entry]) -> Iterator[Record]:
    """Give each step as it was held; one that was gone on with after an interruption comes once more."""
    begins = [place for place, entry in enumerate(entries) if entry.event in {"step", "closed"}]
    for begin, end in zip(begins, [*begins[1:], len(entries)], strict=True):
        yield _record(entries[begin:end])


def _record(entries: Sequence[Entry]) -> Record:
    first, rest = entries[0], entries[1:]
    done = first.event == "closed"
    seconds = first.data.get("seconds")
    record = Record(
        id=SIGN if done else _text(first.data.get("step")),
        do="Everybody present signs the transcript." if done else _text(first.data.get("do")),
        estimated=f"{minutes(seconds)} min" if isinstance(seconds, int) else BLANK,
        begun=_time(first.at),
        took=_lasted(first, entries[-1]),
        question=_text(first.data.get("question")),
    )
    agreed = [
        Confirmation(entry.by, _text(entry.data.get("role")), _time(entry.at))
        for entry in rest
        if entry.event == "confirmed"
    ]
    shown = [said for entry in rest for said in _shown(entry)]
    return replace(record, confirmations=tuple(agreed), shown=tuple(shown))


_SHOWN: Final = {
    "token": "token {label}, serial number {serial}, {model}",
    "issuer": "the medical authority's token {label}, serial number {serial}, {model}",
    "inventory": "the token {serial} holds {labels}",
    "nonces": "{distinct} different nonces of {signatures} in the token {serial}; chance: {fair}",
    "pin-split": "shares to {officers}; {threshold} of them are needed",
    "backup": "shares to {officers}; {threshold} of them are needed; card {card}",
    "transport": "transport key of the token {serial}, SHA-256 {sha256}",
    "key": "key {label} in the token {serial}, public key {public_key}",
    "output": "file {file}, SHA-256 {sha256}",
    "destroyed": "destroyed {label} in the token {serial}: {why}",
    "signed": "{by} signed at {at}",
}
"""In words, what a line says that was made or found; its fields are in the annex."""


def _shown(entry: Entry) -> list[str]:
    words = _SHOWN.get(entry.event)
    facts = {name: _several(value) for name, value in entry.data.items()}
    return [words.format_map(_Named(facts, by=entry.by, at=_time(entry.at)))] if words else []


class _Named(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "none"


def _exception(entry: Entry) -> str:
    facts = ", ".join(f"{name} {_text(value)}" for name, value in sorted(entry.data.items()) if value)
    return f"{_time(entry.at)}, {entry.by}: {_EXCEPTIONS[entry.event]}" + (f" ({facts})" if facts else "")


def _line(entry: Entry) -> Line:
    fields = tuple((name, _text(value)) for name, value in sorted(entry.data.items()) if name != "content")
    return Line(entry.number, entry.at, entry.event, entry.by, fields)


def _file(entry: Entry) -> MadeFile:
    content = bytes.fromhex(_text(entry.data.get("content")))
    return MadeFile(_text(entry.data.get("file")), _text(entry.data.get("sha256")), tuple(_rows(content)))


def _rows(content: bytes) -> Iterator[str]:
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        text = ""
    if text and all(line.isprintable() for line in text.splitlines()):
        yield from text.splitlines()
        return
    for start in range(0, len(content), _ROW_BYTES):
        yield f"{start:06x}  {content[start : start + _ROW_BYTES].hex(' ')}"


def _text(value: object) -> str:
    """Return a field as it is read: nothing for what is not there."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _table(value: object) -> dict[str, str]:
    return {str(name): str(one) for name, one in value.items()} if isinstance(value, dict) else {}


def _several(value: object) -> str:
    return ", ".join(map(str, value)) or "nothing" if isinstance(value, list) else _text(value) or "none"


def _time(at: str) -> str:
    return f"{at[11:19]} UTC"


def _lasted(first: Entry, last: Entry) -> str:
    passed = datetime.fromisoformat(last.at) - datetime.fromisoformat(first.at)
    whole, seconds = divmod(round(passed.total_seconds()), 60)
    return f"{whole} min {seconds} s" if whole else f"{seconds} s"
