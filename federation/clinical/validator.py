"""R4's schema (r4.py) as one compiled validator whose faults a person can act on, and what no schema can say of nulls."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import jsonschema_rs

from federation.clinical import r4
from federation.clinical.errors import Fault
from federation.clinical.faults import Place, describe, describe_null

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
    if not _compiled().validator.is_valid(resource) or _has_lone_null(resource):
        for place, piece in _pieces(resource):
            faults = [describe(error, place) for error in _errors(piece)]
            found += faults or [describe_null(steps, place) for steps in islice(_lone_nulls(piece), MAX_COUNTED)]
            if len(found) >= MAX_COUNTED:
                break
    return found, len(found)


def other_version(resource: dict[str, Any]) -> tuple[str, str] | None:
    """Return the FHIR version that an invalid resource seems to be of instead of R4, if any, and what of it is in there."""
    entries = resource.get("entry")
    held = entries if isinstance(entries, list) else []
    return r4.other_version([resource, *(entry.get("resource") for entry in held if isinstance(entry, dict))])


@dataclass(frozen=True, slots=True)
class _Compiled:
    validator: jsonschema_rs.Draft7Validator
    kinds: frozenset[str]


@functools.cache
def _compiled() -> _Compiled:
    """Return the schema, compiled at first use (0.15 s). Its regular expressions run in linear time: no input can stall it."""
    definitions = r4.definitions()
    schema = {"$ref": "#/definitions/ResourceList", "definitions": definitions}
    validator = jsonschema_rs.Draft7Validator(
        schema,
        formats=dict.fromkeys(r4.TIMES, r4.exists),
        validate_formats=True,
        pattern_options=jsonschema_rs.RegexOptions(),
    )
    return _Compiled(validator, frozenset(definitions["ResourceList"]["properties"]["resourceType"]["enum"]))


def _pieces(resource: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Return a bundle's frame, then each entry's resource alone, so that one bad resource is reported as that resource's."""
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
    """Return the resourceType where it is one of R4's, and so no stranger's text; else the word Resource."""
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


def _has_lone_null(resource: dict[str, Any]) -> bool:
    return next(_lone_nulls(resource), None) is not None


def _lone_nulls(value: Any, steps: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:  # noqa: ANN401 - JSON
    """Yield where a list has null, and `_name` at the same place nothing that stands for it (R4, json.html)."""
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, list) and None in item and not name.startswith("_"):
                yield from ((*steps, name, index) for index in _unmatched(item, value.get(f"_{name}")))
            if isinstance(item, dict | list):
                yield from _lone_nulls(item, (*steps, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                yield from _lone_nulls(item, (*steps, index))


def _unmatched(items: list[Any], beside: Any) -> Iterator[int]:  # noqa: ANN401 - JSON
    others = beside if isinstance(beside, list) else []
    return (at for at, item in enumerate(items) if item is None and not any(others[at : at + 1]))
