"""Where HL7's JSON schema isn't R4, and the mend of each: white space, nulls, codes, required elements, choices, days."""

import json
from pathlib import Path

import pytest

from federation.clinical import r4
from federation.clinical.errors import FhirInvalid, NotJson
from federation.clinical.fhir import load_resource, validate_bundle, validate_resource
from federation.clinical.report import diagnostic_report, summarise
from tests.unit.clinical.test_report import ISSUED

REPORTS = Path(__file__).parents[2] / "data" / "reports"
OBSERVATION = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}


def observation(**elements: object) -> bytes:
    return json.dumps(OBSERVATION | elements).encode()


def faults(resource: dict[str, object]) -> list[str]:
    with pytest.raises(FhirInvalid) as caught:
        load_resource(json.dumps(resource).encode(), str(resource["resourceType"]))
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    "name",
    [
        *("nbsp-dosage", "narrow-nbsp-unit", "line-separator-note"),
        *("null-given-data-absent", "address-line-null", "expression-language"),
        *("two-patients", "maiden-first"),
    ],
)
def test_what_strangers_wrote_is_accepted(name: str) -> None:
    validate_bundle((REPORTS / f"{name}.json").read_bytes())


def test_a_conclusion_with_a_no_break_space_can_be_signed_and_is_shown() -> None:
    conclusion = (REPORTS / "conclusion-nbsp.txt").read_text(encoding="utf-8").strip()
    signed = diagnostic_report(
        patient_id="P:a", doctor_id="D:b", conclusion=conclusion, codes=[], issued=ISSUED, based_on=[]
    )
    assert conclusion.encode() in signed
    assert "38,5 °C" in summarise(signed)


SPACES = "\u0085\u00a0\u1680\u2000\u2007\u2028\u2029\u202f\u205f\u3000\ufeff"
"""What Unicode calls white space, or once did, and ASCII doesn't have."""


@pytest.mark.parametrize("space", SPACES)
def test_unicode_white_space_is_text_like_any_other(space: str) -> None:
    validate_resource(observation(valueString=f"37,2{space}x", note=[{"text": space}]), "Observation")
    validate_resource(observation(code={"coding": [{"code": f"a{space}b", "system": f"urn:{space}"}]}), "Observation")


@pytest.mark.parametrize("space", "\f\v")
def test_fhir_invalid_for_white_space_that_r4_forbids(space: str) -> None:
    assert faults(OBSERVATION | {"valueString": f"a{space}b"}) == ["Observation.valueString is not a valid string"]


@pytest.mark.parametrize("code", [" a", "a ", "a  b", "a\n\nb", ""])
def test_fhir_invalid_for_a_code_with_white_space_at_its_ends_or_doubled(code: str) -> None:
    found = faults(OBSERVATION | {"code": {"coding": [{"code": code}]}})
    assert found == ["Observation.code.coding.code (at Observation.code.coding[0].code) is not a valid code"]


def test_every_pattern_of_the_schema_is_mended_or_of_ascii_alone() -> None:
    listed = json.dumps(r4.definitions())
    assert "\\\\s" not in listed
    assert "\\\\S" not in listed


def test_every_rule_names_what_the_schema_has() -> None:
    found = r4.definitions()
    rules = json.loads((Path(r4.__file__).parent / "schema" / r4.RULES).read_text(encoding="utf-8"))
    for owner, names in rules["required"].items():
        assert set(names) <= set(found[owner]["properties"])
    for owner, choices in rules["choices"].items():
        for name, choice in choices.items():
            types = rules["any"] if choice["types"] == "any" else choice["types"]
            assert {name + kind[0].upper() + kind[1:] for kind in types} <= set(found[owner]["properties"])
    assert rules["open_codes"] == ["Expression.language"]


LONE_NULL = "is null, and nothing beside it in the list of the same name with a _ says why"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (
            {"given": ["Ann", None]},
            f"Patient.name.given (at Patient.name[0].given[1]) {LONE_NULL}",
        ),
        (
            {"given": [None], "_given": [None]},
            f"Patient.name.given (at Patient.name[0].given[0]) {LONE_NULL}",
        ),
        (
            {"given": [None], "_given": []},
            f"Patient.name.given (at Patient.name[0].given[0]) {LONE_NULL}",
        ),
        ({"family": None}, "Patient.name.family (at Patient.name[0].family) must be text"),
        ({"_family": None}, "Patient.name._family (at Patient.name[0]._family) must be an object"),
        ({"given": [5]}, "Patient.name.given (at Patient.name[0].given[0]) must be text"),
        ({"given": [""]}, "Patient.name.given (at Patient.name[0].given[0]) is not a valid string"),
        ({"given": ["a"], "_given": [5]}, "Patient.name._given (at Patient.name[0]._given[0]) must be an object"),
    ],
)
def test_fhir_invalid_for_a_null_that_stands_for_nothing(name: dict[str, object], fault: str) -> None:
    assert faults({"resourceType": "Patient", "name": [name]}) == [fault]


def test_null_may_stand_in_a_list_of_codes() -> None:
    masked = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]
    }
    timing = {"repeat": {"dayOfWeek": ["mon", None], "_dayOfWeek": [None, masked]}}
    request = {"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": {}}
    validate_resource(json.dumps(request | {"occurrenceTiming": timing}).encode(), "ServiceRequest")


def test_no_bundle_type_and_no_status_are_named() -> None:
    with pytest.raises(FhirInvalid) as caught:
        validate_bundle((REPORTS / "no-bundle-type.json").read_bytes())
    assert [str(fault) for fault in caught.value.faults] == [
        "Bundle lacks the required element type",
        "Observation (at Bundle.entry[0].resource) lacks the required element status",
    ]


def test_a_required_primitive_may_say_why_it_is_absent() -> None:
    absent = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    }
    report = {"resourceType": "DiagnosticReport", "_status": absent, "code": {"text": "x"}, "conclusion": "None."}
    assert "of unknown status" in summarise(json.dumps(report).encode())
    assert faults(report | {"_status": None}) == ["DiagnosticReport._status must be an object"]


@pytest.mark.parametrize(
    ("resource", "fault"),
    [
        (OBSERVATION | {"valueString": "a", "valueInteger": 1}, "Observation has more than one value[x]"),
        (OBSERVATION | {"valueString": "a", "_valueInteger": {"id": "a"}}, "Observation has more than one value[x]"),
        (
            {"resourceType": "MedicationStatement", "status": "active", "subject": {}},
            "MedicationStatement lacks the required element medication[x]",
        ),
    ],
)
def test_fhir_invalid_for_a_choice_made_twice_or_not_at_all(resource: dict[str, object], fault: str) -> None:
    assert faults(resource) == [fault]


def test_codes_and_types_that_the_schema_forgot_are_accepted() -> None:
    statement = {"resourceType": "CapabilityStatement", "status": "active", "date": "2024", "kind": "instance"}
    statement |= {"fhirVersion": "4.0.1", "format": ["json"]}
    statement |= {"extension": [{"url": "http://example.org/x", "valueMeta": {"source": "http://example.org"}}]}
    validate_resource(json.dumps(statement).encode(), "CapabilityStatement")


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"multipleBirthInteger": 1.5}, "Patient.multipleBirthInteger must be a whole number"),
        ({"multipleBirthInteger": 2**31}, "Patient.multipleBirthInteger is not a valid integer"),
        (
            {"telecom": [{"rank": 0}]},
            "Patient.telecom.rank (at Patient.telecom[0].rank) is not a valid positiveInt",
        ),
        ({"text": {"status": "empty", "div": 5}}, "Patient.text.div must be text"),
    ],
)
def test_fhir_invalid_for_numbers_and_texts_of_another_kind(elements: dict[str, object], words: str) -> None:
    assert faults({"resourceType": "Patient"} | elements) == [words]


DAYS = [
    *("2024-02-31", "2023-02-29", "1900-02-29", "2024-04-31", "2024-06-31", "2024-09-31", "2024-11-31"),
    *("2024-02-30T12:00:00Z", "2024-04-31T00:00:00.5+14:00"),
]
SECONDS = [
    *("2016-12-31T23:58:60Z", "2016-12-30T23:59:60Z", "2016-12-31T23:59:60+01:00", "2016-12-31T12:00:60Z"),
    *("0001-01-01T00:00:60+14:00", "9999-12-31T23:59:60-14:00"),
]


@pytest.mark.parametrize("moment", [*DAYS, *SECONDS])
def test_fhir_invalid_for_a_day_or_second_that_there_is_not(moment: str) -> None:
    found = faults(OBSERVATION | {"effectiveDateTime": moment})
    assert found == ["Observation.effectiveDateTime is no dateTime that exists"]


@pytest.mark.parametrize(
    "moment",
    [
        *("2024-02-29", "2000-02-29", "2024-02", "2024", "2024-02-29T23:59:59.999Z", "0001-01-01T00:00:00+14:00"),
        *(
            "2016-12-31T23:59:60Z",
            "2017-01-01T00:59:60+01:00",
            "2015-06-30T18:59:60.5-05:00",
            "2017-01-01T05:29:60+05:30",
        ),
    ],
)
def test_days_and_leap_seconds_that_there_are_pass(moment: str) -> None:
    validate_resource(observation(effectiveDateTime=moment), "Observation")


@pytest.mark.parametrize("moment", ["24:00:00", "12:60:00", "12:00", "2024-01-01T24:00:00Z", "2024-01-01T12:00:00"])
def test_fhir_invalid_for_a_moment_that_is_not_well_formed(moment: str) -> None:
    assert faults(OBSERVATION | {"effectiveDateTime": moment, "valueTime": moment}) == [
        "Observation.effectiveDateTime is not a valid dateTime",
        "Observation.valueTime is not a valid time",
    ]


@pytest.mark.parametrize("offset", ["+14:01", "-14:30", "+24:00", "+1:00", "+0100", "z"])
def test_fhir_invalid_for_an_offset_that_no_zone_has(offset: str) -> None:
    found = faults(OBSERVATION | {"issued": f"2024-01-01T12:00:00{offset}"})
    assert found == ["Observation.issued is not a valid instant"]


def test_a_birth_date_an_instant_and_a_time_are_of_the_calendar_and_clock_too() -> None:
    assert faults({"resourceType": "Patient", "birthDate": "2024-02-31"}) == [
        "Patient.birthDate is no date that exists"
    ]
    assert faults(OBSERVATION | {"issued": "2024-02-31T00:00:00Z", "valueTime": "12:00:60"}) == [
        "Observation.issued is no instant that exists",
        "Observation.valueTime is no time that exists",
    ]
    validate_resource(observation(valueTime="05:29:60"), "Observation")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            {"resourceType": "Encounter", "status": "finished", "class": {}, "actualPeriod": {}},
            "not valid FHIR R4 but, it seems, R5 (Encounter.actualPeriod is of that version), 1 fault",
        ),
        (
            {"resourceType": "NutritionIntake", "status": "completed"},
            "not valid FHIR R4 but, it seems, R5 (NutritionIntake is of that version), 1 fault",
        ),
        (
            OBSERVATION | {"context": {}, "comment": "x"},
            "not valid FHIR R4 but, it seems, STU3 (Observation.comment is of that version), 1 fault",
        ),
        (OBSERVATION | {"colour": "x"}, "not valid FHIR R4, 1 fault"),
        (5, "not valid FHIR R4, 1 fault"),
    ],
)
def test_fhir_invalid_names_the_version_that_it_seems_to_be(content: object, words: str) -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": content}, {}]}
    with pytest.raises(FhirInvalid) as caught:
        validate_bundle(json.dumps(bundle).encode())
    assert caught.value.head == words
    assert str(caught.value).startswith(words + ": ")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((REPORTS / "bom.json").read_bytes(), "begins with a byte order mark; JSON is UTF-8 without one"),
        ('{"a":1}'.encode("utf-16"), "UTF-16, which begins with a byte order mark; JSON is UTF-8"),
        (b"\x1f\x8b\x08\x00", "compressed with gzip; unpack it first"),
        (b"PK\x03\x04\x14", "a ZIP archive; unpack it first"),
        ((REPORTS / "silent-dir" / "visit.xml").read_bytes(), "XML; FHIR is read as JSON"),
        (b'\n <?xml version="1.0"?>', "XML; FHIR is read as JSON"),
        (b' \n{"a":1}\n{"b":2}\n', "a second JSON value at line 3, as in NDJSON; one is expected"),
        (b'{"a":1}]', "not JSON at line 1, column 8"),
        (b'{"a":\n"\xe4"}', "the text is not valid UTF-8 at line 2"),
        (b" \n", "empty"),
        (b"", "empty"),
    ],
)
def test_fhir_not_json_says_what_it_is_instead(data: bytes, words: str) -> None:
    with pytest.raises(NotJson) as caught:
        validate_bundle(data)
    assert str(caught.value) == words
