"""What a page sends: a form that proves whose page it is from, with the fields that its handler names and no others.

A body is read within a bound and into memory alone: what a person uploads never lies in a temporary file.
"""

from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from federation.pages.entrance import Entrance
from federation.pages.errors import BodyTooLarge, FormForged, FormInvalid

PROOF: Final = "csrf"
SEEN: Final = "seen"

MOST_BYTES: Final = 64 * 1024
"""Of a form without files."""

PHOTO_BYTES: Final = 8 * 1024 * 1024
MOST_UPLOAD_BYTES: Final = 64 * 1024 * 1024
"""Of a form with files, whatever its handler asks for."""

_MOST_FIELDS: Final = 1000
_MOST_DIGITS: Final = 18
_DRAINED_BYTES: Final = 1 << 30


@dataclass(frozen=True)
class Upload:
    """A file that was sent: its name as the browser gives it, which is the sender's to choose, and its bytes."""

    name: str
    content: bytes

    def __repr__(self) -> str:
        """Show the size alone."""
        return f"<Upload of {len(self.content)} bytes>"


@dataclass(frozen=True, repr=False)
class Form:
    """A form that was sent by our own page. `seen` is the number of the state that its page showed."""

    seen: int
    _values: Mapping[str, tuple[str, ...]]
    _files: Mapping[str, Upload]

    def text(self, name: str) -> str:
        """Return a field as it was typed, with line ends as "\\n"; nothing if the form had no such field."""
        return self._values.get(name, ("",))[0].replace("\r\n", "\n")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return every value of a field that may stand several times."""
        return self._values.get(name, ())

    def is_ticked(self, name: str) -> bool:
        """Return whether a box was ticked."""
        return name in self._values

    def file(self, name: str) -> Upload | None:
        """Return a file, or None where none was chosen."""
        return self._files.get(name)


async def posted(
    request: Request,
    *names: str,
    many: Collection[str] = (),
    files: Collection[str] = (),
    most_bytes: int = MOST_BYTES,
) -> Form:
    """Read a form with these fields, those of `many` any number of times, and at most one file of each of `files`.

    Raises BodyTooLarge before more than `most_bytes` are held, FormInvalid for any other field or a field that stands twice,
    FormForged unless the form is from this run's own page.
    """
    try:
        body = await _body(request, min(most_bytes, MOST_UPLOAD_BYTES))
    except ClientDisconnect:
        raise FormInvalid from None
    pairs = await _parsed(request, body)
    _require_fields([name for name, _ in pairs], {*names, *files, PROOF, SEEN}, many)
    values: dict[str, tuple[str, ...]] = {}
    held: dict[str, Upload] = {}
    for name, value in pairs:
        if isinstance(value, Upload) != (name in files):
            raise FormInvalid
        if isinstance(value, str):
            values[name] = (*values.get(name, ()), value)
        elif value.name or value.content:  # a browser sends an empty file where none was chosen
            held[name] = value
    return Form(_seen(request.app.state.entrance, values), values, held)


def _require_fields(names: list[str], single: set[str], many: Collection[str]) -> None:
    if any(name not in single and name not in many for name in names):
        raise FormInvalid
    if any(names.count(name) > 1 for name in single):
        raise FormInvalid


def _seen(entrance: Entrance, values: Mapping[str, tuple[str, ...]]) -> int:
    seen, proof = values.get(SEEN, ("",))[0], values.get(PROOF, ("",))[0]
    if not (seen.isascii() and seen.isdigit() and len(seen) <= _MOST_DIGITS):
        raise FormForged
    entrance.require_form_proof(int(seen), proof)
    return int(seen)


async def _body(request: Request, most_bytes: int) -> bytes:
    length = request.headers.get("content-length", "0")
    is_longer = not length.isdigit() or int(length) > most_bytes
    body = bytearray()
    drained = 0
    async for chunk in request.stream():
        if not is_longer and len(body) + len(chunk) <= most_bytes:
            body += chunk
            continue
        # A browser shows an answer only when it has sent everything: so the rest is taken, and kept nowhere.
        is_longer = True
        body.clear()
        drained += len(chunk)
        if drained > _DRAINED_BYTES:
            break
    if is_longer:
        raise BodyTooLarge
    return bytes(body)


async def _parsed(request: Request, body: bytes) -> list[tuple[str, str | Upload]]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            return await _parts(request, body)
        if kind == "application/x-www-form-urlencoded":
            text = body.decode("ascii")
            return list(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"))
    except (MultiPartException, ValueError) as error:
        raise FormInvalid from error
    raise FormInvalid


class _InMemory(MultiPartParser):
    spool_max_size = MOST_UPLOAD_BYTES + 1
    """More than any body has, so that no part is written to a temporary file."""


async def _parts(request: Request, body: bytes) -> list[tuple[str, str | Upload]]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _InMemory(
        request.headers, stream(), max_files=_MOST_FIELDS, max_fields=_MOST_FIELDS, max_part_size=len(body) + 1
    )
    form = await parser.parse()
    parts: list[tuple[str, str | Upload]] = []
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            parts.append((name, Upload(value.filename or "", await value.read())))
            await value.close()
        else:
            parts.append((name, value))
    return parts
