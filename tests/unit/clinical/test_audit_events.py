"""Accesses as FHIR AuditEvents: known answers, valid R4, and BALP's own rules."""

import json
from dataclasses import replace
from typing import Any

import pytest

from federation.clinical.audit_events import FAULTS, RecordedAccess, access_bundle, outcome_of
from federation.clinical.fhir import validate_bundle
from federation.errors import Corrupt, FederationError, GrantMissing, Overdue, StaleRevocationList, Unavailable
from tests.unit.clinical.fhir_examples import (
    DENIED,
    EMERGENCY,
    FAULT,
    LOG,
    OWN,
    READ,
    SEARCH,
    STATED,
    STORE,
    known,
)

ALL = READ, SEARCH, STORE, OWN, EMERGENCY, DENIED, FAULT, LOG


def event_of(access: RecordedAccess) -> dict[str, Any]:
    resource: dict[str, Any] = json.loads(access_bundle([access], STATED))["entry"][0]["resource"]
    return resource


def agent_types(event: dict[str, Any]) -> list[str]:
    return [agent["type"]["coding"][0]["code"] for agent in event["agent"]]


def test_accesses_are_as_they_were_looked_through() -> None:
    assert json.loads(access_bundle(ALL, STATED)) == known("accesses")


def test_bundle_is_valid_r4() -> None:
    assert validate_bundle(access_bundle(ALL, STATED))
    validate_bundle(access_bundle([], STATED))


@pytest.mark.parametrize(
    ("access", "profile", "action", "agents"),
    [
        (SEARCH, "PatientQuery", "E", ["IRCP", "110153", "110152"]),
        (READ, "PatientRead", "R", ["IRCP", "110152", "110153"]),
        (STORE, "PatientCreate", "C", ["AUT", "110153", "110152"]),
        (LOG, "PatientQuery", "E", ["IRCP", "110153", "110152"]),
        (replace(OWN, kind="ADD"), "PatientCreate", "C", ["AUT", "110153", "110152"]),
    ],
)
def test_kind_is_a_profile_of_balp(access: RecordedAccess, profile: str, action: str, agents: list[str]) -> None:
    event = event_of(access)
    assert event["meta"]["profile"] == [
        f"https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.{profile}"
    ]
    assert (event["action"], agent_types(event)) == (action, agents)
    assert [agent["requestor"] for agent in event["agent"]] == [True, False, False]


def test_kind_without_a_profile_stays_in_the_export() -> None:
    event = event_of(replace(READ, kind="WITHDRAW"))
    assert "meta" not in event
    assert event["subtype"][0]["code"] == "operation"


@pytest.mark.parametrize(
    ("ground", "purpose"), [("consent", "TREAT"), ("own", "PATRQT"), ("deputy", "PATRQT"), ("emergency", "BTG")]
)
def test_ground_is_the_purpose(ground: str, purpose: str) -> None:
    assert event_of(replace(READ, ground=ground))["purposeOfEvent"][0]["coding"][0]["code"] == purpose


def test_refused_access_is_no_success_and_of_no_profile() -> None:
    event = event_of(DENIED)
    assert (event["outcome"], event["outcomeDesc"]) == ("4", "GRANT_MISSING")
    assert "meta" not in event
    assert "purposeOfEvent" not in event
    assert len(event["entity"]) == 2


@pytest.mark.parametrize(
    ("asker_id", "kind"), [("D:rossi", "Practitioner"), ("P:wang", "Patient"), ("P:lin", "RelatedPerson")]
)
def test_asker_is_a_doctor_the_patient_or_who_stands_for_it(asker_id: str, kind: str) -> None:
    who = event_of(replace(OWN, asker_id=asker_id))["agent"][0]["who"]
    assert who == {"type": kind, "identifier": {"value": asker_id}}


@pytest.mark.parametrize(
    ("reason", "outcome"), [("OK", "0"), ("BEGUN", "0"), (GrantMissing.reason, "4"), ("FUTURE_REASON", "4")]
)
def test_outcome_of_a_reason(reason: str, outcome: str) -> None:
    assert outcome_of(reason) == outcome


def test_faults_are_reasons_that_there_are() -> None:
    faults = FederationError, Unavailable, Overdue, StaleRevocationList, Corrupt
    assert {error.reason for error in faults} == FAULTS
    assert {outcome_of(error.reason) for error in faults} == {"8"}
