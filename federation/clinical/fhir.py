"""FHIR R4 resources, checked on the way in, and what a bundle says of itself on one line."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any

from federation.clinical.errors import Fault, FhirInvalid
from federation.clinical.strictjson import parse
from federation.clinical.text import printable
from federation.clinical.validator import faults_of

CLINICAL_TIMES = (
    *("effectiveDateTime", "effectivePeriod", "occurrenceDateTime", "occurrencePeriod", "performedDateTime"),
    *("performedPeriod", "onsetDateTime", "onsetPeriod", "recordedDate", "authoredOn", "issued", "period", "started"),
)
"""Elements that say when something happened to the patient. Bills are left out: they come long after."""


@dataclass(frozen=True, slots=True)
class BundleSummary:
    """What a bundle holds, for a list or a terminal.

    `entries` counts resources by resourceType. `patient_name` and `birth_date` (FHIR: YYYY, YYYY-MM or YYYY-MM-DD) are
    the first Patient's, None if absent, and stay out of the repr. `period` is the first and last day of what is
    recorded; a date that gives only its month or year counts as that month's or year's first day.
    """

    entries: Mapping[str, int]
    patient_name: str | None = field(repr=False)
    birth_date: str | None = field(repr=False)
    period: tuple[date, date] | None


def validate_bundle(data: bytes) -> BundleSummary:
    """Check that `data` is a FHIR R4 Bundle in which every resource is valid, and say what it holds.

    Raises FhirTooLarge over 16 MiB, NotJson, or FhirInvalid with every fault named.
    """
    bundle = load_resource(data, "Bundle")
    held = [entry["resource"] for entry in bundle.get("entry", ()) if "resource" in entry]
    patient: dict[str, Any] = next((resource for resource in held if resource["resourceType"] == "Patient"), {})
    counts = Counter(resource["resourceType"] for resource in held)
    return BundleSummary(
        entries=MappingProxyType(dict(counts.most_common())),
        patient_name=_name(patient),
        birth_date=patient.get("birthDate"),
        period=_period(held),
    )


def validate_resource(data: bytes, resource_type: str) -> None:
    """Check that `data` is a valid FHIR R4 resource of this type. Raises FhirTooLarge, NotJson or FhirInvalid."""
    load_resource(data, resource_type)


def load_resource(data: bytes, resource_type: str) -> dict[str, Any]:
    """The resource in `data`, as validate_resource checks it."""
    resource = parse(data)
    if not isinstance(resource, dict) or resource.get("resourceType") != resource_type:
        wrong_kind = f"must be a JSON object with resourceType {resource_type}"
        raise FhirInvalid([Fault(resource_type, resource_type, wrong_kind)])
    faults, count = faults_of(resource)
    if faults:
        raise FhirInvalid(faults, count)
    return resource


def _name(patient: dict[str, Any]) -> str | None:
    names = patient.get("name") or [{}]
    name = next((candidate for candidate in names if candidate.get("use") == "official"), names[0])
    return printable(name.get("text") or " ".join([*name.get("given", ()), name.get("family", "")])) or None


def _period(held: list[dict[str, Any]]) -> tuple[date, date] | None:
    days = sorted(day for resource in held for day in _days(resource))
    return (days[0], days[-1]) if days else None


def _days(resource: dict[str, Any]) -> Iterator[date]:
    for name in CLINICAL_TIMES:
        value = resource.get(name)
        for text in (value.get("start"), value.get("end")) if isinstance(value, dict) else (value,):
            if isinstance(text, str) and (day := _day(text)):
                yield day


def _day(text: str) -> date | None:
    year, month, day = (*text[:10].split("-"), "01", "01")[:3]
    try:
        return date(int(year), int(month), int(day))
    except ValueError:  # the schema lets 31 February pass, and in some places text where we look for a date
        return None
