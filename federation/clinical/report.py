"""The doctor's diagnosis as a FHIR R4 DiagnosticReport, and the encounter that a hospital files."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from federation.clinical.errors import WrongStatus
from federation.clinical.fhir import load_resource, validate_resource
from federation.clinical.identity import doctor_reference, identity, instant, patient_reference
from federation.clinical.strictjson import dump
from federation.clinical.text import counted, printable

DIAGNOSIS_CODE = {"system": "http://loinc.org", "code": "29308-4", "display": "Diagnosis"}

SUPPORTING_INFO = "http://hl7.org/fhir/StructureDefinition/workflow-supportingInfo"
"""HL7's R4 extension for what a report was made from; `basedOn` means orders, not findings."""

REPLACES = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces"
"""HL7's R4 extension for the report whose place this one takes."""

AMENDED = frozenset({"amended", "corrected", "appended"})
"""FHIR's statuses of a report that was final and has been changed since."""

DIGEST_SYSTEM = "urn:ietf:rfc:3986"
"""FHIR's system for an identifier that is a URI."""


@dataclass(frozen=True, slots=True)
class Source:
    """What one hospital sent, by the SHA-256 digest that its signature covers, and how many records that was."""

    digest: bytes
    hospital_id: str
    records: int


@dataclass(frozen=True, slots=True)
class Coding:
    """A diagnosis in a terminology, such as ("http://hl7.org/fhir/sid/icd-10", "I10", "Essential hypertension")."""

    system: str
    code: str
    display: str


def diagnostic_report(
    *,
    patient_id: str,
    doctor_id: str,
    conclusion: str,
    codes: Sequence[Coding],
    issued: datetime,
    based_on: Sequence[Source],
    amends: bytes | None = None,
) -> bytes:
    """Return a DiagnosticReport, in one encoding: the same arguments give the same bytes, and these get signed.

    It is final, or amended where it takes the place of the report whose exact bytes are `amends`. `issued` carries its
    zone; `based_on` is what the doctor read. Digests (SHA-256) are written as RFC 6920 URIs. Raises FhirInvalid if a text or
    code isn't what FHIR allows.
    """
    report: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "status": "final" if amends is None else "amended",
        "code": {"coding": [DIAGNOSIS_CODE]},
        "subject": patient_reference(patient_id),
        "performer": [doctor_reference(doctor_id)],
        "issued": instant(issued),
        "conclusion": conclusion,
    }
    if codes:
        report["conclusionCode"] = [{"coding": [_coding(code)]} for code in codes]
    extensions = [_supporting(source) for source in based_on]
    if amends is not None:
        extensions.append(_replacing(amends))
    if extensions:
        report["extension"] = extensions
    encoded = dump(report)
    validate_resource(encoded, "DiagnosticReport")
    return encoded


def require_status(report: Mapping[str, Any], *, is_amended: bool) -> None:
    """Raise WrongStatus unless the report says whether it takes another's place as its signature does."""
    if (report.get("status") in AMENDED) != is_amended:
        raise WrongStatus(is_amended=is_amended)


def digest_uri(digest: bytes) -> str:
    """Return a SHA-256 digest as a URI (RFC 6920). Raises ValueError for another length than 32 bytes."""
    if len(digest) != 32:
        raise ValueError("a SHA-256 digest has 32 bytes")
    return f"ni:///sha-256;{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def summarise(data: bytes) -> str:
    """Return a DiagnosticReport as one paragraph of plain text that is safe to print, whoever wrote it.

    Raises what validate_resource raises.
    """
    report = load_resource(data, "DiagnosticReport")
    doctors = ", ".join(identity(performer) for performer in report.get("performer", ())) or "an unnamed doctor"
    codes = "; ".join(_words(concept) for concept in report.get("conclusionCode", ()))
    patient = identity(report.get("subject", {})) or "an unnamed patient"
    conclusion = report.get("conclusion", "no conclusion")
    sentences = (
        f"Diagnosis by {doctors} for {patient}{_issued(report)}, {report.get('status', 'of unknown status')}: {conclusion}",
        f"Coded as {codes}" if codes else "",
        _sources(report),
    )
    return printable(" ".join(f"{sentence.rstrip('. ')}." for sentence in sentences if sentence), limit=2000)


def _coding(code: Coding) -> dict[str, str]:
    return {"system": code.system, "code": code.code, "display": code.display}


def _supporting(source: Source) -> dict[str, Any]:
    display = f"{counted(source.records, 'record')} of {source.hospital_id}"
    reference = {"identifier": {"system": DIGEST_SYSTEM, "value": digest_uri(source.digest)}, "display": display}
    return {"url": SUPPORTING_INFO, "valueReference": reference}


def _replacing(report: bytes) -> dict[str, Any]:
    uri = digest_uri(hashlib.sha256(report).digest())
    reference = {"type": "DiagnosticReport", "identifier": {"system": DIGEST_SYSTEM, "value": uri}}
    return {"url": REPLACES, "valueReference": reference}


def _words(concept: dict[str, Any]) -> str:
    coded = [
        f"{coding.get('display', '')} ({coding['code']})".strip()
        for coding in concept.get("coding", ())
        if "code" in coding
    ]
    return concept.get("text") or ", ".join(coded) or "a code without words"


def _issued(report: dict[str, Any]) -> str:
    match = re.match(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?:[:.\d]*)(Z|[+-]\d\d:\d\d)", report.get("issued", ""))
    return f", issued {match[1]} {match[2]} {'UTC' if match[3] == 'Z' else match[3]}" if match else ""


def _sources(report: dict[str, Any]) -> str:
    """Return what it rests on, in answers where the report does not say how many records a digest covers."""
    cited = [part for part in report.get("extension", ()) if part.get("url") == SUPPORTING_INFO]
    displayed = [display for part in cited if (display := part.get("valueReference", {}).get("display"))]
    uncounted = len(cited) - len(displayed)
    answers = [f"records in {counted(uncounted, 'answer')} of hospitals"] * bool(uncounted)
    return f"Based on {', '.join([*displayed, *answers])}" if cited else ""
