"""ECGs that recorders really make: several groups, further leads, few leads, samples of 8 to 32 bits, and what is missing."""

import json
import math
import re
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.clinical.drawing import MOST_ROWS, svg
from federation.clinical.ecg import (
    describe_ecg,
    leads_from_observation,
    observation_from_dicom,
    other_signals,
    person_in_dicom,
)
from federation.clinical.errors import ClinicalError, EcgInvalid, FhirTooLarge
from federation.clinical.leads import LEAD_NAMES, STANDARD_LEADS, Lead
from tests.unit.clinical.recordings import TWELVE, channel, dataset, group, recording, written
from tests.unit.clinical.test_drawing import NS, traces

V4R = ("2:12", "Lead V4R")


def leads_of(data: bytes) -> list[Lead]:
    return leads_from_observation(observation_from_dicom(data, subject="P:x"))


def refusal(data: bytes) -> str:
    with pytest.raises(EcgInvalid) as caught:
        observation_from_dicom(data, subject="P:x")
    assert caught.value.__cause__ is None
    return str(caught.value)


def labels(picture: str) -> list[str]:
    found = [text.text for text in ET.fromstring(picture).iter(f"{NS}text")]
    return [label for label in found if label]


def test_four_groups_of_three_leads_are_twelve_leads():
    leads = leads_of(recording(*(group(TWELVE[start : start + 3]) for start in range(0, 12, 3))))
    assert [lead.name for lead in leads] == list(STANDARD_LEADS)
    assert describe_ecg(leads) == "ECG, 12 leads, 2.5 s"
    assert len(traces(svg(leads))) == 13


def test_each_group_keeps_its_rate_and_when_it_begins():
    groups = [group(TWELVE[start : start + 3], rate=250 * (1 + start // 3)) for start in range(0, 12, 3)]
    for number, one in enumerate(groups):
        one.MultiplexGroupTimeOffset = str(2500 * number)
    leads = leads_of(recording(*groups))
    assert [lead.offset / timedelta(seconds=1) for lead in leads[::3]] == [0, 2.5, 5, 7.5]
    assert [round(timedelta(seconds=1) / lead.sample_interval) for lead in leads[::3]] == [250, 500, 750, 1000]
    assert describe_ecg(leads) == "ECG, 12 leads, 10 s"
    picture = svg(leads)
    assert "recorded at 250 and 500 and 750 and 1000 Hz" in picture
    # Each column begins with the first sample of its group.
    for drawn, lead in zip(traces(picture)[:4], (leads[0], leads[3], leads[6], leads[9]), strict=True):
        assert max(y for _, y in drawn) - min(y for _, y in drawn) == pytest.approx(
            (max(lead.microvolts) - min(lead.microvolts)) / 100, abs=0.1
        )


def test_a_rhythm_strip_of_its_own_group_is_drawn_beside_the_twelve():
    rhythm = group([("2:2", "")], seconds=10, rate=250)
    leads = leads_of(recording(group(TWELVE), rhythm))
    assert [lead.name for lead in leads].count("II") == 2
    drawn = traces(svg(leads))
    assert drawn[-1][-1][0] - drawn[-1][0][0] == pytest.approx(250, abs=0.5)
    assert describe_ecg(leads) == "ECG, 12 leads, 10 s"


def test_a_thirteenth_lead_is_kept_named_and_drawn():
    leads = leads_of(recording(group([*TWELVE, V4R], seconds=10)))
    assert [lead.name for lead in leads] == [*STANDARD_LEADS, "V4R"]
    assert describe_ecg(leads) == "ECG, 13 leads, 10 s, V4R among them"
    picture = svg(leads)
    assert "V4R" in labels(picture)
    assert len(traces(picture)) == 14
    assert 'viewBox="0 0 297 250"' in picture


def test_a_lead_whose_code_and_name_differ_is_called_both():
    data = observation_from_dicom(recording(group([*TWELVE, ("2:13", "V4R")])), subject="P:x")
    coded = json.loads(data)["component"][12]["code"]
    assert (coded["text"], coded["coding"][0]["display"]) == ("V4R", "MDC_ECG_ELEC_POTL_V5R")
    assert str(leads_from_observation(data)[12]) == "V4R (coded as V5R)"


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        ([("2:0", "unspecified lead")], ["unspecified lead"]),
        ([("2:0", "")] * 3, ["unnamed", "unnamed 2", "unnamed 3"]),
        ([("2:20", ""), ("2:3", "V1"), ("2:7", "V5")], ["CM5", "V1", "V5"]),
        ([("2:16", "X"), ("2:17", "Y"), ("2:18", "Z")], ["X", "Y", "Z"]),
        ([("5.6.3-9-1", "")], ["I"]),
        ([("mine", "Ableitung\t7")], ["Ableitung 7"]),
        ([("2:999", "far")], ["far"]),
    ],
)
def test_ecgs_of_few_leads_are_read_and_named(sources, names):
    leads = leads_of(recording(group(sources, seconds=3)))
    assert [lead.name for lead in leads] == names
    assert labels(svg(leads))[0] == f"ECG, {len(names)} lead{'s' * (len(names) > 1)}"


def test_thirty_seconds_of_one_lead_are_three_rows():
    leads = leads_of(recording(group([TWELVE[0]], seconds=30, rate=512)))
    picture = svg(leads)
    assert [label for label in labels(picture) if label.startswith("I")] == ["I", "I, from 10 s", "I, from 20 s"]
    assert "recorded at 512 Hz" in picture
    assert [trace[-1][0] - trace[0][0] for trace in traces(picture)] == [pytest.approx(250, abs=0.5)] * 3


def test_hours_are_drawn_in_part_and_that_is_said():
    leads = [Lead("I", timedelta(seconds=1), (0.0, 1.0) * 5_000), Lead("V1", timedelta(seconds=1), (0.0, 1.0) * 5_000)]
    picture = svg(leads)
    assert len(traces(picture)) == MOST_ROWS
    assert labels(picture)[-1].endswith("what follows is not drawn")


def test_a_lead_that_begins_late_takes_no_time_to_find():
    late = [Lead(f"X{at}", timedelta(seconds=1), (1.0,), timedelta(milliseconds=2**31 - 1)) for at in range(2_000)]
    picture = svg([Lead("I", timedelta(seconds=1), (1.0, 2.0)), *late])
    assert "X0, from 2.14748e+06 s" in labels(picture)


@pytest.mark.parametrize(
    ("interpretation", "zero"), [("SS", 0), ("US", 32768), ("SB", 0), ("UB", 128), ("SL", 0), ("UL", 2**31)]
)
def test_samples_of_every_width_are_read(interpretation, zero):
    leads = leads_of(recording(group(TWELVE, seconds=1, interpretation=interpretation)))
    height = 100 if interpretation in {"SB", "UB"} else 400
    assert max(leads[0].microvolts) == (zero + height) * 2.5
    assert leads[0].microvolts[0] == zero * 2.5


def test_an_odd_number_of_bytes_is_padded():
    (lead,) = leads_of(recording(group([TWELVE[0]], seconds=0.202, interpretation="SB")))
    assert len(lead.microvolts) == 101


@pytest.mark.parametrize(
    ("interpretation", "padding"), [("SB", b"\x05"), ("US", b"\x05\x80"), ("SL", b"\x05\x00\x00\x00")]
)
def test_missing_samples_are_marked_in_every_width(interpretation, padding):
    made = group([TWELVE[0]], interpretation=interpretation)
    size = len(padding)
    made.WaveformData = padding + made.WaveformData[size:]
    made.add_new(0x5400100A, "OB" if size == 1 else "OW", padding)
    assert math.isnan(leads_of(recording(made))[0].microvolts[0])


@pytest.mark.parametrize(("unit", "sensitivity"), [("nV", "2500"), ("uV", "2.5"), ("mV", "0.0025"), ("V", "0.0000025")])
def test_every_unit_of_voltage_is_understood(unit, sensitivity):
    leads = leads_of(recording(group([TWELVE[0]], unit=unit, sensitivity=sensitivity)))
    assert max(leads[0].microvolts) == pytest.approx(1000)


def test_what_is_no_voltage_is_kept_and_named_beside_the_leads():
    made = group([*TWELVE[:2], ("109016", "Aortic pressure")])
    made.ChannelDefinitionSequence[2] = channel(("109016", "Aortic pressure"), unit="mm[Hg]", sensitivity="0.1")
    data = observation_from_dicom(recording(made), subject="P:x")
    leads, others = leads_from_observation(data), other_signals(data)
    assert [lead.name for lead in leads] == ["I", "II"]
    assert json.loads(data)["component"][2]["valueSampledData"]["origin"]["code"] == "mm[Hg]"
    assert describe_ecg(leads, others) == "ECG, 2 leads, 2.5 s; recorded beside it and not drawn: Aortic pressure"


def without(keyword: str, made, place=lambda made: made) -> bytes:
    delattr(place(made), keyword)
    return written(made)


@pytest.mark.parametrize(
    ("keyword", "place", "words"),
    [
        ("WaveformSequence", lambda made: made, "the file lacks WaveformSequence (5400,0100)"),
        *(
            (keyword, lambda made: made.WaveformSequence[1], f"group 2 lacks {keyword} {tag}")
            for keyword, tag in (
                ("WaveformOriginality", "(003A,0004)"),
                ("NumberOfWaveformChannels", "(003A,0005)"),
                ("NumberOfWaveformSamples", "(003A,0010)"),
                ("SamplingFrequency", "(003A,001A)"),
                ("ChannelDefinitionSequence", "(003A,0200)"),
                ("WaveformBitsAllocated", "(5400,1004)"),
                ("WaveformSampleInterpretation", "(5400,1006)"),
                ("WaveformData", "(5400,1010)"),
            )
        ),
        *(
            (
                keyword,
                lambda made: made.WaveformSequence[1].ChannelDefinitionSequence[2],
                f"group 2, channel 3 lacks {keyword} {tag}",
            )
            for keyword, tag in (
                ("ChannelSourceSequence", "(003A,0208)"),
                ("ChannelSensitivity", "(003A,0210)"),
                ("ChannelSensitivityUnitsSequence", "(003A,0211)"),
                ("ChannelSensitivityCorrectionFactor", "(003A,0212)"),
            )
        ),
    ],
)
def test_ecg_invalid_names_the_missing_element(keyword, place, words):
    made = dataset(group(TWELVE[:3]), group(TWELVE[3:6]))
    assert refusal(without(keyword, made, place)) == words


def test_ecg_invalid_for_a_file_that_is_no_dicom_file():
    words = "not a DICOM file: the 128 bytes and the letters DICM at its beginning are missing"
    assert refusal(recording(group(TWELVE))[132:]) == words
    assert refusal(b'{"resourceType":"Observation"}') == words


def test_ecg_invalid_for_companded_samples_and_for_a_pressure_alone():
    assert refusal(recording(group(TWELVE, interpretation="MB"))).endswith("integers of 8, 16 or 32 bits")
    assert "no channel is measured in volts" in refusal(recording(group([("109016", "p")], unit="mm[Hg]")))
    assert "lead I is not measured in volts" in refusal(recording(group(TWELVE, unit="mm[Hg]")))


def test_more_than_an_observation_holds_is_refused_with_its_limit():
    made = group([TWELVE[0]], seconds=1, interpretation="SB")
    made.NumberOfWaveformSamples, made.WaveformData = 9_000_000, bytes(9_000_000)
    assert "more than 8,388,608 samples" in refusal(recording(made))
    made.NumberOfWaveformSamples, made.WaveformData = 6_000_000, b"\x9c" * 6_000_000
    with pytest.raises(FhirTooLarge, match="more than 16 MiB"):
        observation_from_dicom(recording(made), subject="P:x")


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of what is written here
def test_a_recording_of_no_day_has_no_date():
    made = dataset(group(TWELVE))
    for stamp in ("20240231", "2024", "", "99999999"):
        made.AcquisitionDateTime = stamp
        assert "effectiveDateTime" not in json.loads(observation_from_dicom(written(made), subject="P:x"))


def test_whose_recording_it_says_that_it_is():
    made = dataset(group(TWELVE))
    assert person_in_dicom(written(made)) == "Probe Paula, number 1"
    made.PatientID = ""
    assert person_in_dicom(written(made)) == "Probe Paula"
    made.PatientName = ""
    assert person_in_dicom(written(made)) is None


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of what is written here
def test_nothing_of_a_header_is_logged_or_warned_of(caplog, recwarn):
    made = dataset(group(TWELVE))
    made.PatientBirthDate, made.PatientID = "Quux", "Quux" * 20
    data = written(made)
    recwarn.clear()
    observation_from_dicom(data, subject="P:x")
    assert "Quux" in (person_in_dicom(data) or "")
    with pytest.raises(EcgInvalid):
        observation_from_dicom(data.replace(b"1.2.840.10008.1.2.1", b"1.2.840.Quux8.1.2.1"), subject="P:x")
    assert not recwarn.list
    assert "Quux" not in caplog.text


def test_names_of_leads_are_one_for_each_number():
    assert len(set(LEAD_NAMES.values())) == len(LEAD_NAMES)
    assert (LEAD_NAMES[12], LEAD_NAMES[20], LEAD_NAMES[66], LEAD_NAMES[97], LEAD_NAMES[134]) == (
        "V4R",
        "CM5",
        "V8",
        "MCL6",
        "S",
    )


@pytest.mark.parametrize("number", ["9" * 400, "1e308", "-1e308"])
def test_ecg_invalid_for_numbers_that_are_no_microvolts(number):
    data = observation_from_dicom(recording(group([TWELVE[0]])), subject="P:x").decode()
    for name in ("factor", "value"):
        with pytest.raises(ClinicalError):
            leads_from_observation(re.sub(rf'"{name}":[0-9.]+', f'"{name}":{number}', data, count=1).encode())


GOOD = recording(group(TWELVE[:3], seconds=0.1))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8), st.integers(0, len(GOOD)))
def test_no_dicom_file_leads_to_anything_but_an_ecg_or_our_refusal(changes, length):
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    for content in (bytes(data), bytes(data[:length])):
        try:
            assert svg(leads_of(content))
            person_in_dicom(content)
        except ClinicalError as error:
            assert str(error)  # noqa: PT017 - either is right


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_after_the_preamble_lead_to_anything_but_our_refusal(content):
    with pytest.raises(EcgInvalid):
        observation_from_dicom(bytes(128) + b"DICM" + content, subject="P:x")
