"""What the doctor is told of records and biosignals."""

import json
from dataclasses import dataclass
from datetime import timedelta

import pytest

from federation.cli import fetched_records
from federation.cli.fetched_records import ToChart
from federation.clinical.ecg import observation_from_dicom
from federation.person.biosignals import describe_biosignal
from federation.v1.record_pb2 import RecordEntry
from federation.words import duration, size
from tests.hospital_lab import DATA, JOHNNIE
from tests.unit.clinical.recordings import TWELVE, group, recording

REPORTS = DATA / "reports"


@dataclass
class Shown:
    """What ToChart says of one bundle, and shows in the end."""

    fault: str
    lines: list[str]


def shown(capsys: pytest.CaptureFixture[str], *contents: bytes, patient_id: str = "P:cleo") -> Shown:
    chart = ToChart()
    entry = RecordEntry(department_id="H:a/cardiology")
    faults = [chart.take(data, patient_id, entry, "H:a", str(number)) for number, data in enumerate(contents)]
    chart.show()
    return Shown("; ".join(filter(None, faults)), capsys.readouterr().out.splitlines())


def test_records_are_shown_as_one_chart(capsys):
    told = shown(capsys, JOHNNIE.read_bytes())
    assert told.fault == ""
    assert told.lines[1].startswith("Johnnie679 Hermiston71, female, born 2009-03-20 (")
    assert told.lines[2:4] == ["", "ALLERGIES: NOT STATED, ask."]
    assert "Left out of this chart: 26 Claim, 22" in " ".join(told.lines)


def test_a_second_person_and_another_patient_are_a_caution(capsys):
    told = shown(capsys, (REPORTS / "two-patients.json").read_bytes())
    assert " ".join(told.lines[1:3]).startswith("CAUTION: The records are of 2 people by their names: Eva Erste, born")
    observed = {
        "resourceType": "Observation",
        "status": "final",
        "code": {},
        "subject": {"identifier": {"value": "P:x"}},
    }
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": observed}]}
    told = shown(capsys, json.dumps(bundle).encode())
    assert told.lines[1] == "CAUTION: Records of H:a name P:x, and are filed under P:cleo."


def test_a_bundle_that_is_none_says_why_and_makes_no_chart(capsys):
    told = shown(capsys, (REPORTS / "bom.json").read_bytes())
    assert told.fault == "not in the chart: not readable as FHIR R4 (FHIR_NOT_JSON)"
    assert told.lines == []


def test_what_is_too_much_for_one_chart_is_told(capsys, monkeypatch):
    monkeypatch.setattr(fetched_records, "MOST_CHARTED_BYTES", 1_000_000)
    told = shown(capsys, JOHNNIE.read_bytes(), JOHNNIE.read_bytes())
    assert told.fault == "not in the chart: too much for one"
    assert told.lines[1] == "THE CHART LEAVES OUT 1 RECORD: there is too much for one."
    assert "Made from 1 record of H:a." in " ".join(told.lines)


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
