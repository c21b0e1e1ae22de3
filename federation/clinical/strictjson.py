"""JSON from strangers, read strictly, and JSON of our own, written one way only.

Two readers must never understand one signed document differently, so what RFC 8259 leaves to the reader (a name used
twice, NaN, lone surrogates, other encodings) is refused here.
"""

import json
import math
from dataclasses import dataclass
from typing import Any, Never

from federation.clinical.errors import FhirTooLarge, NotJson


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one document may be.

    Python needs up to 30 times the bytes of hostile JSON such as `[[],[],...]`, so values are counted, too; real records hold
    one per 40 bytes. Real records nest under 20 levels of objects and lists; Python's parser gives up near 1,000.
    """

    size_bytes: int
    values: int
    depth: int


RESOURCE = Limits(16 * 1024 * 1024, 500_000, 96)
"""A resource, such as a biosignal (docs/protocol.md, P2)."""

BUNDLE = Limits(17 * 1024 * 1024, 1_000_000, 100)
"""A bundle (docs/protocol.md, H2): whatever biosignal and diagnosis are taken as resources, their encounter is taken."""

BEGINNINGS = (
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (b"%PDF", "a PDF, which can go with a record as an attachment"),
    (b"\xef\xbb\xbf", "begins with a byte order mark; JSON is UTF-8 without one"),
    (b"\xff\xfe", "UTF-16, which begins with a byte order mark; JSON is UTF-8"),
    (b"\xfe\xff", "UTF-16, which begins with a byte order mark; JSON is UTF-8"),
)
"""What files begin with that are something else, and what they are."""


def parse(data: bytes, limits: Limits) -> Any:  # noqa: ANN401 - JSON is of any type until it is validated
    """Return the JSON value in `data`.

    Raises FhirTooLarge over the limits' bytes or values, NotJson for anything that isn't strict JSON within their depth.
    """
    _check_size(data, limits)
    if what := _something_else(data):
        raise NotJson(what)
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse_constant
        )
        if b"\\ud" in data.lower():  # an escape that may be half a surrogate pair, which no UTF-8 can hold
            dump(value)
    except UnicodeError:
        raise NotJson(f"the text is not valid UTF-8{_line_of_bad_utf8(data)}") from None
    except RecursionError:
        raise NotJson(f"nested deeper than {limits.depth} levels") from None
    except json.JSONDecodeError as error:
        # `from None`: the original carries the whole document, which is somebody's record.
        raise NotJson(_where(error)) from None
    except ValueError:
        raise NotJson("a number has too many digits") from None
    _check_depth(value, limits.depth)
    return value


def dump(value: object) -> bytes:
    """Return the one encoding that we write: sorted names, no spaces, UTF-8. Equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def _check_size(data: bytes, limits: Limits) -> None:
    if len(data) > limits.size_bytes:
        raise FhirTooLarge(f"more than {limits.size_bytes // 1024**2} MiB, and at most that is accepted")
    # Each value but the first follows one of these; inside text they only make the estimate higher.
    if sum(map(data.count, (b",", b"[", b"{"))) > limits.values:
        raise FhirTooLarge(f"more than {limits.values:,} values")


def _something_else(data: bytes) -> str | None:
    if not data.strip():
        return "empty"
    if data[128:132] == b"DICM":
        return "a DICOM file, which can go with a record as an attachment"
    if data.lstrip().startswith(b"<"):
        return "XML; FHIR is read as JSON"
    return next((words for beginning, words in BEGINNINGS if data.startswith(beginning)), None)


def _where(error: json.JSONDecodeError) -> str:
    if error.msg == "Extra data" and error.doc[error.pos : error.pos + 1] == "{":
        return f"a second JSON value at line {error.lineno}, as in NDJSON; one is expected"
    return f"not JSON at line {error.lineno}, column {error.colno}"


def _line_of_bad_utf8(data: bytes) -> str:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return f" at line {line}"
    return ""  # half of a surrogate pair, escaped


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise NotJson("an object uses one name twice")
    return unique


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotJson("a number is too large")
    return number


def _refuse_constant(text: str) -> Never:
    raise NotJson(f"{text} is no JSON number")


def _check_depth(value: object, most: int) -> None:
    level, depth = [value], 0
    while level := [child for parent in level for child in _containers(parent)]:
        depth += 1
        if depth >= most:
            raise NotJson(f"nested deeper than {most} levels")


def _containers(value: object) -> list[object]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [child for child in children if isinstance(child, dict | list)]
