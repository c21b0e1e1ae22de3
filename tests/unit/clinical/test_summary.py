"""What a bundle says of itself: whose it is by the name that the person goes by, and what is wrong with that."""

import json
from pathlib import Path

import pytest

from federation.clinical.fhir import validate_bundle
from federation.clinical.summary import BundleSummary
from federation.clinical.text import counted

REPORTS = Path(__file__).parents[2] / "data" / "reports"


def summary(*resources: dict[str, object]) -> BundleSummary:
    entries = [{"resource": resource} for resource in resources]
    return validate_bundle(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode())


def patient(*names: dict[str, object], **elements: object) -> dict[str, object]:
    return {"resourceType": "Patient", "name": [*names]} | elements


def observed(**elements: object) -> dict[str, object]:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}} | elements


def test_usual_name_is_shown_though_the_maiden_name_comes_first():
    found = validate_bundle((REPORTS / "maiden-first.json").read_bytes())
    assert found.words() == "Hanna Heutige, born 1975-05-05: 1 Patient"


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([{"use": "official", "family": "B"}, {"use": "usual", "family": "A"}], "A"),
        ([{"use": "old", "family": "C"}, {"family": "B"}, {"use": "official", "family": "A"}], "A"),
        ([{"use": "nickname", "family": "B"}, {"family": "A"}], "A"),
        ([{"use": "maiden", "family": "B"}, {"use": "old", "family": "A"}], "A"),
        ([{"use": "usual", "family": "B", "period": {"end": "2020"}}, {"use": "temp", "family": "A"}], "A"),
        ([{"use": "usual", "period": {}}, {"use": "official", "family": "A"}], "A"),
        ([{"use": "maiden", "family": "A"}], "A"),
        ([{"text": "Dr A", "family": "B"}], "Dr A"),
    ],
)
def test_name_shown_is_the_first_in_use(names, shown):
    assert summary(patient(*names)).people[0].name == shown


def test_a_masked_part_of_a_name_is_left_out():
    found = validate_bundle((REPORTS / "null-given-data-absent.json").read_bytes())
    assert found.words() == "Paula Probe: 1 Patient"


def test_nobody_is_born_none():
    assert summary(patient({"family": "Ohne"})).words() == "Ohne: 1 Patient"
    assert summary(patient()).words() == "somebody without a name: 1 Patient"
    assert summary(patient(birthDate="1980")).words() == "somebody without a name, born 1980: 1 Patient"


def test_two_people_are_both_named():
    found = validate_bundle((REPORTS / "two-patients.json").read_bytes())
    assert found.words() == "2 Patient"
    assert found.warnings("P:cleo") == ["holds 2 people: Eva Erste, born 1980-01-01; Zoe Zweite, born 1990-01-01"]


def test_the_same_person_twice_is_one():
    assert summary(patient({"family": "A"}), patient({"family": "A"}, active=True)).warnings("P:a") == []


def test_many_people_are_counted():
    people = [patient({"family": f"F{number}"}) for number in range(11)]
    assert summary(*people).warnings("P:a") == ["holds 11 people: F0; F1; F2; F3; F4; F5; F6; F7; and 3 more"]


@pytest.mark.parametrize(
    "resource",
    [
        observed(subject={"identifier": {"value": "P:other"}}),
        {"resourceType": "Patient", "identifier": [{"value": "P:other"}, {"system": "http://example.org"}]},
        {"resourceType": "AllergyIntolerance", "patient": {"identifier": {"value": "P:other"}}},
    ],
)
def test_another_patient_than_the_one_filed_under_is_named_with_it(resource):
    assert summary(resource).warnings("P:cleo") == ["names P:other, and is filed under P:cleo"]
    assert summary(resource).warnings("P:other") == []


def test_words_of_a_bundle_of_many_kinds_and_of_none():
    kinds = ["Basic", "Flag", "Group", "List", "Media", "Slot", "Task", "Goal"]
    shown = BundleSummary(dict.fromkeys(kinds[:7], 1), (), (), None)
    assert shown.words() == "1 Basic, 1 Flag, 1 Group, 1 List, 1 Media, 1 Slot and 1 more kind"
    assert BundleSummary(dict.fromkeys(kinds, 1), (), (), None).words().endswith("and 2 more kinds")
    assert BundleSummary({}, (), (), None).words() == "no resource"


def test_one_day_is_no_range():
    assert summary(observed(effectiveDateTime="2024-03-01")).words() == "1 Observation; 2024-03-01"


def test_what_is_counted_agrees_with_its_number():
    assert [counted(number, "record") for number in (0, 1, 2, 1200)] == [
        "0 records",
        "1 record",
        "2 records",
        "1,200 records",
    ]
