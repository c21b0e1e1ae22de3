"""What leaves a page as a file, or is looked at as it came: under a name of ours, as bytes or as text, and never run.

No file from a record is opened by its own type: a browser gets octets to save, and a bundle is shown as escaped text.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from starlette.responses import Response, StreamingResponse

from federation.clinical.text import without_control
from federation.pages.records import Part, content_of
from federation.person.fetching import is_note
from federation.person.records import FetchedRecord

CHARACTERS_A_PAGE: Final = 2_000_000
"""So that a usual record is on one page, where the chart's links find its entries."""
MOST_LINE: Final = 2000
"""Characters of a line that are shown; the file holds all of them."""

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_OPENING, _CLOSING = frozenset("{["), frozenset("}]")
_INDENT: Final = "  "
_IN_LIST: Final = 2
"""Within a bundle's list of entries."""
_MOST_DEPTH: Final = 40


def attachment(content: Iterable[bytes], name: str) -> Response:
    """Return an answer that a browser saves and does not open. `name` is ours: letters, digits, dots and hyphens."""
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(content, media_type="application/octet-stream", headers=headers)


def json_lines(text: str) -> Iterator[str]:
    """Yield a JSON text's lines as people read it: its own tokens, each as it is written, on lines of their own."""
    for _, line in entry_lines(text):
        yield line


def entry_lines(text: str) -> Iterator[tuple[int | None, str]]:
    """Yield the same lines of a bundle, each with the number of the entry that it is of, from 0 on; None before and after."""
    depth, line, before, entry, in_entries = 0, "", "", -1, False
    pieces = (match[0] for match in _TOKEN.finditer(text))
    piece = next(pieces, "")
    while piece:
        following = next(pieces, "")
        if piece in _CLOSING:
            if before not in _OPENING and line:
                yield _of_entry(entry, in_entries), line
                line = ""
            depth -= 1
            in_entries = in_entries and depth > 1
        if depth == 1 and piece == '"entry"' and following == ":":
            in_entries = True
        if in_entries and depth == _IN_LIST and piece == "{":
            entry += 1
        line = (line or _INDENT * min(depth, _MOST_DEPTH)) + piece + (" " if piece == ":" else "")
        depth += piece in _OPENING
        if piece == "," or (piece in _OPENING and following not in _CLOSING):
            yield _of_entry(entry, in_entries), line
            line = ""
        piece, before = following, piece
    if line:
        yield None, line


@dataclass(frozen=True)
class Section:
    """Some of a part's text, of one entry or of none."""

    entry: int | None
    text: str


def page_of(lines: Iterable[tuple[int | None, str]], number: int) -> tuple[list[Section], bool]:
    """Return a page of lines, from 1 on, in sections and made safe to show, and whether there are more."""
    page, shown_characters = 1, 0
    held: list[tuple[int | None, str]] = []
    for entry, line in lines:
        shown = _shown(line)
        if shown_characters + len(shown) > CHARACTERS_A_PAGE:
            page, shown_characters = page + 1, 0
        if page > number:
            return _sections(held), True
        shown_characters += len(shown)
        if page == number:
            held.append((entry, shown))
    return _sections(held), False


def text_of(record: FetchedRecord, part: Part, page: int) -> tuple[list[Section], bool]:
    """Return a page of a bundle's text, or of a note's; of any other file nothing. Raises as `content_of`."""
    if not (part.is_bundle or is_note(part.media_type, part.size_bytes)):
        return [], False
    text = b"".join(content_of(record, part)).decode(errors="replace")
    return page_of(entry_lines(text) if part.is_bundle else ((None, line) for line in text.splitlines()), page)


def _of_entry(entry: int, in_entries: bool) -> int | None:
    return entry if in_entries and entry >= 0 else None


def _sections(lines: Sequence[tuple[int | None, str]]) -> list[Section]:
    return [
        Section(entry, "\n".join(line for _, line in group)) for entry, group in groupby(lines, key=lambda it: it[0])
    ]


def _shown(line: str) -> str:
    safe = without_control(line.replace("\n", " "))
    return safe if len(safe) <= MOST_LINE else f"{safe[:MOST_LINE]}… ({len(safe) - MOST_LINE} characters more)"
