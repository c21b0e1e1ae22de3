"""A FHIR Consent from elsewhere: what makes a draft, and what refuses it."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from federation.clinical.consent_drafts import read_draft
from federation.clinical.consents import ConsentTerms, GivenConsent, Recipient, consent_bundle
from federation.clinical.errors import ConsentNotExpressible, FhirInvalid, NotJson, WrongSubject
from tests.unit.clinical.fhir_examples import CLOUD, REALM, STATED, TO_DEPARTMENT, TO_DOCTOR, TO_HOSPITAL, known

TREAT = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
LEVELS = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
Change = Callable[[dict[str, Any]], object]


def consent(number: int = 0) -> dict[str, Any]:
    """Give a Consent that makes a draft."""
    resource: dict[str, Any] = copy.deepcopy(known("consents")["entry"][number]["resource"])
    return resource | {"status": "proposed"}


def draft(resource: dict[str, Any], patient_id: str = "P:wang") -> ConsentTerms:
    return read_draft(json.dumps(resource).encode(), patient_id, REALM)


@pytest.mark.parametrize("given", [TO_DOCTOR, TO_HOSPITAL])
def test_exported_consent_makes_a_draft_of_the_same_terms(given: GivenConsent) -> None:
    bundle = consent_bundle([given], cloud_id=CLOUD, realm=REALM, exported=STATED)
    assert read_draft(bundle, "P:wang", REALM) == given.terms


@pytest.mark.parametrize("status", ["draft", "proposed", "active"])
def test_department_of_a_consent_that_is_not_over(status: str) -> None:
    assert draft(consent(1) | {"status": status}) == TO_DEPARTMENT.terms


def test_consent_without_our_extensions_is_about_normal_records_and_lets_nothing_be_deposited() -> None:
    resource = consent()
    for name in ("modifierExtension", "extension", "securityLabel"):
        del resource["provision"][name]
    del resource["provision"]["period"]["start"]
    assert draft(resource) == ConsentTerms(
        recipient=Recipient("D:rossi", "M:board"),
        hospitals=("*",),
        department_classes=("*",),
        rights=("find", "read"),
        sensitivity="normal",
        purpose="",
        begins=None,
        ends=TO_DOCTOR.terms.ends,
    )


def test_end_to_the_second_takes_no_more_than_its_first_millisecond() -> None:
    resource = consent()
    resource["provision"]["period"]["end"] = "2026-03-01T12:00:00+02:00"
    assert draft(resource).ends.isoformat() == "2026-03-01T10:00:00.001000+00:00"


def test_wrong_subject() -> None:
    with pytest.raises(WrongSubject):
        draft(consent(), "P:lin")


def at(*steps: str | int, to: object) -> Change:
    """Give what sets an element deep in a Consent."""

    def change(resource: Any) -> None:
        for step in steps[:-1]:
            resource = resource[step]
        resource[steps[-1]] = to

    return change


def provision(name: str, to: object) -> Change:
    return at("provision", name, to=to)


def granted(*parts: dict[str, str]) -> Change:
    return at("provision", "modifierExtension", 0, "extension", to=list(parts))


def coding(code: str, system: str = LEVELS) -> dict[str, str]:
    return {"system": system, "code": code}


READ = {"url": "right", "valueCode": "read"}
EVERYWHERE = {"url": "hospital", "valueString": "*"}
EVERY_CLASS = {"url": "department-class", "valueString": "*"}
OTHER = {"url": "https://example.org/only-on-mondays", "valueBoolean": True}
REFERENCE = "provision", "actor", 0, "reference"

REFUSED: dict[str, tuple[Change, str]] = {
    "over": (at("status", to="inactive"), "Consent.status"),
    "entered in error": (at("status", to="entered-in-error"), "Consent.status"),
    "research": (at("scope", "coding", 0, "code", to="research"), "Consent.scope"),
    "two scopes": (at("scope", "coding", to=[coding("patient-privacy"), coding("adr")]), "Consent.scope"),
    "a scope in words alone": (at("scope", to={"text": "privacy"}), "Consent.scope"),
    "an advance directive": (at("category", 0, "coding", 0, "code", to="acd"), "Consent.category"),
    "no category": (at("category", to=[]), "Consent.category"),
    "another federation's policy": (at("policy", 0, "uri", to="https://example.org/policy"), "Consent.policy"),
    "two policies": (lambda resource: resource["policy"].append({"uri": "https://example.org/b"}), "Consent.policy"),
    "no policy": (lambda resource: resource.pop("policy"), "Consent.policy"),
    "a policy rule": (at("policyRule", to={"text": "opt-out"}), "Consent.policyRule"),
    "implicit rules": (at("implicitRules", to="https://example.org/rules"), "Consent.implicitRules"),
    "a modifier of the whole": (at("modifierExtension", to=[OTHER]), "Consent.modifierExtension"),
    "an extension of the whole": (at("extension", to=[OTHER]), "Consent.extension"),
    "something contained": (at("contained", to=[{"resourceType": "Patient"}]), "Consent.contained"),
    "a status with an extension": (at("_status", to={"extension": [OTHER]}), "Consent._status"),
    "no provision": (lambda resource: resource.pop("provision"), "Consent.provision"),
    "deny": (provision("type", "deny"), "Consent.provision.type"),
    "no type": (lambda resource: resource["provision"].pop("type"), "Consent.provision.type"),
    "an exception": (provision("provision", [{"type": "deny"}]), "Consent.provision.provision"),
    "an action": (provision("action", [{"text": "correct"}]), "Consent.provision.action"),
    "a class of resources": (provision("class", [coding("Observation")]), "Consent.provision.class"),
    "a code": (provision("code", [{"text": "x-ray"}]), "Consent.provision.code"),
    "a time of authorship": (provision("dataPeriod", {"start": "2020"}), "Consent.provision.dataPeriod"),
    "named data": (
        provision("data", [{"meaning": "instance", "reference": {"display": "x"}}]),
        "Consent.provision.data",
    ),
    "another purpose": (provision("purpose", [coding("HRESCH", TREAT)]), "Consent.provision.purpose"),
    "a second purpose": (
        provision("purpose", [coding("TREAT", TREAT), coding("HPAYMT", TREAT)]),
        "Consent.provision.purpose",
    ),
    "no purpose": (lambda resource: resource["provision"].pop("purpose"), "Consent.provision.purpose"),
    "no period": (lambda resource: resource["provision"].pop("period"), "Consent.provision.period"),
    "no end": (lambda resource: resource["provision"]["period"].pop("end"), "Consent.provision.period"),
    "an end before its start": (
        at("provision", "period", "end", to="2026-03-01T09:29:59.998Z"),
        "Consent.provision.period",
    ),
    "an end on a day": (at("provision", "period", "end", to="2026-03-02"), "Consent.provision.period.end"),
    "an end in a year": (at("provision", "period", "end", to="2027"), "Consent.provision.period.end"),
    "an end to the microsecond": (
        at("provision", "period", "end", to="2026-03-02T00:00:00.000001Z"),
        "Consent.provision.period.end",
    ),
    "an end before all zones": (
        at("provision", "period", "start", to="0001-01-01T00:00:00+14:00"),
        "Consent.provision.period.start",
    ),
    "an extended end": (
        at("provision", "period", "_end", to={"extension": [OTHER]}),
        "Consent.provision.period._end",
    ),
    "nobody": (provision("actor", []), "Consent.provision.actor"),
    "everybody": (lambda resource: resource["provision"].pop("actor"), "Consent.provision.actor"),
    "two people": (
        lambda resource: resource["provision"]["actor"].append(resource["provision"]["actor"][0]),
        "Consent.provision.actor",
    ),
    "a custodian": (
        at("provision", "actor", 0, "role", "coding", 0, "code", to="CST"),
        "Consent.provision.actor.role",
    ),
    "a reference by address": (
        at(*REFERENCE, to={"reference": "Practitioner/1"}),
        "Consent.provision.actor.reference.reference",
    ),
    "an identity of another system": (
        at(*REFERENCE, "identifier", "system", to="urn:oid:1.2.3"),
        "Consent.provision.actor.reference.identifier.system",
    ),
    "a doctor of no authority": (
        lambda resource: resource["provision"]["actor"][0]["reference"]["identifier"].pop("assigner"),
        "Consent.provision.actor.reference.identifier.assigner",
    ),
    "a doctor of a hospital": (
        at(*REFERENCE, "identifier", "assigner", "identifier", "value", to="H:alpha"),
        "Consent.provision.actor.reference",
    ),
    "a patient as doctor": (at(*REFERENCE, "identifier", "value", to="P:lin"), "Consent.provision.actor.reference"),
    "a cloud": (
        at(*REFERENCE, to={"type": "Organization", "identifier": {"value": "C:union"}}),
        "Consent.provision.actor.reference",
    ),
    "a ward of a department": (
        at(*REFERENCE, to={"type": "Organization", "identifier": {"value": "H:alpha/cardiology.ward-2"}}),
        "Consent.provision.actor.reference",
    ),
    "a department without a name": (
        at(*REFERENCE, to={"type": "Organization", "identifier": {"value": "H:alpha/"}}),
        "Consent.provision.actor.reference",
    ),
    "very restricted": (provision("securityLabel", [coding("V")]), "Consent.provision.securityLabel"),
    "low": (provision("securityLabel", [coding("L")]), "Consent.provision.securityLabel"),
    "psychiatry": (
        provision("securityLabel", [coding("PSY", "http://terminology.hl7.org/CodeSystem/v3-ActCode")]),
        "Consent.provision.securityLabel",
    ),
    "two labels": (provision("securityLabel", [coding("N"), coding("R")]), "Consent.provision.securityLabel"),
    "no label in a list": (provision("securityLabel", []), "Consent.provision.securityLabel"),
    "a stranger's modifier": (provision("modifierExtension", [OTHER]), "Consent.provision.modifierExtension"),
    "a stranger's modifier beside": (
        lambda resource: resource["provision"]["modifierExtension"].append(OTHER),
        "Consent.provision.modifierExtension",
    ),
    "a stranger's extension": (provision("extension", [OTHER]), "Consent.provision.extension"),
    "a purpose in other letters": (
        at("provision", "extension", 0, "valueString", to="Überweisung"),
        "Consent.provision.extension",
    ),
    "a long purpose": (at("provision", "extension", 0, "valueString", to="x" * 129), "Consent.provision.extension"),
    "no right": (granted(EVERYWHERE, EVERY_CLASS), "Consent.provision.modifierExtension"),
    "no hospital": (granted(READ, EVERY_CLASS), "Consent.provision.modifierExtension"),
    "no class": (granted(READ, EVERYWHERE), "Consent.provision.modifierExtension"),
    "the right to the log": (
        granted({"url": "right", "valueCode": "log"}, EVERYWHERE, EVERY_CLASS),
        "Consent.provision.modifierExtension",
    ),
    "a right of another kind": (
        granted({"url": "right", "valueString": "read"}, EVERYWHERE, EVERY_CLASS),
        "Consent.provision.modifierExtension.valueString",
    ),
    "a part that is not known": (
        granted(READ, EVERYWHERE, EVERY_CLASS, {"url": "weekday", "valueCode": "monday"}),
        "Consent.provision.modifierExtension",
    ),
    "a doctor as hospital": (
        granted(READ, {"url": "hospital", "valueString": "D:rossi"}, EVERY_CLASS),
        "Consent.provision.modifierExtension",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_consent_not_expressible(name: str) -> None:
    change, element = REFUSED[name]
    resource = consent()
    change(resource)
    with pytest.raises(ConsentNotExpressible) as refused:
        draft(resource)
    assert str(refused.value).split(" ")[0] == element
    assert refused.value.reason == "CONSENT_NOT_EXPRESSIBLE"


def test_consent_not_expressible_for_a_bundle_of_more_than_one_or_of_something_else() -> None:
    bundle = known("consents")
    with pytest.raises(ConsentNotExpressible, match=r"Bundle\.entry"):
        draft(bundle)
    bundle["entry"] = [{"resource": {"resourceType": "Patient"}}]
    with pytest.raises(ConsentNotExpressible, match=r"Bundle\.entry"):
        draft(bundle)


def test_fhir_invalid_for_another_resource_an_element_of_no_version_or_no_status() -> None:
    with pytest.raises(FhirInvalid):
        draft({"resourceType": "Patient"})
    with pytest.raises(FhirInvalid):
        draft(consent() | {"exceptions": []})
    with pytest.raises(FhirInvalid):
        draft({name: element for name, element in consent().items() if name != "status"})


def test_not_json_for_an_element_that_is_there_twice() -> None:
    text = json.dumps(consent()).replace('"status"', '"status": "draft", "status"', 1)
    with pytest.raises(NotJson):
        read_draft(text.encode(), "P:wang", REALM)
