"""HL7's JSON schema of R4, which says less than R4 in some places and something else in others, mended as it is loaded.

The schema's file stays as published. What is mended by rule is here; what needs HL7's definitions of every element is in
schema/r4-rules.json, whose README says where that comes from.
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from importlib import resources
from typing import Any

SCHEMA = "fhir-r4.schema.json.gz"
RULES = "r4-rules.json"

SPACE = r" \t\n\r\f\v"
PATTERNS = {
    r"^\S*$": f"^[^{SPACE}]*$",
    r"^[^\s]+(\s[^\s]+)*$": f"^[^{SPACE}]+([{SPACE}][^{SPACE}]+)*$",
    r"^[ \r\n\t\S]+$": r"^[^\f\v]+$",
    r"^(\s*([0-9a-zA-Z\+/=]){4}\s*)+$": rf"^([{SPACE}]*([0-9a-zA-Z\+/=]){{4}}[{SPACE}]*)+$",
}
"""HL7's regular expressions are XML Schema's and Java's, whose white space is ASCII's alone: "38,5 °C" may hold U+00A0."""

NUMBERS: dict[str, dict[str, Any]] = {
    "integer": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "unsignedInt": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    "positiveInt": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
}
"""The schema gives these patterns, which mean nothing for a number."""

TIMES = ("date", "dateTime", "instant", "time")

FORMATTED = re.compile(
    r"(?:(?P<day>(?!0000)[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))T?)?"
    r"(?:(?P<minute>(?:[01][0-9]|2[0-3]):[0-5][0-9]):(?P<second>[0-5][0-9]|60)(?:\.[0-9]+)?(?P<zone>Z|[+-][0-9:]{5})?)?"
)
LEAP_DAYS = {(6, 30), (12, 31)}
"""Every leap second was the last of one of these days, in UTC."""


def definitions() -> dict[str, Any]:
    """Return the schema's definitions, mended, `ResourceList` with them: what a resource of any kind is."""
    found: dict[str, Any] = json.loads(gzip.decompress(_file(SCHEMA)))["definitions"]
    rules = json.loads(_file(RULES))
    leaves = {found[name]["pattern"]: name for name in (*TIMES, *NUMBERS)}
    found["xhtml"]["type"] = "string"
    for name in list(found):
        if name not in {"ResourceList", "xhtml"}:
            _mend_leaf(found[name], leaves)
        for described in found[name].get("properties", {}).values():
            _mend_leaf(described, leaves)
    _mend_codes(found, rules)
    for name in [name for name in found if "properties" in found[name]]:
        # The schema says nowhere that what has elements is an object, and so lets the number 5 pass for a Bundle's entry.
        found[name]["type"] = "object"
        _let_lists_hold_null(found, found[name]["properties"])
        if presence := [*_required(rules["required"].get(name, ())), *_choices(found, rules, name)]:
            found[name]["allOf"] = presence
    return found | {"ResourceList": _dispatch(found["ResourceList"]["oneOf"])}


def other_version(contents: Iterable[Any]) -> tuple[str, str] | None:
    """Return the FHIR version that most of these resources seem to be of if it isn't R4, and what of it R4 doesn't know.

    That is a kind of resource (`Citation`) or an element right below one (`Encounter.actualPeriod`), by HL7's definitions
    of STU3 and R5.
    """
    seen = Counter(name for resource in contents if isinstance(resource, dict) for name in _names(resource))
    elsewhere: dict[str, list[str]] = json.loads(_file(RULES))["elsewhere"]
    hits = {version: [name for name in names if name in seen] for version, names in elsewhere.items()}
    version = max(hits, key=lambda one: sum(seen[name] for name in hits[one]))
    return (version, max(hits[version], key=seen.__getitem__)) if hits[version] else None


def _names(resource: dict[str, Any]) -> Iterator[str]:
    kind = resource.get("resourceType")
    if isinstance(kind, str):
        yield kind
        yield from (f"{kind}.{name}" for name in resource)


def _file(name: str) -> bytes:
    return resources.files("federation.clinical").joinpath("schema", name).read_bytes()


def exists(text: str) -> bool:
    """Return whether a well-formed date, dateTime, instant or time is one that there is; its form is the pattern's affair.

    A leap second (R4 writes it :60) is where UTC has them; of a `time`, whose day isn't known, at the end of a quarter of
    an hour, for zones differ by quarters.
    """
    found = FORMATTED.fullmatch(text)
    if found is None:
        return True
    day, minute, is_leap = found["day"], found["minute"], found["second"] == "60"
    try:
        if day is None:
            return not is_leap or int(minute[3:]) % 15 == 14
        start = datetime.fromisoformat(f"{day} {minute or '00:00'}")
        return not is_leap or _ends_a_leap_day(start - _offset(found["zone"]))
    except (ValueError, OverflowError):
        return False


def _ends_a_leap_day(start: datetime) -> bool:
    return (start.month, start.day) in LEAP_DAYS and (start.hour, start.minute) == (23, 59)


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone == "Z":
        return timedelta(0)
    size = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
    return -size if zone[0] == "-" else size


def _mend_leaf(described: dict[str, Any], leaves: dict[str, str]) -> None:
    pattern = described.get("pattern", "")
    leaf = leaves.get(pattern, "")
    if pattern in PATTERNS:
        described["pattern"] = PATTERNS[pattern]
    elif leaf in NUMBERS:
        described |= NUMBERS[leaf]
    elif leaf:
        described["format"] = leaf


def _mend_codes(found: dict[str, Any], rules: dict[str, Any]) -> None:
    """Let pass what HL7's definitions allow and its schema forgot: codes that are free, codes and types that are missing."""
    for place in rules["open_codes"]:
        owner, _, name = place.partition(".")
        del found[owner]["properties"][name]["enum"]
        found[owner]["properties"][name] |= {"$ref": "#/definitions/code"}
    for place, codes in rules["more_codes"].items():
        owner, _, name = place.partition(".")
        described = found[owner]["properties"][name]
        described.get("items", described)["enum"] += codes
    for place in rules["more_types"]:
        owner, _, name = place.partition(".")
        found[owner]["properties"][name] = {"$ref": "#/definitions/Meta"}


def _let_lists_hold_null(found: dict[str, Any], properties: dict[str, Any]) -> None:
    """Let null stand in a list of primitives beside `_name`, and in `_name`: each where the other has something.

    R4, json.html. That the other has something no schema can say: the validator does.
    """
    for name in [name for name in properties if f"_{name}" in properties and properties[name].get("type") == "array"]:
        for listed in (properties[name], properties[f"_{name}"]):
            items = listed["items"]
            if "enum" in items:
                listed["items"] = {"enum": [*items["enum"], None]}
                continue
            target = items["$ref"].rpartition("/")[2]
            kept = {key: value for key, value in found[target].items() if key != "type"}
            found[f"{target} or null"] = kept | {"type": [found[target].get("type", "object"), "null"]}
            listed["items"] = {"$ref": f"#/definitions/{target}%20or%20null"}


def _required(names: list[str]) -> Iterator[dict[str, Any]]:
    """Require primitives, which the schema does nowhere because their value or their `_name` will do."""
    for name in names:
        yield {"if": {"required": [f"_{name}"]}, "else": {"required": [name]}}


def _choices(found: dict[str, Any], rules: dict[str, Any], owner: str) -> Iterator[dict[str, Any]]:
    """Require that of value[x] and its kind one is there at most, or exactly."""
    for name, choice in rules["choices"].get(owner, {}).items():
        types = rules["any"] if choice["types"] == "any" else choice["types"]
        ways = [_present(name + kind[0].upper() + kind[1:], is_primitive=kind[0].islower()) for kind in types]
        found[f"{owner}.{name}"] = {"oneOf": ways if choice["needed"] else [*ways, {"not": {"anyOf": ways}}]}
        yield {"$ref": f"#/definitions/{owner}.{name}"}


def _present(name: str, *, is_primitive: bool) -> dict[str, Any]:
    value = {"required": [name]}
    return {"anyOf": [value, {"required": [f"_{name}"]}]} if is_primitive else value


def _dispatch(kinds: list[dict[str, str]]) -> dict[str, Any]:
    """Return the rule that sends a resource to its resourceType's definition.

    HL7's says only that a resource is `oneOf` 146 kinds, so that a wrong birth date is reported as "matches none of 146".
    The same documents pass, for each kind requires its own resourceType; for its `if` the schema is read as draft 7.
    """
    names = [kind["$ref"].rpartition("/")[2] for kind in kinds]
    return {
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": {"enum": names}},
        "allOf": [
            {
                "if": {"type": "object", "required": ["resourceType"], "properties": {"resourceType": {"const": name}}},
                "then": {"$ref": f"#/definitions/{name}"},
            }
            for name in names
        ],
    }
