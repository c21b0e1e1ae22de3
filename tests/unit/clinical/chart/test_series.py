"""Numbers over time: which belong together, what marks them, and what has no day."""

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from federation.clinical.chart import chart_of, text_of
from federation.clinical.chart.reading import day, figure
from federation.clinical.chart.series import Band, Mark, Series
from tests.unit.clinical.chart.charts import LOINC, TODAY, charted, coded, drawn, source
from tests.unit.clinical.chart.handmade import measured

UCUM = "http://unitsofmeasure.org"
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
CREATININE = "2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL"


def series_of(*resources: dict[str, Any]) -> Series:
    (only,) = charted(*resources).series
    return only


def creatinine(value: float, band: tuple[float, float] | None = None, **more: Any) -> dict[str, Any]:
    (one,) = measured(*CREATININE, {"2020-01-02": value}, band, **more)
    return one


@pytest.mark.parametrize(
    ("value", "sign"), [(0.5, "L"), (0.6, None), (1.1, None), (1.2, "H")], ids=["below", "at low", "at high", "above"]
)
def test_the_records_own_range_marks_what_is_outside(value: float, sign: str | None) -> None:
    mark = series_of(creatinine(value, (0.6, 1.1))).last.mark
    assert (mark.sign if mark else None) == sign


def test_without_range_and_interpretation_nothing_is_marked() -> None:
    assert series_of(creatinine(99.0)).last.mark is None


def test_the_records_interpretation_is_stronger_than_its_range() -> None:
    normal = {"interpretation": [coded("N", INTERPRETATION)]}
    high = {"interpretation": [coded("HH", INTERPRETATION)]}
    assert series_of(creatinine(0.8, (0.6, 1.1), **high)).last.mark == Mark("HH", "critically high, says the record")
    assert series_of(creatinine(2.0, **high)).last.mark is not None
    assert series_of(creatinine(0.8, **normal)).last.mark is None


@pytest.mark.parametrize(
    "ranges",
    [
        [{"text": "0.6 - 1.1"}],
        [{"low": {"value": 0.6}, "high": {"value": 1.1}}, {"low": {"value": 0.2}, "high": {"value": 0.5}}],
        [{"low": {"value": 0.6}, "high": {"value": 1.1}, "type": coded("therapeutic", "x")}],
        [{"low": {"value": 50, "unit": "umol/L"}, "high": {"value": 90, "unit": "umol/L"}}],
    ],
    ids=["in words only", "two of them", "of another type", "in another unit"],
)
def test_a_range_that_is_not_clearly_the_values_own_marks_nothing(ranges: list[dict[str, Any]]) -> None:
    last = series_of(creatinine(99.0, referenceRange=ranges)).last
    assert (last.mark, last.band) == (None, None)


def test_a_value_that_is_only_bounded_is_not_marked_by_a_range() -> None:
    one = creatinine(0.1, (0.6, 1.1))
    one["valueQuantity"]["comparator"] = "<"
    last = series_of(one).last
    assert (last.shown, last.mark) == ("<0.1", None)


def test_one_code_and_unit_of_two_hospitals_is_one_series_and_each_point_names_its_own() -> None:
    ours = source(*measured(*CREATININE, {"2020-01-02": 0.9}))
    theirs = source(*measured(*CREATININE, {"2021-01-02": 1.0}), hospital="H:beta", key="2")
    (one,) = chart_of([ours, theirs], today=TODAY).series
    assert [(point.shown, point.hospitals) for point in one.points] == [("0.9", ("H:alpha",)), ("1", ("H:beta",))]


def test_the_same_value_of_two_hospitals_is_one_point_that_names_both() -> None:
    held = measured(*CREATININE, {"2020-01-02": 0.9})
    (one,) = chart_of([source(*held), source(*held, hospital="H:beta", key="2")], today=TODAY).series
    assert [point.hospitals for point in one.points] == [("H:alpha", "H:beta")]


def test_another_unit_is_another_series_and_no_number_is_converted() -> None:
    in_moles = measured("2160-0", "Creatinine", "umol/L", {"2020-02-03": 80})
    both = charted(*measured(*CREATININE, {"2020-01-02": 0.9}), *in_moles).series
    assert sorted((one.unit, one.last.shown) for one in both) == [("mg/dL", "0.9"), ("umol/L", "80")]


def test_a_unit_spelled_otherwise_with_the_same_ucum_code_is_the_same_series() -> None:
    quantities = (
        {"unit": "mg/dl", "system": UCUM, "code": "mg/dL"},
        {"unit": "mg/dL", "system": UCUM, "code": "mg/dL"},
    )
    held = [creatinine(1.0 + place) for place in range(2)]
    for one, quantity in zip(held, quantities, strict=True):
        one["valueQuantity"] |= quantity
    assert sorted(point.unit for point in series_of(*held).points) == ["mg/dL", "mg/dl"]


def test_two_codes_with_one_short_name_are_called_by_their_full_names() -> None:
    blood = measured("2345-7", "Glucose [Mass/volume] in Serum or Plasma", "mg/dL", {"2020-01-02": 90})
    urine = measured("5792-7", "Glucose [Mass/volume] in Urine by Test strip", "mg/dL", {"2020-01-02": 5})
    assert [one.name for one in charted(*blood).series] == ["Glucose"]
    assert [one.name for one in charted(*blood, *urine).series] == [
        "Glucose [Mass/volume] in Serum or Plasma",
        "Glucose [Mass/volume] in Urine by Test strip",
    ]


def test_a_range_that_all_share_is_the_band_and_else_the_newest_with_words() -> None:
    first, second = measured(*CREATININE, {"2020-01-02": 1.0, "2021-01-02": 1.0}, (0.6, 1.1))
    shared = series_of(first, second)
    assert (shared.band, shared.is_band_shared) == (Band(0.6, 1.1), True)
    second["referenceRange"] = [{"low": {"value": 0.5}, "high": {"value": 1.0}}]
    other = series_of(first, second)
    assert (other.band, other.is_band_shared) == (Band(0.5, 1.0), False)
    assert "(the newest range)" in drawn(charted(first, second))
    assert "(the newest range)" not in drawn(charted(first))


def pressure(on: str, upper: float, lower: float) -> dict[str, Any]:
    parts = [
        {"code": coded(code, LOINC), "valueQuantity": {"value": value, "unit": "mm[Hg]"}}
        for code, value in (("8462-4", lower), ("8480-6", upper))
    ]
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": coded("85354-9", LOINC, "Blood pressure panel"),
        "effectiveDateTime": on,
        "component": parts,
    }


def test_blood_pressure_is_one_series_of_two_lines() -> None:
    one = series_of(pressure("2020-01-02", 120, 80), pressure("2020-02-02", 130, 85))
    assert (one.name, one.group, one.last.shown, one.unit) == ("Blood pressure", "vital signs", "130/85", "mm[Hg]")
    drawing = ET.fromstring(charted(pressure("2020-01-02", 120, 80), pressure("2020-02-02", 130, 85)).sparkline(one))
    assert [line.get("class") for line in drawing.iter("polyline")] == ["line line-1", "line line-2"]


def test_31_february_and_no_time_at_all_are_listed_and_not_drawn() -> None:
    held = measured(*CREATININE, {"2020-01-02": 0.9, "2021-02-31": 1.0, "2022-01-02": 1.1})
    held[2].pop("effectiveDateTime")
    one = series_of(*held)
    assert sorted(point.when.text for point in one.points) == ["", "2020-01-02", "2021-02-31"]
    assert [point.when.text for point in one.drawn] == ["2020-01-02"]
    assert one.last.when.text == "2020-01-02"
    assert charted(*held).sparkline(one) == ""
    assert "2021-02-31" in drawn(charted(*held))
    assert "day not stated" in drawn(charted(*held))


def test_measurements_of_one_day_are_in_the_order_of_their_times() -> None:
    times = {"2020-01-02T23:30:00-05:00": 3.0, "2020-01-03T01:00:00Z": 1.0, "2020-01-03T02:00:00+00:00": 2.0}
    assert [point.values for point in series_of(*measured(*CREATININE, times)).points] == [(1.0,), (2.0,), (3.0,)]


@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf"), True, "1", None, [1]])
def test_what_is_no_number_makes_no_series_and_is_not_passed_over(value: Any) -> None:
    chart = charted(creatinine(value))
    assert not chart.series
    assert [row.last.value for row in chart.findings] == ["a value that is not shown here; see the record as it came"]


def test_numbers_at_the_ends_of_what_there_is_are_drawn() -> None:
    held = measured(*CREATININE, {"2020-01-02": 1e308, "2021-01-02": -1e308, "2022-01-02": 5e-324})
    drawing = ET.fromstring(charted(*held).sparkline(series_of(*held)))
    assert "nan" not in ET.tostring(drawing, encoding="unicode").split("</title>")[1]


def test_thousands_of_measurements_are_one_line_that_keeps_the_extremes() -> None:
    times = {
        f"20{year:02}-{month:02}-{of:02}": 50.0 for year in range(20) for month in range(1, 13) for of in range(1, 28)
    }
    times["2010-06-07"] = 250.0
    held = measured(*CREATININE, times)
    drawing = ET.fromstring(charted(*held).sparkline(series_of(*held)))
    (line,) = drawing.iter("polyline")
    places = [place.split(",") for place in line.get("points", "").split()]
    assert len(places) <= 2 * 180
    assert min(float(y) for _, y in places) == 5.0
    assert len(list(drawing.iter("circle"))) == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (57.80197974519305, "57.8"),
        (5.338, "5.338"),
        (240.7, "240.7"),
        (0.0051234567, "0.005123"),
        (123456, "123456"),
        (12345678, "12345678"),
        (-1.23456789, "-1.235"),
        (0.0, "0"),
        (1e-9, "1e-09"),
    ],
)
def test_a_number_is_shown_as_given_or_to_four_digits(value: float, shown: str) -> None:
    assert figure(value) == shown


def test_the_table_has_the_number_as_given() -> None:
    page = drawn(charted(creatinine(57.80197974519305)))
    assert "57.8" in page
    assert series_of(creatinine(57.80197974519305)).last.given == "57.80197974519305"


@pytest.mark.parametrize(
    ("said", "text", "clock", "has_moment"),
    [
        ("2020-02-29", "2020-02-29", "", True),
        ("2021-02-29", "2021-02-29", "", False),
        ("2020-02", "2020-02", "", True),
        ("2020", "2020", "", True),
        ("2020-01-02T03:04:05.678+09:00", "2020-01-02", "03:04", True),
        ("0001-01-01T00:00:00+14:00", "0001-01-01", "00:00", True),
        ("in spring", "in spring", "", False),
        ("²020-01-01", "²020-01-01", "", False),
        ("", "", "", False),
    ],
)
def test_a_day_is_as_given_and_a_moment_only_where_a_calendar_has_it(
    said: str, text: str, clock: str, *, has_moment: bool
) -> None:
    found = day(said)
    assert (found.text, found.clock, found.moment is not None) == (text, clock, has_moment)


def test_findings_in_words_keep_every_time_with_the_newest_shown() -> None:
    smoking = [
        {
            "resourceType": "Observation",
            "status": "final",
            "code": coded("72166-2", LOINC, "Tobacco smoking status"),
            "effectiveDateTime": on,
            "valueCodeableConcept": {"text": said},
        }
        for on, said in (("2019-01-02", "Current smoker"), ("2021-01-02", "Former smoker"))
    ]
    (row,) = charted(*smoking).findings
    assert (row.name, row.last.value, len(row.found)) == ("Tobacco smoking status", "Former smoker", 2)


def test_a_value_that_is_missing_says_why() -> None:
    absent = {
        "resourceType": "Observation",
        "status": "cancelled",
        "code": {"text": "Potassium"},
        "dataAbsentReason": {"text": "sample haemolysed"},
    }
    (row,) = charted(absent).findings
    assert (row.last.value, row.last.status) == ("no value: sample haemolysed", "cancelled")


def test_a_recording_is_listed_to_be_looked_at_as_it_came() -> None:
    ecg = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "12-lead ECG"},
        "effectiveDateTime": "2020-01-02",
        "component": [{"code": {"text": "I"}, "valueSampledData": {"data": "1 2 3"}}],
    }
    chart = charted(ecg)
    assert [(row.what, row.kind) for row in chart.documents] == [("12-lead ECG", "recording")]
    assert not chart.series
    assert any("12-lead ECG, recording" in line for line in text_of(chart))
