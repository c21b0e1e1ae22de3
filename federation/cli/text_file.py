"""Text files that a person wrote with whatever was at hand: Excel, Notepad, an editor."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from federation.person.errors import WrongFile

MOST_BYTES = 64 * 1024 * 1024

WINDOWS_1252 = "windows-1252"
"""What Excel and Notepad write in Western Europe and America where they aren't told to write UTF-8."""

_MARKED = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks, and what a file that begins with one is."""


_FIRST_FIELD = re.compile(r'\s*(?:"[^"]*"|[^",;\t]*)\s*([,;\t])')
"""A line's first field and what comes after it: Excel separates by what the country's settings say."""


def read_text(path: Path, *, fallback: str | None = None) -> tuple[str, str]:
    """Read a text of UTF-8, or of UTF-16 or UTF-32 with a byte order mark, or else of `fallback`; return it and its encoding.

    Line ends stay as they are. Raises WrongFile that names the file and the line, OSError.
    """
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise WrongFile(f"{path} is larger than {MOST_BYTES // 1024**2} MiB")
    mark, encoding = next(((mark, name) for mark, name in _MARKED if data.startswith(mark)), (b"", "utf-8"))
    data = data[len(mark) :]
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if fallback is None or mark:
            raise WrongFile(f"{path}, line {_line(data, error, encoding)}: not {encoding.upper()}") from error
        text, encoding = _decoded(path, data, fallback), fallback
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise WrongFile(f"{path}, line {line}: a NUL character, which no text has")
    return text, encoding


def csv_rows(path: Path, text: str, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row of a CSV file with its first line's number, without the header, Excel's `sep=;` and empty rows.

    Raises UsageError that names the file and the line.
    """
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
            raise click.UsageError(f"{path}, line {line}: {error}") from error
        fields = [field.strip() for field in row]
        is_header = is_first and [field.lower() for field in fields[: len(columns)]] == list(columns)
        if any(fields) and not is_header:
            yield line, fields
        is_first = is_first and not any(fields)
        line = skipped + reader.line_num + 1


def _decoded(path: Path, data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        place = f"{path}, line {_line(data, error, encoding)}"
        raise WrongFile(f"{place}: neither UTF-8 nor {encoding.upper()}; save it as UTF-8") from error


def _line(data: bytes, error: UnicodeDecodeError, encoding: str) -> int:
    return data[: error.start].decode(encoding, "replace").count("\n") + 1
