"""The drawing: well-formed, accessible, to scale, and safe with any text."""

import math
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest

from federation.clinical.drawing import svg
from federation.clinical.ecg import leads_from_observation
from federation.clinical.errors import EcgInvalid
from federation.clinical.leads import STANDARD_LEADS, Lead

NS = "{http://www.w3.org/2000/svg}"
MILLISECOND = timedelta(milliseconds=1)


def traces(picture: str) -> list[list[tuple[float, float]]]:
    """The points of each trace, in millimetres; the grid and the pulses are drawn with relative strokes."""
    paths = [path.get("d") for path in ET.fromstring(picture).iter(f"{NS}path") if path.get("stroke-width") == "0.25"]
    return [[tuple(map(float, point.split())) for point in path[1:].replace("M", "L").split("L")] for path in paths]


def test_drawing_of_a_real_ecg_is_xml_with_every_lead_and_the_rhythm_strip(observation):
    root = ET.fromstring(svg(leads_from_observation(observation), title="ECG", lines=["P:johnnie679"]))
    labels = [text.text for text in root.iter(f"{NS}text")]
    assert sorted(label for label in labels if label in STANDARD_LEADS) == sorted([*STANDARD_LEADS, "II"])
    assert {"ECG", "P:johnnie679", "25 mm/s · 10 mm/mV · recorded at 1000 Hz"} <= set(labels)
    assert (root.get("role"), root.get("aria-label"), root.find(f"{NS}title").text) == ("img", "ECG", "ECG")
    assert "Leads I, II, III" in root.find(f"{NS}desc").text
    assert not [element for element in root.iter() if element.get("id") or element.get("href")]


def test_a_millivolt_is_ten_millimetres_and_a_second_twenty_five():
    samples = [0.0] * 2500
    samples[1000] = 1000.0
    (trace,) = traces(svg([Lead("I", MILLISECOND, tuple(samples))]))
    left, baseline = trace[0]
    assert (left + 25, baseline - 10) in trace
    assert trace[-1][0] - left == pytest.approx(62.5, abs=0.2)


def test_no_peak_is_lost_between_the_points_drawn(observation):
    leads = leads_from_observation(observation)
    lead = leads[1]
    rhythm = traces(svg(leads))[-1]
    drawn = max(y for _, y in rhythm) - min(y for _, y in rhythm)
    assert drawn == pytest.approx((max(lead.microvolts) - min(lead.microvolts)) / 100, abs=0.02)


def test_a_gap_in_the_recording_is_a_gap_in_the_trace():
    samples = (0.0,) * 100 + (math.nan,) * 50 + (0.0,) * 100
    picture = svg([Lead("V1", MILLISECOND, samples)])
    (path,) = [path for path in ET.fromstring(picture).iter(f"{NS}path") if path.get("stroke-width") == "0.25"]
    assert path.get("d").count("M") == 2
    assert "nan" not in picture


def test_text_from_elsewhere_cannot_become_markup():
    hostile = "</text><script>alert('x')</script>&\x00\x1b\"'"
    picture = svg([Lead("I", MILLISECOND, (0.0,))], title=hostile, lines=[hostile] * 9)
    root = ET.fromstring(picture)
    assert "<script" not in picture
    assert root.get("aria-label") == "</text><script>alert('x')</script>& \"'"


def test_ecg_invalid_when_there_is_nothing_to_draw():
    with pytest.raises(EcgInvalid):
        svg([])
    with pytest.raises(EcgInvalid):
        svg([Lead("X", MILLISECOND, ()), Lead("I", MILLISECOND, ())])
