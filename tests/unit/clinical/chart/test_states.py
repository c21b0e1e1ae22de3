"""What a chart says of a topic: listed, none recorded, or not stated; never "none" where nothing is stated."""

from typing import Any

import pytest

from federation.clinical.chart import chart_of, text_of
from tests.unit.clinical.chart.charts import LOINC, TODAY, charted, coded, drawn, source

IPS = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
LIST_EMPTY = "http://terminology.hl7.org/CodeSystem/list-empty-reason"


def allergy(code: dict[str, Any], clinical: str = "active", verification: str = "confirmed") -> dict[str, Any]:
    return {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": coded(clinical, "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"),
        "verificationStatus": coded(
            verification, "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
        ),
        "code": code,
        "patient": {"reference": "Patient/1"},
        "recordedDate": "2020-02-03",
    }


def composition(section: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "Composition",
        "status": "final",
        "type": coded("60591-5", LOINC),
        "date": "2021-05-06",
        "author": [{"display": "Dr. Weber"}],
        "title": "Patient summary",
        "section": [section],
    }


def state(topic: Any) -> str:
    states = {"listed": topic.is_listed, "none": topic.is_none_recorded, "not stated": topic.is_not_stated}
    (said,) = [name for name, holds in states.items() if holds]
    return said


PENICILLIN = allergy(coded("91936005", words="Penicillin"))
NO_KNOWN_ALLERGY = allergy(coded("716186003", words="No known allergy"))


def test_no_allergy_resource_is_not_stated() -> None:
    chart = charted({"resourceType": "Patient"})
    assert state(chart.allergies) == "not stated"
    assert "ALLERGIES: NOT STATED, ask." in list(text_of(chart))


def test_no_record_at_all_is_not_stated() -> None:
    assert state(chart_of([], today=TODAY).allergies) == "not stated"


@pytest.mark.parametrize(
    "code",
    [
        coded("716186003"),
        coded("160244002"),
        coded("no-known-allergies", IPS),
        coded("no-known-allergies", "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown"),
    ],
)
def test_a_record_that_says_none_is_none_recorded(code: dict[str, Any]) -> None:
    chart = charted(allergy(code))
    assert state(chart.allergies) == "none"
    (said,) = chart.allergies.none
    assert said.hospitals == ("H:alpha",)
    assert said.when.text == "2020-02-03"
    assert "ALLERGIES: NONE RECORDED" in list(text_of(chart))


@pytest.mark.parametrize(
    "code",
    [
        coded("409137002"),  # no known drug allergy: of food nothing is said
        coded("no-known-food-allergies", IPS),
        coded("no-allergy-info", IPS),
    ],
)
def test_none_of_a_kind_and_no_information_are_not_none(code: dict[str, Any]) -> None:
    chart = charted(allergy(code))
    assert state(chart.allergies) == "not stated"
    assert len(chart.allergies.others) == 1


def test_a_code_of_another_system_is_no_statement_of_none() -> None:
    chart = charted(allergy(coded("716186003", "urn:somebody:else")))
    assert state(chart.allergies) == "listed"


@pytest.mark.parametrize("clinical", ["inactive", "resolved"])
def test_none_that_no_longer_holds_is_not_none(clinical: str) -> None:
    assert state(charted(allergy(coded("716186003"), clinical=clinical)).allergies) == "not stated"


@pytest.mark.parametrize("verification", ["entered-in-error", "refuted"])
def test_none_that_was_retracted_is_not_none(verification: str) -> None:
    chart = charted(allergy(coded("716186003"), verification=verification))
    assert state(chart.allergies) == "not stated"
    assert chart.retracted == {"AllergyIntolerance": 1}


@pytest.mark.parametrize("verification", ["entered-in-error", "refuted"])
def test_an_allergy_that_was_retracted_is_dropped_and_counted(verification: str) -> None:
    chart = charted(allergy(coded("91936005"), verification=verification))
    assert state(chart.allergies) == "not stated"
    assert "1 AllergyIntolerance" in " ".join(text_of(chart))


def test_one_hospital_says_none_and_another_lists_one_is_listed() -> None:
    sources = [source(NO_KNOWN_ALLERGY), source(PENICILLIN, hospital="H:beta", key="2")]
    chart = chart_of(sources, today=TODAY)
    assert state(chart.allergies) == "listed"
    assert [(row.what, row.hospitals) for row in chart.allergies.rows] == [("Penicillin", ("H:beta",))]
    assert [said.hospitals for said in chart.allergies.none] == [("H:alpha",)]
    assert "H:alpha" in " ".join(text_of(chart))


@pytest.mark.parametrize(
    "told_elsewhere",
    [
        allergy(coded("no-allergy-info", IPS)),
        composition({"code": coded("48765-2", LOINC), "emptyReason": coded("withheld", LIST_EMPTY)}),
        composition({"code": coded("48765-2", LOINC), "text": {"div": "<div>Penicillin</div>"}}),
    ],
    ids=["not known", "withheld", "in words only"],
)
def test_one_hospital_says_none_and_another_does_not_tell_is_not_stated(told_elsewhere: dict[str, Any]) -> None:
    chart = chart_of([source(NO_KNOWN_ALLERGY), source(told_elsewhere, hospital="H:beta", key="2")], today=TODAY)
    assert state(chart.allergies) == "not stated"
    assert "No known allergy" in drawn(chart)
    assert "Allergies: not stated, ask" in drawn(chart)


def test_none_of_a_kind_does_not_weaken_none() -> None:
    assert state(charted(NO_KNOWN_ALLERGY, allergy(coded("409137002"))).allergies) == "none"


def test_an_allergy_that_is_over_stays_listed_and_says_so() -> None:
    (row,) = charted(allergy(coded("91936005", words="Penicillin"), clinical="resolved")).allergies.rows
    assert row.status == "resolved"


@pytest.mark.parametrize(
    ("topic", "section_code", "code", "resource"),
    [
        ("problems", "11450-4", coded("160245001"), "Condition"),
        ("problems", "11450-4", coded("no-known-problems", IPS), "Condition"),
        ("medication", "10160-0", coded("no-known-medications", IPS), "MedicationStatement"),
        ("immunizations", "11369-6", coded("no-known-immunizations", IPS), "Immunization"),
        ("procedures", "47519-4", coded("no-known-procedures", IPS), "Procedure"),
    ],
)
def test_the_other_topics_have_the_three_states(
    topic: str, section_code: str, code: dict[str, Any], resource: str
) -> None:
    element = {"MedicationStatement": "medicationCodeableConcept", "Immunization": "vaccineCode"}.get(resource, "code")
    said = {"resourceType": resource, element: code}
    listed = {"resourceType": resource, element: coded("1", words="something")}
    empty = composition({"code": coded(section_code, LOINC), "emptyReason": coded("nilknown", LIST_EMPTY)})
    assert state(getattr(charted(), topic)) == "not stated"
    assert state(getattr(charted(said), topic)) == "none"
    assert state(getattr(charted(empty), topic)) == "none"
    assert state(getattr(charted(empty, said, listed), topic)) == "listed"


@pytest.mark.parametrize(
    ("topic", "code", "resource"),
    [
        ("medication", "787481004", "MedicationStatement"),
        ("immunizations", "787482006", "Immunization"),
        ("procedures", "787480003", "Procedure"),
    ],
)
def test_snomed_ct_says_of_these_that_nothing_is_known_which_is_not_none(topic: str, code: str, resource: str) -> None:
    element = {"MedicationStatement": "medicationCodeableConcept", "Immunization": "vaccineCode"}.get(resource, "code")
    held = getattr(charted({"resourceType": resource, element: coded(code)}), topic)
    assert state(held) == "not stated"
    assert len(held.others) == 1


@pytest.mark.parametrize("reason", ["unavailable", "notasked", "withheld", "notstarted", "closed"])
def test_a_section_empty_for_another_reason_is_not_none(reason: str) -> None:
    chart = charted(composition({"code": coded("48765-2", LOINC), "emptyReason": coded(reason, LIST_EMPTY)}))
    assert state(chart.allergies) == "not stated"
    assert len(chart.allergies.others) == 1


def test_a_section_that_is_empty_without_a_reason_states_nothing() -> None:
    chart = charted(composition({"code": coded("48765-2", LOINC)}))
    assert state(chart.allergies) == "not stated"
    assert not chart.allergies.others


def test_a_section_told_in_text_only_is_pointed_at_and_its_text_not_shown() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml">Anaphylaxis to penicillin</div>'
    section = {"code": coded("48765-2", LOINC), "text": {"status": "generated", "div": div}}
    chart = charted(composition(section))
    assert state(chart.allergies) == "not stated"
    (said,) = chart.allergies.others
    assert said.words == "Told in a text that is not shown here; see the record as it came"
    assert "Anaphylaxis" not in " ".join(text_of(chart))


def test_an_empty_list_of_allergies_says_none() -> None:
    empty = {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "date": "2019-02-03",
        "code": coded("48765-2", LOINC),
        "emptyReason": coded("nilknown", LIST_EMPTY),
    }
    assert state(charted(empty).allergies) == "none"
    assert state(charted(empty | {"status": "entered-in-error"}).allergies) == "not stated"


def test_a_problem_without_a_status_counts_as_going_on() -> None:
    (row,) = charted({"resourceType": "Condition", "code": {"text": "Asthma"}}).problems.rows
    assert row.status == "status not stated"


def test_a_medicine_of_unknown_status_counts_as_taken() -> None:
    said = {
        "resourceType": "MedicationStatement",
        "status": "unknown",
        "medicationCodeableConcept": {"text": "Aspirin"},
    }
    (row,) = charted(said).medication.rows
    assert (row.status, row.dose) == ("unknown", "")
    assert "Aspirin, dose not stated, unknown" in " ".join(text_of(charted(said)))


def test_a_medicine_that_must_not_be_given_is_never_folded_away() -> None:
    order = {
        "resourceType": "MedicationRequest",
        "status": "completed",
        "intent": "order",
        "doNotPerform": True,
        "medicationCodeableConcept": {"text": "Ibuprofen"},
    }
    (row,) = charted(order).medication.rows
    assert row.is_forbidden
    assert "NOT TO BE GIVEN: Ibuprofen" in " ".join(text_of(charted(order)))
