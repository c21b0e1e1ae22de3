"""A schema validator's errors in the words of the FHIR specification, without the values that caused them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import jsonschema_rs
from jsonschema_rs import ValidationErrorKind

from federation.clinical.errors import Fault

ELEMENT_NAME = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}")
"""What an element's name looks like. Any other name may be text that somebody typed, and is not repeated."""

MAX_CODES_LISTED = 12

JSON_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "number": "a number",
    "object": "an object",
    "string": "text",
}

PRIMITIVES = (
    *("base64Binary", "boolean", "canonical", "code", "dateTime", "date", "time", "decimal", "instant", "integer"),
    *("markdown", "oid", "positiveInt", "unsignedInt", "uuid", "id", "string", "uri", "url"),
)
"""R4's datatypes that are texts or numbers, those that end like another one first."""


@dataclass(frozen=True, slots=True)
class Place:
    """A resource within the document: the steps that lead to it, and its kind."""

    steps: tuple[str | int, ...]
    kind: str


def describe(error: jsonschema_rs.ValidationError, place: Place) -> Fault:
    """The fault behind an error that the validator found in the resource at `place`."""
    root = "Bundle" if place.steps else place.kind
    steps = tuple(error.instance_path)
    return Fault(
        path=root + _dotted((*place.steps, *steps)),
        element=place.kind + _dotted([step for step in steps if isinstance(step, str)]),
        words=_words(error),
    )


def _dotted(steps: Sequence[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{_name(step)}" for step in steps)


def _name(name: str) -> str:
    return name if ELEMENT_NAME.fullmatch(name) else f"(a name of {len(name)} characters)"


def _words(error: jsonschema_rs.ValidationError) -> str:
    match error.kind:
        case ValidationErrorKind.Required(property=name):
            return f"lacks the required element {_name(name)}"
        case ValidationErrorKind.AdditionalProperties(unexpected=names):
            return f"has an element that R4 does not know: {', '.join(map(_name, names[:MAX_CODES_LISTED]))}"
        case ValidationErrorKind.Type(types=types):
            return f"must be {' or '.join(JSON_TYPES.get(name, name) for name in types)}"
        case ValidationErrorKind.Enum(options=codes):
            return _not_among([str(code) for code in codes])
        case ValidationErrorKind.Pattern():
            return f"is not a valid {_datatype(error)}"
        case other:
            return f"breaks the schema's rule {other.name!r}"


def _not_among(codes: list[str]) -> str:
    if len(codes) > MAX_CODES_LISTED:
        return f"is none of the {len(codes)} names that R4 allows here"
    return f"is none of the codes that R4 allows here: {', '.join(codes)}"


def _datatype(error: jsonschema_rs.ValidationError) -> str:
    """The FHIR datatype of the failed pattern: its own definition, or the end of a choice such as valueTime."""
    owner, leaf = error.schema_path[1], str(error.schema_path[-2])
    if leaf == owner:
        return leaf
    return next((name for name in PRIMITIVES if leaf.lower().endswith(name.lower())), "value")
