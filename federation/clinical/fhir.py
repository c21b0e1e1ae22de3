"""FHIR R4 resources, checked on the way in."""

from dataclasses import dataclass, field
from typing import Any

from federation.clinical.errors import Fault, FhirInvalid
from federation.clinical.strictjson import BUNDLE, RESOURCE, parse
from federation.clinical.summary import BundleSummary, summary_of
from federation.clinical.validator import faults_of, other_version


@dataclass(frozen=True)
class CheckedBundle:
    """A valid bundle and what it says of itself."""

    content: bytes = field(repr=False)
    summary: BundleSummary


def validate_bundle(data: bytes) -> BundleSummary:
    """Check that `data` is a FHIR R4 Bundle in which every resource is valid, and say what it holds.

    Raises FhirTooLarge over 17 MiB, NotJson, or FhirInvalid with every fault named.
    """
    return summary_of(load_resource(data, "Bundle"))


def validate_resource(data: bytes, resource_type: str) -> None:
    """Check that `data` is a valid FHIR R4 resource of this type. Raises FhirTooLarge, NotJson or FhirInvalid."""
    load_resource(data, resource_type)


def load_resource(data: bytes, resource_type: str) -> dict[str, Any]:
    """Return the resource in `data`, as validate_resource checks it."""
    resource = read_resource(data, resource_type)
    faults, count = faults_of(resource)
    if faults:
        raise FhirInvalid(faults, count, other_version(resource))
    return resource


def read_resource(data: bytes, resource_type: str) -> dict[str, Any]:
    """Return the one resource of this type in `data`, of which nothing else is checked.

    Raises FhirTooLarge, NotJson, or FhirInvalid for another kind.
    """
    resource = parse(data, BUNDLE if resource_type == "Bundle" else RESOURCE)
    if not isinstance(resource, dict) or resource.get("resourceType") != resource_type:
        wrong_kind = f"must be a JSON object with resourceType {resource_type}"
        raise FhirInvalid([Fault(resource_type, resource_type, wrong_kind)])
    return resource
