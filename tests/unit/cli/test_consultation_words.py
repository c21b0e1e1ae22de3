"""What the doctor is told of records and biosignals."""

import json
from datetime import timedelta
from pathlib import Path

from federation.cli.fetched_records import describe_bundle, describe_people
from federation.clinical.ecg import observation_from_dicom
from federation.clinical.summary import Person
from federation.person.biosignals import describe_biosignal
from federation.words import duration, size
from tests.hospital_lab import DATA, JOHNNIE
from tests.unit.clinical.recordings import TWELVE, group, recording

REPORTS = DATA / "reports"


def described(path: Path, patient_id: str = "P:cleo") -> list[str]:
    return describe_bundle(path.read_bytes(), patient_id)[0].splitlines()


def test_a_bundle_is_described_on_a_line():
    (line,) = described(JOHNNIE)
    assert line.startswith("    Johnnie679 Hermiston71, born 2009-03-20: 106 Observation, ")
    assert line.endswith("; 2009-06-26 to 2018-11-02")


def test_a_second_person_and_another_patient_are_a_caution():
    assert described(REPORTS / "two-patients.json") == [
        "    2 Patient",
        "    CAUTION: it holds 2 people: Eva Erste, born 1980-01-01; Zoe Zweite, born 1990-01-01",
    ]
    observed = {
        "resourceType": "Observation",
        "status": "final",
        "code": {},
        "subject": {"identifier": {"value": "P:x"}},
    }
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": observed}]}
    words, people = describe_bundle(json.dumps(bundle).encode(), "P:cleo")
    assert words.splitlines()[1] == "    CAUTION: it names P:x, and is filed under P:cleo"
    assert not people


def test_records_of_one_person_by_several_names_are_a_caution():
    eva, zoe = Person("Eva Erste", "1980-01-01"), Person("Zoe Zweite", None)
    assert describe_people([eva, eva]) == ""
    assert describe_people([eva, zoe, eva]) == (
        "\nCAUTION: the records are of 2 people by their names: Eva Erste, born 1980-01-01; Zoe Zweite."
    )


def test_a_bundle_that_is_none_says_why():
    assert described(REPORTS / "bom.json") == ["    not readable as FHIR R4 (FHIR_NOT_JSON)"]


def test_a_biosignal_is_described_with_its_further_leads():
    made = observation_from_dicom(recording(group([*TWELVE, ("2:66", "")])), subject="P:cleo")
    assert describe_biosignal(made, "P:cleo").startswith("ECG, 13 leads, 2.5 s, V8 among them, ")
    assert "WRONG_SUBJECT" in describe_biosignal(made, "P:other")


def test_one_is_singular():
    assert [size(1), size(2), duration(timedelta(hours=1)), duration(timedelta(hours=1.5))] == [
        "1 byte",
        "2 bytes",
        "1 hour",
        "1.5 hours",
    ]
