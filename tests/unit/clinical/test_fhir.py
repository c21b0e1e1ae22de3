"""FHIR on the way in: what passes, what each fault is called, and that no refusal repeats the record."""

import json
from datetime import date

import pytest

from federation.clinical.errors import ClinicalError, FhirInvalid, FhirTooLarge, NotJson
from federation.clinical.fhir import validate_bundle, validate_resource
from federation.clinical.strictjson import BUNDLE

NAME = "Zebedee Quux"
GENDERS = "none of the codes that R4 allows here: male, female, other, unknown"


def bundle(*resources: object) -> bytes:
    entries = [{"resource": resource} for resource in resources]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def patient(**elements: object) -> dict[str, object]:
    return {"resourceType": "Patient", **elements}


def refusal(*resources: object) -> FhirInvalid:
    with pytest.raises(FhirInvalid) as caught:
        validate_bundle(bundle(*resources))
    return caught.value


def test_synthea_bundle_is_accepted_and_summarised(johnnie):
    summary = validate_bundle(johnnie)
    assert sum(summary.entries.values()) == 237
    assert summary.entries["Observation"] == 106
    assert [str(person) for person in summary.people] == ["Johnnie679 Hermiston71, born 2009-03-20"]
    assert summary.period == (date(2009, 6, 26), date(2018, 11, 2))
    assert "Johnnie" not in repr(summary)


def test_fhir_invalid_names_the_two_faults_of_luna(luna):
    with pytest.raises(FhirInvalid) as caught:
        validate_bundle(luna)
    assert caught.value.reason == "FHIR_INVALID"
    assert caught.value.count == 2
    assert [str(fault) for fault in caught.value.faults] == [
        "Condition.category (at Bundle.entry[16].resource.category) must be a list",
        "Observation.valueTime (at Bundle.entry[221].resource.valueTime) is not a valid time",
    ]


@pytest.mark.parametrize(
    ("resource", "fault"),
    [
        ({}, "Resource (at Bundle.entry[0].resource) lacks the required element resourceType"),
        (
            {"resourceType": "Horse"},
            "Resource.resourceType (at Bundle.entry[0].resource.resourceType) is none of the 146 names that R4 allows here",
        ),
        (patient(gender=NAME), f"Patient.gender (at Bundle.entry[0].resource.gender) is {GENDERS}"),
        (patient(colour=NAME), "Patient (at Bundle.entry[0].resource) has an element that R4 does not know: colour"),
        (
            patient(**{NAME: 1}),
            "Patient (at Bundle.entry[0].resource) has an element that R4 does not know: (a name of 12 characters)",
        ),
        (patient(active=5), "Patient.active (at Bundle.entry[0].resource.active) must be true or false"),
        (
            patient(contained=[patient(birthDate=NAME)]),
            "Patient.contained.birthDate (at Bundle.entry[0].resource.contained[0].birthDate) is not a valid date",
        ),
        (patient(name=[NAME]), "Patient.name (at Bundle.entry[0].resource.name[0]) must be an object"),
        (NAME, "Resource (at Bundle.entry[0].resource) must be an object"),
    ],
)
def test_fhir_invalid_says_where_and_which_rule_without_the_value(resource, fault):
    error = refusal(resource)
    assert [str(found) for found in error.faults] == [fault]
    assert NAME not in str(error)


def test_fhir_invalid_for_a_frame_that_is_no_bundle():
    with pytest.raises(FhirInvalid, match=r"Bundle\.type is none of the codes .*; Bundle\.entry must be a list"):
        validate_bundle(b'{"resourceType":"Bundle","type":"x","entry":3}')


@pytest.mark.parametrize("data", [b'{"resourceType":"Patient"}', b"[]", b"3", b"{}"])
def test_fhir_invalid_for_anything_but_the_resource_asked_for(data):
    with pytest.raises(FhirInvalid, match="Bundle must be a JSON object with resourceType Bundle"):
        validate_bundle(data)


def test_fhir_invalid_carries_twenty_faults_and_counts_all():
    error = refusal(*[patient(active=1)] * 50)
    assert (len(error.faults), error.count) == (20, 50)
    assert str(error).endswith("; and 30 more")


def test_fhir_invalid_stops_counting_in_a_hopeless_document():
    assert refusal(*[patient(active=1)] * 5_000).count == 1_000
    assert refusal(patient(name=[{"given": [1] * 100_000}])).count == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff{}",
        b'\xef\xbb\xbf{"resourceType":"Bundle","type":"collection"}',
        '{"resourceType":"Bundle"}'.encode("utf-16"),
        b'{"resourceType":"Bundle","resourceType":"Bundle"}',
        b'{"total":NaN}',
        b'{"total":1e999}',
        b'{"total":' + b"9" * 5_000 + b"}",
        b'{"id":"\\ud800"}',
        b'{"id":"\\uDFFF"}',
        b"[" * (BUNDLE.depth + 1) + b"]" * (BUNDLE.depth + 1),
        b"[" * 100_000,
    ],
)
def test_fhir_not_json_is_refused(data):
    with pytest.raises(NotJson) as caught:
        validate_bundle(data)
    assert caught.value.reason == "FHIR_NOT_JSON"
    assert caught.value.__cause__ is None


def test_surrogate_pair_is_accepted():
    validate_bundle(bundle(patient(name=[{"family": "\U0001f600"}])))


@pytest.mark.parametrize("data", [b" " * (BUNDLE.size_bytes + 1), b"[" + b"[]," * 1_000_000 + b"[]]"])
def test_fhir_too_large_is_refused(data):
    with pytest.raises(FhirTooLarge) as caught:
        validate_bundle(data)
    assert caught.value.reason == "FHIR_TOO_LARGE"


def test_summary_shows_no_control_characters():
    summary = validate_bundle(bundle(patient(name=[{"family": "\x1b[31mRed", "given": ["\u202eA"]}])))
    assert summary.people[0].name == "A [31mRed"


def test_summary_of_an_empty_bundle():
    summary = validate_bundle(b'{"resourceType":"Bundle","type":"collection"}')
    assert (dict(summary.entries), summary.people, summary.period) == ({}, (), None)


def test_summary_takes_partial_dates():
    observed = [
        {"resourceType": "Observation", "status": "final", "code": {}, "effectiveDateTime": when}
        for when in ("2012", "2014-02")
    ]
    assert validate_bundle(bundle(*observed)).period == (date(2012, 1, 1), date(2014, 2, 1))


def test_resource_of_the_type_asked_for_is_accepted():
    validate_resource(b'{"resourceType":"Observation","status":"final","code":{}}', "Observation")
    with pytest.raises(FhirInvalid, match="lacks the required element code"):
        validate_resource(b'{"resourceType":"Observation","status":"final"}', "Observation")
    with pytest.raises(FhirInvalid):
        validate_resource(b'{"resourceType":"Horse"}', "Horse")


def test_every_refusal_has_its_own_reason():
    kinds = ClinicalError.__subclasses__()
    assert len({kind.reason for kind in kinds} | {ClinicalError.reason}) == len(kinds) + 1
