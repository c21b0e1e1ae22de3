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
    "integer": "a whole number",
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
    """Return the fault behind an error that the validator found in the resource at `place`."""
    return _fault(tuple(error.instance_path), place, _words(error))


def describe_null(steps: tuple[str | int, ...], place: Place) -> Fault:
    """Return the fault of a null in a list that nothing stands beside."""
    return _fault(steps, place, "is null, and nothing beside it in the list of the same name with a _ says why")


def _fault(steps: tuple[str | int, ...], place: Place, words: str) -> Fault:
    root = "Bundle" if place.steps else place.kind
    return Fault(
        path=root + _dotted((*place.steps, *steps)),
        element=place.kind + _dotted([step for step in steps if isinstance(step, str)]),
        words=words,
    )


def _dotted(steps: Sequence[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{_name(step)}" for step in steps)


def _name(name: str) -> str:
    return name if ELEMENT_NAME.fullmatch(name) else f"(a name of {len(name)} characters)"


def _words(error: jsonschema_rs.ValidationError) -> str:  # noqa: C901, PLR0911 - a line for each rule
    match error.kind:
        case ValidationErrorKind.Required(property=name):
            return f"lacks the required element {_name(name)}"
        case ValidationErrorKind.AdditionalProperties(unexpected=names):
            return f"has an element that R4 does not know: {', '.join(map(_name, names[:MAX_CODES_LISTED]))}"
        case ValidationErrorKind.Type(types=types):
            return f"must be {' or '.join(JSON_TYPES.get(name, name) for name in types if name != 'null')}"
        case ValidationErrorKind.Enum(options=codes):
            return _not_among([str(code) for code in codes if code is not None])
        case ValidationErrorKind.Pattern() | ValidationErrorKind.Minimum() | ValidationErrorKind.Maximum():
            return f"is not a valid {_datatype(error)}"
        case ValidationErrorKind.Format():
            return f"is no {_datatype(error)} that exists"
        case ValidationErrorKind.OneOfNotValid():
            return f"lacks the required element {_choice(error)}"
        case ValidationErrorKind.OneOfMultipleValid():
            return f"has more than one {_choice(error)}"
        case other:
            return f"breaks the schema's rule {other.name!r}"


def _not_among(codes: list[str]) -> str:
    if len(codes) > MAX_CODES_LISTED:
        return f"is none of the {len(codes)} names that R4 allows here"
    return f"is none of the codes that R4 allows here: {', '.join(codes)}"


def _datatype(error: jsonschema_rs.ValidationError) -> str:
    """Return the FHIR datatype of the failed pattern: its own definition, or the end of a choice such as valueTime."""
    owner, leaf = error.schema_path[1], str(error.schema_path[-2])
    if leaf == owner:
        return leaf.removesuffix(" or null")
    return next((name for name in PRIMITIVES if leaf.lower().endswith(name.lower())), "value")


def _choice(error: jsonschema_rs.ValidationError) -> str:
    """Return the choice whose rule failed, as the specification writes it: value[x]."""
    return f"{str(error.schema_path[1]).rpartition('.')[2]}[x]"
