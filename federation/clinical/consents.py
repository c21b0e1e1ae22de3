"""Grants as FHIR R4 Consents, by IHE's Privacy Consent on FHIR (PCF 1.1); consent_drafts.py reads what is written here.

The profile is PCF's advanced one, the only one with a security label: without one a Consent is about records of every level.
What narrows a grant and has no element in PCF (rights, hospitals, department classes) is a modifier extension: who does not
know it must not act on the Consent.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from federation.clinical.bundles import collection
from federation.clinical.fhir import validate_resource
from federation.clinical.identity import (
    MILLISECOND,
    certified_reference,
    deputy_reference,
    instant,
    is_named,
    organization_reference,
    patient_reference,
)
from federation.clinical.strictjson import dump

OURS = "https://medunion.example/fhir"
"""What begins each URL of an element that is ours alone; docs/consent.md defines them."""

PROFILE = "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consentAdvanced"
GRANTED = f"{OURS}/StructureDefinition/granted"
PURPOSE = f"{OURS}/StructureDefinition/purpose-in-words"
GRANT_ID = f"{OURS}/grant-id"
GRANT_NUMBER = f"{OURS}/grant-number"

SCOPE = ("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy")
CATEGORY = ("http://loinc.org", "59284-0")
RECIPIENT = ("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP")
TREATMENT = ("http://terminology.hl7.org/CodeSystem/v3-ActReason", "TREAT")
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"

LABELS = {"normal": "N", "restricted": "R"}
"""Highest sensitivity -> its code. FHIR reads one code of confidentiality as a high-water mark: it, and what is lower."""

RIGHTS = ("find", "read", "deposit")

RIGHT, HOSPITAL, DEPARTMENT_CLASS = "right", "hospital", "department-class"
"""The parts of the extension GRANTED, each as often as it takes."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a consent is for: a doctor under its medical authority; or whoever is on duty in `H:name/class`, or at a hospital."""

    party_id: str
    authority_id: str = ""


@dataclass(frozen=True, slots=True)
class ConsentTerms:
    """What a consent allows, until `ends`, not itself included. `begins` None is at once."""

    recipient: Recipient
    hospitals: Sequence[str]
    department_classes: Sequence[str]
    rights: Sequence[str]
    sensitivity: str
    purpose: str
    begins: datetime | None
    ends: datetime


@dataclass(frozen=True, slots=True)
class GivenConsent:
    """A consent that was signed: `signed` is the statement, `stands` whether it neither ended nor was taken back."""

    terms: ConsentTerms
    patient_id: str
    signer_id: str
    stated_at: datetime
    grant_id: bytes
    number: int
    stands: bool
    signed: bytes


def policy_uri(realm: str) -> str:
    """Return the name of the policy of this federation, under which its consents are given."""
    return f"{OURS}/policy/{quote(realm, safe='')}"


def consent_bundle(consents: Sequence[GivenConsent], *, cloud_id: str, realm: str, exported: datetime) -> bytes:
    """Return a collection of one Consent each, valid R4. The same arguments give the same bytes. Raises FhirInvalid."""
    contents = [dump(_consent(given, cloud_id, realm)) for given in consents]
    for content in contents:
        validate_resource(content, "Consent")
    return collection(contents, instant(exported))


def _consent(given: GivenConsent, cloud_id: str, realm: str) -> dict[str, Any]:
    is_own = given.signer_id == given.patient_id
    return {
        "resourceType": "Consent",
        "meta": {"profile": [PROFILE]},
        "identifier": [
            {"system": GRANT_ID, "value": given.grant_id.hex()},
            {"system": GRANT_NUMBER, "value": str(given.number), "use": "secondary"},
        ],
        "status": "active" if given.stands else "inactive",
        "scope": _concept(SCOPE),
        "category": [_concept(CATEGORY)],
        "patient": patient_reference(given.patient_id),
        "dateTime": instant(given.stated_at),
        "performer": [patient_reference(given.patient_id) if is_own else deputy_reference(given.signer_id)],
        "organization": [organization_reference(cloud_id)],
        "sourceAttachment": {
            "contentType": "application/protobuf",
            "title": "federation.v1.SignedStatement, label grant",
            "creation": instant(given.stated_at),
            "data": base64.b64encode(given.signed).decode(),
        },
        "policy": [{"uri": policy_uri(realm)}],
        "provision": _provision(given.terms),
    }


def _provision(terms: ConsentTerms) -> dict[str, Any]:
    begins = {} if terms.begins is None else {"start": instant(terms.begins)}
    said = {"extension": [{"url": PURPOSE, "valueString": terms.purpose}]} if terms.purpose else {}
    return said | {
        "modifierExtension": [{"url": GRANTED, "extension": _granted(terms)}],
        "type": "permit",
        # FHIR counts a period's end in, and a grant does not.
        "period": begins | {"end": instant(terms.ends - MILLISECOND)},
        "actor": [{"role": _concept(RECIPIENT), "reference": _recipient(terms.recipient)}],
        "securityLabel": [_coding((CONFIDENTIALITY, LABELS[terms.sensitivity]))],
        "purpose": [_coding(TREATMENT)],
    }


def _granted(terms: ConsentTerms) -> list[dict[str, str]]:
    parts = [
        *({"url": RIGHT, "valueCode": right} for right in terms.rights),
        *({"url": HOSPITAL, "valueString": hospital} for hospital in terms.hospitals),
        *({"url": DEPARTMENT_CLASS, "valueString": name} for name in terms.department_classes),
    ]
    return parts or [{"url": RIGHT, "valueCode": "none"}]


def _recipient(recipient: Recipient) -> dict[str, Any]:
    if is_named("doctor", recipient.party_id):
        return certified_reference(recipient.party_id, recipient.authority_id)
    return organization_reference(recipient.party_id)


def _concept(code: tuple[str, str]) -> dict[str, Any]:
    return {"coding": [_coding(code)]}


def _coding(code: tuple[str, str]) -> dict[str, str]:
    return {"system": code[0], "code": code[1]}
