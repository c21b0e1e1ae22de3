"""Grants as FHIR Consents: known answers, valid R4, and PCF's own rules."""

import json
from dataclasses import replace
from typing import Any

import pytest

from federation.clinical.consents import GRANTED, GivenConsent, consent_bundle, policy_uri
from federation.clinical.errors import FhirInvalid
from federation.clinical.fhir import validate_bundle
from tests.unit.clinical.fhir_examples import (
    CLOUD,
    REALM,
    STATED,
    TO_DEPARTMENT,
    TO_DOCTOR,
    TO_HOSPITAL,
    known,
)

NOT_IN_PCF = {"policyRule", "verification"}, {"action", "class", "code", "provision", "data"}


def exported(*consents: GivenConsent) -> bytes:
    return consent_bundle(consents, cloud_id=CLOUD, realm=REALM, exported=STATED)


def consent_of(given: GivenConsent) -> dict[str, Any]:
    resource: dict[str, Any] = json.loads(exported(given))["entry"][0]["resource"]
    return resource


def test_consents_are_as_they_were_looked_through() -> None:
    assert json.loads(exported(TO_DOCTOR, TO_DEPARTMENT, TO_HOSPITAL)) == known("consents")


@pytest.mark.parametrize("given", [TO_DOCTOR, TO_DEPARTMENT, TO_HOSPITAL])
def test_each_is_valid_r4_and_has_nothing_that_pcf_excludes(given: GivenConsent) -> None:
    validate_bundle(exported(given))
    consent = consent_of(given)
    assert not NOT_IN_PCF[0] & consent.keys()
    assert not NOT_IN_PCF[1] & consent["provision"].keys()


def test_bundle_of_no_consents_is_valid() -> None:
    validate_bundle(exported())


def test_what_narrows_a_grant_must_be_known_to_who_acts_on_it() -> None:
    extensions = consent_of(TO_HOSPITAL)["provision"]["modifierExtension"]
    assert [one["url"] for one in extensions] == [GRANTED]


def test_grant_of_nothing_does_not_read_as_one_of_everything() -> None:
    terms = replace(TO_DOCTOR.terms, rights=(), hospitals=(), department_classes=(), purpose="")
    provision = consent_of(replace(TO_DOCTOR, terms=terms))["provision"]
    assert provision["modifierExtension"][0]["extension"] == [{"url": "right", "valueCode": "none"}]
    assert "extension" not in provision


def test_policy_of_another_federation_is_another() -> None:
    assert policy_uri("a/b c") == "https://medunion.example/fhir/policy/a%2Fb%20c"


def test_fhir_invalid_for_a_purpose_that_is_no_fhir_string() -> None:
    with pytest.raises(FhirInvalid):
        exported(replace(TO_DOCTOR, terms=replace(TO_DOCTOR.terms, purpose="\v")))
