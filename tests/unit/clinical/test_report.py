"""The diagnosis and the encounter that is filed."""

import base64
import hashlib
import json
from datetime import UTC, date, datetime

import pytest

from federation.clinical.encounter import encounter_bundle
from federation.clinical.errors import FhirInvalid, FhirTooLarge, WrongStatus, WrongSubject
from federation.clinical.fhir import validate_bundle, validate_resource
from federation.clinical.identity import require_subject
from federation.clinical.report import Coding, Source, diagnostic_report, summarise
from federation.clinical.strictjson import RESOURCE, dump

ISSUED = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
HYPERTENSION = Coding("http://hl7.org/fhir/sid/icd-10", "I10", "Essential (primary) hypertension")

REPORT = (
    b'{"code":{"coding":[{"code":"29308-4","display":"Diagnosis","system":"http://loinc.org"}]},'
    b'"conclusion":"Sinus rhythm, normal ECG.","conclusionCode":[{"coding":[{"code":"I10",'
    b'"display":"Essential (primary) hypertension","system":"http://hl7.org/fhir/sid/icd-10"}]}],'
    b'"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/workflow-supportingInfo","valueReference":'
    b'{"display":"12 records of H:alpha","identifier":{"system":"urn:ietf:rfc:3986",'
    b'"value":"ni:///sha-256;47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}}}],'
    b'"issued":"2026-03-01T09:30:00.000Z","performer":[{"identifier":{"value":"D:rossi"},"type":"Practitioner"}],'
    b'"resourceType":"DiagnosticReport","status":"final",'
    b'"subject":{"identifier":{"value":"P:johnnie679"},"type":"Patient"}}'
)
EMPTY_SHA256 = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def report(patient_id: str = "P:johnnie679", **changes: object) -> bytes:
    arguments = {
        "patient_id": patient_id,
        "doctor_id": "D:rossi",
        "conclusion": "Sinus rhythm, normal ECG.",
        "codes": [HYPERTENSION],
        "issued": ISSUED,
        "based_on": [Source(EMPTY_SHA256, "H:alpha", 12)],
    }
    return diagnostic_report(**{**arguments, **changes})


def test_report_has_exactly_these_bytes():
    assert report() == REPORT


def test_report_without_codes_and_sources_is_valid():
    validate_resource(report(codes=[], based_on=[]), "DiagnosticReport")


def test_fhir_invalid_for_an_empty_conclusion():
    with pytest.raises(FhirInvalid, match=r"DiagnosticReport\.conclusion is not a valid string"):
        report(conclusion="")


def test_digest_of_another_length_is_a_mistake_of_ours():
    with pytest.raises(ValueError, match="32 bytes"):
        report(based_on=[Source(b"short", "H:a", 1)])


def test_summary_is_one_plain_paragraph():
    assert summarise(REPORT) == (
        "Diagnosis by D:rossi for P:johnnie679, issued 2026-03-01 09:30 UTC, final: Sinus rhythm, normal ECG. "
        "Coded as Essential (primary) hypertension (I10). Based on 12 records of H:alpha."
    )


def test_summary_counts_the_records_of_each_hospital():
    sources = [Source(EMPTY_SHA256, "H:alpha", 1), Source(bytes(32), "H:beta", 2)]
    assert summarise(report(based_on=sources)).endswith("Based on 1 record of H:alpha, 2 records of H:beta.")


def test_summary_counts_answers_where_the_report_does_not_say_how_many_records_they_held():
    def cited(*sources: Source) -> str:
        parsed = json.loads(report(based_on=sources))
        del parsed["extension"][0]["valueReference"]["display"]
        return summarise(json.dumps(parsed).encode()).rpartition("(I10). ")[2]

    first, second = Source(EMPTY_SHA256, "H:alpha", 12), Source(bytes(32), "H:beta", 2)
    assert cited(first) == "Based on records in 1 answer of hospitals."
    assert cited(first, second) == "Based on 2 records of H:beta, records in 1 answer of hospitals."


def test_summary_of_a_strangers_report_is_safe_to_print():
    foreign = {
        "resourceType": "DiagnosticReport",
        "status": "amended",
        "code": {},
        "conclusion": "\x1b[2Jgone\n\nYour PIN:",
        "conclusionCode": [{"text": "flu"}, {}],
    }
    assert summarise(json.dumps(foreign).encode()) == (
        "Diagnosis by an unnamed doctor for an unnamed patient, amended: [2Jgone Your PIN:. "
        "Coded as flu; a code without words."
    )


def test_encounter_is_a_valid_bundle_that_keeps_both_parts_byte_for_byte(observation):
    filed = encounter_bundle(patient_id="P:johnnie679", observation=observation, report=REPORT, recorded=ISSUED).content
    summary = validate_bundle(filed)
    assert summary.entries == {"Encounter": 1, "Observation": 1, "DiagnosticReport": 1}
    assert summary.period == (date(2013, 1, 25), date(2026, 3, 1))
    assert observation in filed
    assert REPORT in filed
    names = [entry["fullUrl"] for entry in json.loads(filed)["entry"]]
    assert len(set(names)) == 3
    assert names[2] == "urn:uuid:50f0dbc8-3ffa-5ed1-ac67-e354b774ef4a"


def test_wrong_subject_is_not_filed(observation):
    for observed, diagnosed in (
        (observation, report("P:luna")),
        (observation.replace(b"P:johnnie679", b"P:x"), REPORT),
    ):
        with pytest.raises(WrongSubject) as caught:
            encounter_bundle(patient_id="P:johnnie679", observation=observed, report=diagnosed, recorded=ISSUED)
        assert caught.value.reason == "WRONG_SUBJECT"


def test_report_that_takes_anothers_place_is_amended_and_names_its_bytes():
    amended = json.loads(report(conclusion="A flutter.", amends=REPORT))
    assert amended["status"] == "amended"
    digest = base64.urlsafe_b64encode(hashlib.sha256(REPORT).digest()).decode().rstrip("=")
    assert amended["extension"][-1] == {
        "url": "http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces",
        "valueReference": {
            "type": "DiagnosticReport",
            "identifier": {"system": "urn:ietf:rfc:3986", "value": f"ni:///sha-256;{digest}"},
        },
    }
    validate_resource(report(amends=REPORT, based_on=[]), "DiagnosticReport")
    assert ", amended: A flutter." in summarise(report(conclusion="A flutter.", amends=REPORT))


@pytest.mark.parametrize("status", ["amended", "corrected", "appended"])
def test_encounter_of_an_amendment_takes_what_fhir_calls_amended(observation, status):
    changed = json.loads(report(amends=REPORT)) | {"status": status}
    arguments = {"patient_id": "P:johnnie679", "observation": observation, "recorded": ISSUED}
    encounter_bundle(**arguments, report=json.dumps(changed).encode(), is_amended=True)


def test_wrong_status_where_report_and_signature_say_otherwise(observation):
    arguments = {"patient_id": "P:johnnie679", "observation": observation, "recorded": ISSUED}
    with pytest.raises(WrongStatus, match="that it takes no other's place"):
        encounter_bundle(**arguments, report=report(amends=REPORT))
    with pytest.raises(WrongStatus, match="that it takes another's place"):
        encounter_bundle(**arguments, report=REPORT, is_amended=True)


def test_fhir_invalid_when_the_parts_are_exchanged(observation):
    with pytest.raises(FhirInvalid):
        encounter_bundle(patient_id="P:johnnie679", observation=REPORT, report=observation, recorded=ISSUED)


def test_wrong_subject_names_both():
    with pytest.raises(WrongSubject, match=r"^the DiagnosticReport is about P:luna, not P:x$"):
        require_subject(json.loads(report("P:luna")), "P:x")
    with pytest.raises(WrongSubject, match=r"^the DiagnosticReport is about somebody else, not P:x$"):
        require_subject(json.loads(report("flu")), "P:x")


def test_the_encounter_of_the_largest_biosignal_and_diagnosis_is_taken():
    most_diagnosis = 917_504  # docs/protocol.md, D5
    observed = {"resourceType": "Observation", "status": "final", "code": {}, "subject": json.loads(REPORT)["subject"]}

    def filled(resource: dict[str, object], name: str, size: int) -> bytes:
        frame = dump(resource | {name: ""})
        return dump(resource | {name: "x" * (size - len(frame))})

    biosignal = filled(observed, "valueString", RESOURCE.size_bytes)
    diagnosis = filled(json.loads(REPORT), "conclusion", most_diagnosis)
    assert (len(biosignal), len(diagnosis)) == (RESOURCE.size_bytes, most_diagnosis)
    filed = encounter_bundle(
        patient_id="P:johnnie679", observation=biosignal, report=diagnosis, recorded=ISSUED
    ).content
    assert len(filed) > RESOURCE.size_bytes
    with pytest.raises(FhirTooLarge, match="more than 16 MiB"):
        validate_resource(biosignal + b" ", "Observation")
    noted = dump(observed | {"note": [{"text": "x"}] * 160_000})
    encounter_bundle(patient_id="P:johnnie679", observation=noted, report=REPORT, recorded=ISSUED)
