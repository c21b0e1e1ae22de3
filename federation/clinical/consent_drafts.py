"""A FHIR R4 Consent from elsewhere as the draft of a grant, which the patient reads and signs; nothing of it holds unsigned.

A draft never says more than its Consent. What would narrow the Consent and is not known here (an exception, an extension, an
element that no grant has) refuses it as a whole: what is left out would be wider. Elements are let in by name, not kept out.
"""

import re
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from typing import Any

from federation.clinical import consents
from federation.clinical.consents import (
    CATEGORY,
    CONFIDENTIALITY,
    DEPARTMENT_CLASS,
    GRANTED,
    HOSPITAL,
    LABELS,
    PURPOSE,
    RECIPIENT,
    RIGHT,
    RIGHTS,
    SCOPE,
    TREATMENT,
    ConsentTerms,
    Recipient,
)
from federation.clinical.errors import ConsentNotExpressible, WrongSubject
from federation.clinical.fhir import load_resource
from federation.clinical.identity import MILLISECOND, is_named
from federation.clinical.strictjson import BUNDLE, parse

Element = dict[str, Any]

CATEGORIES = {CATEGORY, ("http://loinc.org", "64292-6"), ("http://terminology.hl7.org/CodeSystem/v3-ActCode", "IDSCL")}
"""Consent; release of information consent; information disclosure."""

STATUSES = ("draft", "proposed", "active")

ANY = "*"
UNSAID_RIGHTS = ("find", "read")
"""What a recipient of information may without the extension that says what it may: nothing is deposited by that."""

MOST_PURPOSE = 128

_TELLING = {"resourceType", "id", "meta", "language", "text", "identifier", "dateTime", "performer", "organization"}
"""What says where a Consent comes from, and nothing of what it allows: the patient signs anew, whoever signed it before."""
_SOURCES = {"sourceAttachment", "sourceReference"}
_DECIDING = {"status", "scope", "category", "patient", "policy", "provision"}
_PROVISION = {"type", "period", "actor", "securityLabel", "purpose", "modifierExtension", "extension"}

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?(Z|[+-]\d\d:\d\d)")


def read_draft(data: bytes, patient_id: str, realm: str) -> ConsentTerms:
    """Return what a Consent about this patient, under this federation's policy, allows; or the one in a Bundle of one.

    Raises FhirTooLarge, NotJson, FhirInvalid, WrongSubject, or ConsentNotExpressible that names the element.
    """
    consent = _consent_in(data)
    _allow("Consent", consent, _TELLING | _SOURCES | _DECIDING)
    if consent["status"] not in STATUSES:
        raise _refusal("Consent.status", f"is none of {', '.join(STATUSES)}")
    if _codes("Consent.scope", consent["scope"]) != {SCOPE}:
        raise _refusal("Consent.scope", "is another than patient-privacy")
    categories = [_codes("Consent.category", category) for category in consent["category"]]
    if not categories or not set().union(*categories) <= CATEGORIES:
        raise _refusal("Consent.category", "is another than consent to the disclosure of information")
    if _party("Consent.patient", consent.get("patient", {}), "Patient") != patient_id:
        raise WrongSubject(f"the Consent is about somebody else, not {patient_id}")
    if consent.get("policy") != [{"uri": consents.policy_uri(realm)}]:
        raise _refusal("Consent.policy", f"is not the one policy {consents.policy_uri(realm)}")
    return _terms(_one("Consent.provision", [consent["provision"]] if "provision" in consent else []))


def _consent_in(data: bytes) -> Element:
    value = parse(data, BUNDLE)
    if not isinstance(value, dict) or value.get("resourceType") != "Bundle":
        return load_resource(data, "Consent")
    entries = load_resource(data, "Bundle").get("entry", [])
    held = [entry.get("resource", {}) for entry in entries]
    if len(held) != 1 or held[0].get("resourceType") != "Consent":
        raise _refusal("Bundle.entry", "is not one Consent alone; give the one that is meant")
    resource: Element = held[0]
    return resource


def _terms(provision: Element) -> ConsentTerms:
    where = "Consent.provision"
    _allow(where, provision, _PROVISION)
    if provision.get("type") != "permit":
        raise _refusal(f"{where}.type", "is not permit: a grant forbids nothing, what it does not name stays closed")
    if {_code(f"{where}.purpose", coding) for coding in provision.get("purpose", [])} != {TREATMENT}:
        raise _refusal(f"{where}.purpose", "is not treatment (TREAT) alone")
    begins, ends = _period(provision)
    granted = _granted(provision)
    return ConsentTerms(
        recipient=_recipient(provision),
        hospitals=granted[HOSPITAL],
        department_classes=granted[DEPARTMENT_CLASS],
        rights=granted[RIGHT],
        sensitivity=_sensitivity(provision),
        purpose=_purpose(provision),
        begins=begins,
        ends=ends,
    )


def _period(provision: Element) -> tuple[datetime | None, datetime]:
    where = "Consent.provision.period"
    period = provision.get("period", {})
    _allow(where, period, {"start", "end"})
    if "end" not in period:
        raise _refusal(where, "has no end, and every grant has one")
    begins = _moment(f"{where}.start", period["start"]) if "start" in period else None
    # FHIR counts the end in. What "10:00:00" covers beyond its first millisecond is not taken.
    ends = _moment(f"{where}.end", period["end"]) + MILLISECOND
    if begins is not None and begins >= ends:
        raise _refusal(where, "ends before it begins")
    return begins, ends


def _moment(where: str, text: str) -> datetime:
    if _MOMENT.fullmatch(text):
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise _refusal(where, "is no moment with seconds and a time zone: a day begins and ends elsewhere at another time")


def _recipient(provision: Element) -> Recipient:
    where = "Consent.provision.actor"
    actor = _one(where, provision.get("actor", []))
    _allow(where, actor, {"role", "reference"})
    if _codes(f"{where}.role", actor["role"]) != {RECIPIENT}:
        raise _refusal(f"{where}.role", "is another than the recipient of information (IRCP)")
    where, reference = f"{where}.reference", actor["reference"]
    if reference.get("type") == "Practitioner":
        return _doctor(where, reference)
    name = _party(where, reference, "Organization")
    hospital_id, _, department_class = name.partition("/")
    known = is_named("hospital", hospital_id) and (
        name == hospital_id or is_named("department class", department_class)
    )
    if not known:
        raise _refusal(where, "is no hospital (H:name), nor a department class of one (H:name/class)")
    return Recipient(name)


def _doctor(where: str, reference: Element) -> Recipient:
    doctor_id = _party(where, reference, "Practitioner", "assigner")
    authority_id = _party(f"{where}.identifier.assigner", reference["identifier"].get("assigner", {}), "Organization")
    if not is_named("doctor", doctor_id) or not is_named("authority", authority_id):
        raise _refusal(where, "is no doctor (D:name) with the medical authority (M:name) as the identifier's assigner")
    return Recipient(doctor_id, authority_id)


def _sensitivity(provision: Element) -> str:
    """Return the highest sensitivity. Without a label a Consent is about every level; its draft is about normal records."""
    where = "Consent.provision.securityLabel"
    if "securityLabel" not in provision:
        return "normal"
    code = _code(where, _one(where, provision["securityLabel"]))
    for word, label in LABELS.items():
        if code == (CONFIDENTIALITY, label):
            return word
    raise _refusal(where, "is neither N nor R: no grant is about other levels")


def _granted(provision: Element) -> dict[str, tuple[str, ...]]:
    where = "Consent.provision.modifierExtension"
    if "modifierExtension" not in provision:
        return {RIGHT: UNSAID_RIGHTS, HOSPITAL: (ANY,), DEPARTMENT_CLASS: (ANY,)}
    granted = _one(where, provision["modifierExtension"])
    if granted.get("url") != GRANTED:
        raise _refusal(where, "is not known here")
    _allow(where, granted, {"url", "extension"})
    parts = list(_parts(where, granted.get("extension", [])))
    found = {name: tuple(value for part, value in parts if part == name) for name in _PARTS}
    for name, values in found.items():
        if not values:
            raise _refusal(where, f"names no {name}: it allows nothing")
    return found


def _parts(where: str, extensions: list[Element]) -> Iterator[tuple[str, str]]:
    for part in extensions:
        name = part.get("url", "")
        if name not in _PARTS:
            raise _refusal(where, "has a part that is not known here")
        kind, is_known = _PARTS[name]
        _allow(where, part, {"url", kind})
        if not is_known(part.get(kind)):
            raise _refusal(where, f"has a {name} that is not known here")
        yield name, part[kind]


_PARTS: dict[str, tuple[str, Callable[[object], bool]]] = {
    RIGHT: ("valueCode", lambda value: value in RIGHTS),
    HOSPITAL: ("valueString", lambda value: is_named("hospital or any", value)),
    DEPARTMENT_CLASS: ("valueString", lambda value: is_named("department class or any", value)),
}
"""A part of GRANTED -> the element that holds its value, and which values it may have."""


def _purpose(provision: Element) -> str:
    where = "Consent.provision.extension"
    if "extension" not in provision:
        return ""
    said = _one(where, provision["extension"])
    if said.get("url") != PURPOSE:
        raise _refusal(where, "is not known here")
    _allow(where, said, {"url", "valueString"})
    words = said.get("valueString", "")
    if not words.isascii() or not words.isprintable() or len(words) > MOST_PURPOSE:
        raise _refusal(where, f"is no purpose in at most {MOST_PURPOSE} characters of ASCII")
    purpose: str = words
    return purpose


def _party(where: str, reference: Element, resource_type: str, *beside: str) -> str:
    """Return whom a logical reference names. Raises ConsentNotExpressible for any other reference."""
    _allow(where, reference, {"type", "identifier", "display"})
    named = reference.get("identifier", {})
    _allow(f"{where}.identifier", named, {"value", *beside})
    if reference.get("type") != resource_type or "value" not in named:
        raise _refusal(where, f"is no {resource_type} by its identity in the federation")
    value: str = named["value"]
    return value


def _codes(where: str, concept: Element) -> set[tuple[str, str]]:
    _allow(where, concept, {"coding", "text"})
    found = {_code(where, coding) for coding in concept.get("coding", [])}
    if not found:
        raise _refusal(where, "has no code")
    return found


def _code(where: str, coding: Element) -> tuple[str, str]:
    _allow(where, coding, {"system", "code", "display"})
    return coding.get("system", ""), coding.get("code", "")


def _one(where: str, elements: list[Element]) -> Element:
    if len(elements) != 1:
        raise _refusal(where, f"is there {len(elements)} times, and a grant has one")
    return elements[0]


def _allow(where: str, element: Element, names: Collection[str]) -> None:
    """Let an element in that has no other children. Their names are R4's: the schema has let in no stranger's."""
    for name in sorted(element):
        if name not in names:
            raise _refusal(f"{where}.{name}", "is nothing that a grant can say")


def _refusal(where: str, words: str) -> ConsentNotExpressible:
    return ConsentNotExpressible(f"{where} {words}")
