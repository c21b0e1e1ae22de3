"""A collection Bundle around resources, which go in byte for byte."""

import uuid
from collections.abc import Sequence
from typing import Any

from federation.clinical.errors import NotJson
from federation.clinical.strictjson import BUNDLE, RESOURCE, dump, parse


def collection(contents: Sequence[bytes], timestamp: str | None = None) -> bytes:
    """Return the Bundle of these resources, each one JSON object. The same arguments give the same bytes; nothing is checked."""
    moment = b"" if timestamp is None else b'"timestamp":%s,' % dump(timestamp)
    return b'{"entry":[%s],"resourceType":"Bundle",%s"type":"collection"}' % (b",".join(map(_entry, contents)), moment)


def as_bundle(data: bytes) -> bytes:
    """Return the Bundle in a file: the file itself, or a collection of the one resource in it or of those of NDJSON, one a line.

    Only the outermost is looked at: what is given still has to be validated. Raises FhirTooLarge, NotJson.
    """
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith(b"{") for _, line in lines):
        return collection([_resource_at(number, line) for number, line in lines])
    if _kind(parse(data, BUNDLE)) in {None, "Bundle"}:
        return data
    return collection([data])


def _resource_at(number: int, line: bytes) -> bytes:
    try:
        kind = _kind(parse(line, RESOURCE))
    except NotJson as error:
        raise NotJson(f"line {number} of NDJSON: {error}") from None
    if kind == "Bundle":
        raise NotJson(f"line {number} of NDJSON is a Bundle; a file has one Bundle, or resources one a line")
    return line.strip()


def _kind(resource: Any) -> str | None:  # noqa: ANN401 - not validated yet
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    return kind if isinstance(kind, str) else None


def _entry(resource: bytes) -> bytes:
    """Return an entry named after its content. The splice is safe: each resource was parsed as exactly one JSON object."""
    name = uuid.uuid5(uuid.NAMESPACE_URL, resource.decode("utf-8"))
    return b'{"fullUrl":%s,"resource":%s}' % (dump(name.urn), resource)
