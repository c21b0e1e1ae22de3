"""DICOM to FHIR and back to samples, on a real recording."""

import json
import math
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pydicom
import pytest

from federation.clinical.ecg import leads_from_observation, observation_from_dicom
from federation.clinical.errors import EcgInvalid, FhirInvalid
from federation.clinical.fhir import validate_resource
from federation.clinical.leads import STANDARD_LEADS

FIRST_SAMPLES = [
    [100.0, 112.5, 12.5, -106.25, 43.75, 62.5, 50.0, 18.75, -12.5, -25.0, -68.75, -50.0],
    [81.25, 106.25, 25.0, -93.75, 27.5, 65.0, 50.0, 25.0, -12.5, -25.0, -75.0, -50.0],
]
LAST_SAMPLES = [25.0, 137.5, 112.5, -81.25, -43.75, 125.0, 25.0, -12.5, -112.5, -137.5, -150.0, -112.5]
SUM_OF_SAMPLES = 4087060.0
"""Microvolts of all leads at the first two instants, the last, and in total: `Dataset.waveform_array(0)` of pydicom 3.0.2."""


def altered(dicom: bytes, change) -> bytes:
    dataset = pydicom.dcmread(BytesIO(dicom))
    change(dataset)
    written = BytesIO()
    dataset.save_as(written)
    return written.getvalue()


def refusal(data: bytes) -> str:
    with pytest.raises(EcgInvalid) as caught:
        observation_from_dicom(data, subject="P:x")
    assert caught.value.reason == "ECG_INVALID"
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_samples_are_those_that_pydicom_reads(observation):
    leads = leads_from_observation(observation)
    instants = list(zip(*(lead.microvolts for lead in leads), strict=True))
    assert [lead.name for lead in leads] == list(STANDARD_LEADS)
    assert {lead.sample_interval for lead in leads} == {timedelta(milliseconds=1)}
    assert [list(instant) for instant in instants[:2]] == FIRST_SAMPLES
    assert list(instants[-1]) == LAST_SAMPLES
    assert math.fsum(map(math.fsum, instants)) == SUM_OF_SAMPLES
    assert leads[0].duration == timedelta(seconds=10)


def test_observation_is_valid_fhir_with_mdc_codes(observation):
    validate_resource(observation, "Observation")
    parsed = json.loads(observation)
    codings = [part["code"]["coding"][0] for part in parsed["component"]]
    assert {coding["system"] for coding in codings} == {"urn:iso:std:iso:11073:10101"}
    assert [(coding["code"], coding["display"]) for coding in codings[:4]] == [
        ("131329", "MDC_ECG_ELEC_POTL_I"),
        ("131330", "MDC_ECG_ELEC_POTL_II"),
        ("131389", "MDC_ECG_ELEC_POTL_III"),
        ("131390", "MDC_ECG_ELEC_POTL_AVR"),
    ]
    sampled = parsed["component"][0]["valueSampledData"]
    assert sampled.pop("data").startswith("80 65 50 35 37 40")
    assert sampled == {
        "origin": {"value": 0, "unit": "uV", "system": "http://unitsofmeasure.org", "code": "uV"},
        "period": 1,
        "factor": 1.25,
        "dimensions": 1,
    }


def test_observation_holds_nothing_else_of_the_dicom_header(observation):
    parsed = json.loads(observation)
    assert parsed["subject"] == {"identifier": {"value": "P:johnnie679"}, "type": "Patient"}
    assert parsed["effectiveDateTime"] == "2013-01-25"
    for header_value in (b"642341", b"1971", b"Anonymous", b"Galliera", b"13002689", b"20130125", b"03028041970546"):
        assert header_value not in observation


def test_observation_is_the_same_bytes_each_time(dicom, observation):
    assert observation_from_dicom(dicom, subject="P:johnnie679") == observation


def test_moment_of_recording_is_taken_in_utc(dicom):
    moment = datetime.fromisoformat("2026-03-01T10:30:00.25+01:00")
    parsed = json.loads(observation_from_dicom(dicom, subject="P:x", effective=moment))
    assert parsed["effectiveDateTime"] == "2026-03-01T09:30:00.250Z"
    with pytest.raises(ValueError, match="zone"):
        observation_from_dicom(dicom, subject="P:x", effective=datetime.now(UTC).replace(tzinfo=None))


def test_millivolts_baseline_and_mdc_codes_are_understood(dicom):
    def change(dataset):
        for channel in dataset.WaveformSequence[0].ChannelDefinitionSequence:
            number = channel.ChannelSourceSequence[0].CodeValue.rpartition("-")[2]
            channel.ChannelSourceSequence[0].CodeValue = f"2:{number}"
            channel.ChannelSensitivityUnitsSequence[0].CodeValue = "mV"
            channel.ChannelSensitivity = "0.00125"
            channel.ChannelBaseline = "0.5"

    leads = leads_from_observation(observation_from_dicom(altered(dicom, change), subject="P:x"))
    assert [lead.microvolts[0] for lead in leads] == [value + 500 for value in FIRST_SAMPLES[0]]


def test_missing_samples_are_marked_not_drawn_as_values(dicom):
    def change(dataset):
        group = dataset.WaveformSequence[0]
        group.add_new(0x5400100A, "OW", (80).to_bytes(2, "little"))

    encoded = observation_from_dicom(altered(dicom, change), subject="P:x")
    assert json.loads(encoded)["component"][0]["valueSampledData"]["data"].startswith("E 65 50")
    assert math.isnan(leads_from_observation(encoded)[0].microvolts[0])


@pytest.mark.parametrize("size", [0, 1, 132, 1_000, 100_000, 250_000])
def test_ecg_invalid_for_a_file_cut_short(dicom, size):
    said = refusal(dicom[:size])
    assert "DICOM" in said or "the file lacks" in said


def test_ecg_invalid_for_a_file_over_16_mib():
    assert "at most" in refusal(bytes(16 * 1024 * 1024 + 1))


def first_group(name: str, value: object):
    return lambda dataset: setattr(dataset.WaveformSequence[0], name, value)


def first_channel(name: str, value: object):
    return lambda dataset: setattr(dataset.WaveformSequence[0].ChannelDefinitionSequence[0], name, value)


def lead_code(value: str):
    def change(dataset):
        dataset.WaveformSequence[0].ChannelDefinitionSequence[0].ChannelSourceSequence[0].CodeValue = value

    return change


def unit_code(value: str):
    def change(dataset):
        channel = dataset.WaveformSequence[0].ChannelDefinitionSequence[0]
        channel.ChannelSensitivityUnitsSequence[0].CodeValue = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda dataset: dataset.WaveformSequence.pop(0), "only derived"),
        (first_group("SamplingFrequency", "0"), "frequency"),
        (first_group("NumberOfWaveformChannels", 11), "number of channels"),
        (first_group("NumberOfWaveformSamples", 9_999), "length"),
        (first_group("WaveformSampleInterpretation", "AB"), "8, 16 or 32 bits"),
        (first_channel("ChannelSensitivity", "0"), "sensitivity"),
        (lead_code("5.6.3-9-2"), "recorded twice"),
        (unit_code("mm[Hg]"), "not measured in volts"),
    ],
)
def test_ecg_invalid_says_what_is_wrong_with_the_waveform(dicom, change, words):
    assert words in refusal(altered(dicom, change))


def test_ecg_invalid_for_a_compressed_transfer_syntax(dicom):
    def change(dataset):
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian

    assert "little-endian" in refusal(altered(dicom, change))


def edited(observation: bytes, **sampled: object) -> bytes:
    parsed = json.loads(observation)
    parsed["component"][0]["valueSampledData"].update(sampled)
    return json.dumps(parsed).encode()


@pytest.mark.parametrize(
    "sampled", [{"dimensions": 2}, {"period": 0}, {"period": 1e9}, {"data": "1 2 x"}, {"data": "1 inf"}, {"origin": {}}]
)
def test_ecg_invalid_for_an_observation_that_cannot_be_drawn(observation, sampled):
    with pytest.raises(EcgInvalid, match="lead I "):
        leads_from_observation(edited(observation, **sampled))


def test_ecg_invalid_without_leads():
    with pytest.raises(EcgInvalid, match="no ECG lead"):
        leads_from_observation(b'{"resourceType":"Observation","status":"final","code":{}}')
    with pytest.raises(FhirInvalid):
        leads_from_observation(b"{}")
