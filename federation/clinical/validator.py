"""The official FHIR R4 JSON schema as one compiled validator whose faults a person can act on.

HL7's schema says of a resource only that it is `oneOf` 146 kinds, so that a wrong birth date is reported as "matches
none of 146". Its text is kept as published; at load time that rule becomes: resourceType names a kind, and the resource
follows that kind's definition. The same documents pass (each kind requires its own resourceType), and a fault names its
element, also inside `contained` and nested bundles. One hole is closed: HL7 forgot to say that whatever has elements is
an object, so that the number 5 passes for a Bundle's entry or a HumanName.
"""

import functools
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jsonschema_rs

from federation.clinical.errors import Fault
from federation.clinical.faults import Place, describe

SCHEMA = "schema/fhir-r4.schema.json.gz"

MAX_COUNTED = 1_000
"""Faults after which the search stops: enough to see that a document is hopeless."""

MAX_LISTED_VALUES = 20_000
"""Values in one piece above which only its first fault is looked for. The validator collects all faults of a piece
before it yields one, at 4 kB and 34 microseconds each (measured): a hostile list of half a million would cost 2 GB."""


def faults_of(resource: dict[str, Any]) -> tuple[list[Fault], int]:
    """All faults of a resource against R4, at most about MAX_COUNTED, and their number (a lower bound at that size).

    A resource without faults is valid. Never raises for content.
    """
    found: list[Fault] = []
    if not _compiled().validator.is_valid(resource):
        for place, piece in _pieces(resource):
            found.extend(describe(error, place) for error in _errors(piece))
            if len(found) >= MAX_COUNTED:
                break
    return found, len(found)


@dataclass(frozen=True, slots=True)
class _Compiled:
    validator: jsonschema_rs.Draft7Validator
    kinds: frozenset[str]


@functools.cache
def _compiled() -> _Compiled:
    """The schema, compiled at first use (0.15 s). Its regular expressions run in linear time: no input can stall it."""
    packed = resources.files("federation.clinical").joinpath(SCHEMA).read_bytes()
    definitions: dict[str, Any] = json.loads(gzip.decompress(packed))["definitions"]
    for name, definition in definitions.items():
        if "properties" in definition:
            # An Element extends a primitive, and lists of them hold null where there is nothing to extend (R4, json.html).
            definition["type"] = ["object", "null"] if name == "Element" else "object"
    kinds = [reference["$ref"].rpartition("/")[2] for reference in definitions["ResourceList"]["oneOf"]]
    definitions["ResourceList"] = _dispatch(kinds)
    schema = {"$ref": "#/definitions/ResourceList", "definitions": definitions}
    validator = jsonschema_rs.Draft7Validator(schema, pattern_options=jsonschema_rs.RegexOptions())
    return _Compiled(validator, frozenset(kinds))


def _dispatch(kinds: list[str]) -> dict[str, Any]:
    """The rule that sends a resource to its resourceType's definition; for its `if` the schema is read as draft 7."""
    return {
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": {"enum": kinds}},
        "allOf": [
            {
                "if": {"type": "object", "required": ["resourceType"], "properties": {"resourceType": {"const": kind}}},
                "then": {"$ref": f"#/definitions/{kind}"},
            }
            for kind in kinds
        ],
    }


def _pieces(resource: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """A bundle's frame, then each entry's resource alone, so that one bad resource is reported as that resource's."""
    kind = _kind(resource)
    entries = resource.get("entry")
    if kind != "Bundle" or not isinstance(entries, list):
        yield Place((), kind), resource
        return
    yield Place((), kind), resource | {"entry": [_without_resource(entry) for entry in entries]}
    for index, entry in enumerate(entries):
        if isinstance(entry, dict) and "resource" in entry:
            inner = entry["resource"]
            yield Place(("entry", index, "resource"), _kind(inner)), inner


def _without_resource(entry: Any) -> Any:  # noqa: ANN401 - not validated yet
    return {name: value for name, value in entry.items() if name != "resource"} if isinstance(entry, dict) else entry


def _kind(resource: Any) -> str:  # noqa: ANN401 - not validated yet
    """The resourceType where it is one of R4's, and so no stranger's text; else the word Resource."""
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    return kind if isinstance(kind, str) and kind in _compiled().kinds else "Resource"


def _errors(piece: Any) -> Iterator[jsonschema_rs.ValidationError]:  # noqa: ANN401 - not validated yet
    if _count(piece) <= MAX_LISTED_VALUES:
        yield from _compiled().validator.iter_errors(piece)
        return
    try:
        _compiled().validator.validate(piece)
    except jsonschema_rs.ValidationError as first:
        yield first


def _count(value: Any) -> int:  # noqa: ANN401 - not validated yet
    if isinstance(value, dict):
        return 1 + sum(map(_count, value.values()))
    return 1 + sum(map(_count, value)) if isinstance(value, list) else 1
