"""Accesses as FHIR R4 AuditEvents, by IHE's Basic Audit Log Patterns (BALP 1.1): PatientQuery, PatientRead, PatientCreate.

BALP's profiles are of events that succeeded; a refused access has the same elements and no profile. The log knows who asked
and no machine's address: each agent's network is there, as BALP asks, and says that it is unknown.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from federation.clinical.bundles import collection
from federation.clinical.consents import OURS
from federation.clinical.fhir import validate_resource
from federation.clinical.identity import (
    deputy_reference,
    doctor_reference,
    instant,
    is_named,
    organization_reference,
    patient_reference,
)
from federation.clinical.report import DIGEST_SYSTEM, digest_uri
from federation.clinical.strictjson import dump

PROFILES = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit"
SEQUENCE = f"{OURS}/StructureDefinition/log-sequence"
LIST_AGE = f"{OURS}/StructureDefinition/revocation-list-age"
"""In seconds."""
SCOPE = f"{OURS}/department-class"
GROUND = f"{OURS}/CodeSystem/ground"
PROOF = f"{OURS}/StructureDefinition/log-proof"

SUCCEEDED, REFUSED, FAILED = "0", "4", "8"
"""AuditEvent.outcome: success; a minor failure, which a denied access is; a serious one, ours."""

STANDING_REASONS = frozenset({"BEGUN", "OK"})
FAULTS = frozenset({"INTERNAL", "UNAVAILABLE", "CALL_OVERDUE", "REVOCATION_LIST_STALE", "STORED_RECORD_CORRUPT"})
"""Reasons that are nobody's who asked."""

_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_SOURCE = (_DICOM, "110153", "Source Role ID")
_DESTINATION = (_DICOM, "110152", "Destination Role ID")
_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_RECIPIENT = (_PARTICIPATION, "IRCP", "information recipient")
_AUTHOR = (_PARTICIPATION, "AUT", "author")
_ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_PERSON = (_ENTITY_TYPE, "1", "Person")
_SYSTEM_OBJECT = (_ENTITY_TYPE, "2", "System Object")
_CONSENT = ("http://hl7.org/fhir/resource-types", "Consent", "Consent")
_UNKNOWN = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}

_PURPOSES = {"consent": "TREAT", "own": "PATRQT", "deputy": "PATRQT", "emergency": "BTG"}
"""Ground -> its code of v3-ActReason: treatment, asked for by or for the patient, break the glass."""


@dataclass(frozen=True, slots=True)
class LogProof:
    """By what its patient's device proved an entry: leaf `leaf` of the log `origin`, below its head of `size` and `root`.

    `cosigners` are the witnesses whose signatures hold under that head.
    """

    origin: str
    size: int
    root: bytes
    leaf: int
    cosigners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordedAccess:
    """An entry of the access log of `recorded_by`: who was given, or denied, what.

    `kind` is SEARCH, READ, STORE, LOG or ADD; `scope` a department class or `*`; `ground` "consent", "own", "deputy", "emergency"
    or "none"; `authorization` H(access), 32 bytes, or none where nothing was shown; `reason` BEGUN, OK or an error's;
    `proof` is there where whoever exports has checked one;
    `list_age_seconds` how old the revocation list was that it was decided by, None where the log does not say.
    """

    sequence: int
    at: datetime
    kind: str
    asker_id: str
    patient_id: str
    scope: str
    ground: str
    authorization: bytes
    reason: str
    detail: str
    recorded_by: str
    proof: LogProof | None = None
    list_age_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class _Pattern:
    """What BALP makes of a kind of access. `is_pulled` is whether the client is where the data goes to."""

    profile: str
    interaction: str
    action: str
    user: tuple[str, str, str] = _RECIPIENT
    is_pulled: bool = False


_QUERY = _Pattern("PatientQuery", "search", "E")
_PATTERNS = {
    "SEARCH": _QUERY,
    "READ": _Pattern("PatientRead", "read", "R", is_pulled=True),
    "STORE": _Pattern("PatientCreate", "create", "C", _AUTHOR),
    "LOG": _QUERY,
    "ADD": _Pattern("PatientCreate", "create", "C", _AUTHOR),
}
_OTHER = _Pattern("", "operation", "E")
"""Of a kind that BALP has no profile for: no entry stays out of an export."""


def access_bundle(accesses: Sequence[RecordedAccess], exported: datetime) -> bytes:
    """Return a collection of one AuditEvent each, valid R4. The same arguments give the same bytes. Raises FhirInvalid."""
    contents = [dump(_event(access)) for access in accesses]
    # One by one: a Bundle of a long log has more than is read at once.
    for content in contents:
        validate_resource(content, "AuditEvent")
    return collection(contents, instant(exported))


def outcome_of(reason: str) -> str:
    """Return how FHIR counts what came of an access."""
    if reason in STANDING_REASONS:
        return SUCCEEDED
    return FAILED if reason in FAULTS else REFUSED


def _event(access: RecordedAccess) -> dict[str, Any]:
    pattern, outcome = _PATTERNS.get(access.kind, _OTHER), outcome_of(access.reason)
    is_profiled = outcome == SUCCEEDED and pattern.profile
    profile = {"meta": {"profile": [f"{PROFILES}.{pattern.profile}"]}} if is_profiled else {}
    return profile | {
        "resourceType": "AuditEvent",
        "extension": [
            {"url": SEQUENCE, "valuePositiveInt": access.sequence},
            *_proof(access.proof),
            *_list_age(access),
        ],
        "type": _coding(("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest", "Restful Operation")),
        "subtype": [_coding(("http://hl7.org/fhir/restful-interaction", pattern.interaction, pattern.interaction))],
        "action": pattern.action,
        "recorded": instant(access.at),
        "outcome": outcome,
        "outcomeDesc": ": ".join(filter(None, (access.reason, access.detail))),
        **_purpose(access.ground),
        "agent": _agents(access, pattern),
        "source": {
            "observer": organization_reference(access.recorded_by),
            "type": [
                _coding(("http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server"))
            ],
        },
        "entity": [_patient(access), _asked_for(access, pattern), *_authorization(access)],
    }


def _proof(proof: LogProof | None) -> list[dict[str, Any]]:
    """Return by what an entry is proved; nothing where nobody checked. Sizes are text: FHIR's integers end at 2^31."""
    if proof is None:
        return []
    told = ("origin", proof.origin), ("size", str(proof.size)), ("root", proof.root.hex()), ("leaf", str(proof.leaf))
    said = (*told, *(("cosignedBy", witness) for witness in proof.cosigners))
    return [{"url": PROOF, "extension": [{"url": url, "valueString": text} for url, text in said]}]


def _list_age(access: RecordedAccess) -> list[dict[str, Any]]:
    age = access.list_age_seconds
    return [] if age is None else [{"url": LIST_AGE, "valueUnsignedInt": age}]


def _purpose(ground: str) -> dict[str, Any]:
    if ground not in _PURPOSES:
        return {}
    code = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": _PURPOSES[ground]}
    return {"purposeOfEvent": [{"coding": [code]}]}


def _agents(access: RecordedAccess, pattern: _Pattern) -> list[dict[str, Any]]:
    client, server = (_DESTINATION, _SOURCE) if pattern.is_pulled else (_SOURCE, _DESTINATION)
    return [
        {"type": {"coding": [_coding(pattern.user)]}, "who": _asker(access), "requestor": True},
        _machine(client, {"display": f"the client of {access.asker_id}"}),
        _machine(server, organization_reference(access.recorded_by)),
    ]


def _asker(access: RecordedAccess) -> dict[str, Any]:
    if is_named("doctor", access.asker_id):
        return doctor_reference(access.asker_id)
    is_own = access.asker_id == access.patient_id
    return patient_reference(access.asker_id) if is_own else deputy_reference(access.asker_id)


def _machine(role: tuple[str, str, str], who: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": {"coding": [_coding(role)]},
        "who": who,
        "requestor": False,
        "network": {"extension": [_UNKNOWN]},
    }


def _patient(access: RecordedAccess) -> dict[str, Any]:
    return {
        "what": patient_reference(access.patient_id),
        "type": _coding(_PERSON),
        "role": _coding((_OBJECT_ROLE, "1", "Patient")),
    }


def _asked_for(access: RecordedAccess, pattern: _Pattern) -> dict[str, Any]:
    if pattern is _QUERY:
        question = f"{access.kind} {access.patient_id} {access.scope}"
        return {
            "type": _coding(_SYSTEM_OBJECT),
            "role": _coding((_OBJECT_ROLE, "24", "Query")),
            "description": question,
            "query": base64.b64encode(question.encode()).decode(),
        }
    return {
        "what": {"identifier": {"system": SCOPE, "value": access.scope}},
        "type": _coding(_SYSTEM_OBJECT),
        "role": _coding((_OBJECT_ROLE, "4", "Domain Resource")),
    }


def _authorization(access: RecordedAccess) -> list[dict[str, Any]]:
    """Return what was shown, by its digest; nothing where nothing was."""
    if not access.authorization:
        return []
    shown = _CONSENT if access.ground == "consent" else (GROUND, access.ground, access.ground)
    what = {"identifier": {"system": DIGEST_SYSTEM, "value": digest_uri(access.authorization)}}
    return [{"what": what, "type": _coding(shown)}]


def _coding(code: tuple[str, str, str]) -> dict[str, str]:
    system, value, display = code
    return {"system": system, "code": value, "display": display}
