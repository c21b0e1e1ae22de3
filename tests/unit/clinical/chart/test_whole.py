"""Whole charts: the Synthea patients as known answers, who it is about, what is counted, and where each row comes from."""

from itertools import permutations
from typing import Any

import pytest

from federation.clinical.chart import Chart, Source, chart_of, text_of
from federation.clinical.fhir import load_resource
from federation.clinical.strictjson import dump
from tests.unit.clinical.chart.charts import (
    LOINC,
    PATIENT_ID,
    TODAY,
    charted,
    coded,
    drawn,
    source,
    summary_of,
    synthea,
)
from tests.unit.clinical.chart.golden import (
    NAMES,
    SUMMARIES,
    chart_of_patient,
    path_of,
    path_of_summary,
    text_of_model,
    text_of_summary,
)
from tests.unit.clinical.chart.handmade import CONFIDENTIALITY, cardiology


@pytest.fixture(scope="module")
def both() -> Chart:
    """Give the chart of a Synthea patient's record and one by hand of another hospital."""
    sources = [Source("H:alpha", "1", synthea("johnnie679"), "H:alpha/pediatrics"), Source("H:beta", "2", cardiology())]
    return chart_of(sources, today=TODAY, patient_id=PATIENT_ID)


@pytest.mark.parametrize("name", NAMES)
def test_the_chart_of_a_synthea_patient_is_the_known_one(name: str) -> None:
    assert text_of_model(chart_of_patient(name)) == path_of(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_chart_of_a_patient_summary_is_the_known_one(name: str) -> None:
    assert text_of_summary(name) == path_of_summary(name).read_text(encoding="utf-8")


def test_what_a_summary_does_not_know_is_not_stated() -> None:
    chart = chart_of([Source("H:alpha", "1", summary_of("no-info-required-sections"))], today=TODAY)
    assert all(topic.is_not_stated for topic in (chart.allergies, chart.problems, chart.medication))
    assert "Allergies: not stated, ask" in drawn(chart)


def test_what_the_tests_are_made_of_is_valid() -> None:
    for bundle in (*map(synthea, NAMES), *map(summary_of, SUMMARIES), cardiology()):
        load_resource(dump(bundle), "Bundle")


def test_the_order_of_records_makes_no_difference(both: Chart) -> None:
    held = [
        Source("H:alpha", "1", synthea("johnnie679"), "H:alpha/pediatrics"),
        Source("H:beta", "2", cardiology()),
        Source("H:beta", "3", synthea("luna60")),
    ]
    charts = [chart_of(order, today=TODAY) for order in permutations(held)]
    assert all(chart == charts[0] for chart in charts)
    assert len({drawn(chart) for chart in charts}) == 1


def test_allergies_come_first_of_high_risk_first(both: Chart) -> None:
    lines = list(text_of(both))
    assert lines[2] == "ALLERGIES (2)"
    assert lines[3].split("  ")[1] == "Penicillin: anaphylaxis (severe), high risk"
    assert [row.what for row in both.allergies.rows] == ["Penicillin", "Latex"]


def test_every_row_names_its_hospital_and_where_it_stands_as_it_came(both: Chart) -> None:
    page = drawn(both)
    (fibrillation,) = [row for row in both.problems.rows if row.what == "Paroxysmal atrial fibrillation"]
    (origin,) = fibrillation.origins
    assert (origin.hospital_id, origin.key) == ("H:beta", "2")
    assert cardiology()["entry"][origin.entry]["resource"]["code"]["text"] == fibrillation.what
    assert f'<a href="/record/2#entry-{origin.entry}">H:beta' in page


def test_what_is_retracted_and_what_is_left_out_is_counted(both: Chart) -> None:
    assert both.retracted == {"Condition": 1}
    assert both.left_out == {"Claim": 26, "ExplanationOfBenefit": 22}
    assert "Anaemia" not in drawn(both)
    said = " ".join(text_of(both))
    assert "not shown: 1 Condition." in said
    assert "Left out of this chart: 26 Claim, 22" in said


def test_a_restricted_entry_says_so(both: Chart) -> None:
    (row,) = [row for row in both.problems.rows if row.sensitivity != "normal"]
    assert (row.what, row.sensitivity) == ("Moderate depressive episode", "restricted")
    assert '<b class="label">restricted</b>' in drawn(both)
    assert any("RESTRICTED H:beta" in line for line in text_of(both))


def test_a_label_of_the_whole_bundle_is_each_entrys() -> None:
    labelled: dict[str, Any] = dict(source({"resourceType": "Condition", "code": {"text": "Asthma"}}).content)
    labelled["meta"] = {"security": [{"system": CONFIDENTIALITY, "code": "V"}]}
    (row,) = chart_of([Source("H:a", "1", labelled)], today=TODAY).problems.rows
    assert row.sensitivity == "secret"


def test_a_note_of_the_patients_own_is_shown_as_the_patients(both: Chart) -> None:
    (note,) = [row for row in both.documents if row.is_own]
    assert (note.what, note.detail) == ("Palpitations at night, what I noted", "written by the patient, text/plain")
    assert "the patient&#39;s</b>" in drawn(both).replace("the patient's</b>", "the patient&#39;s</b>")


def test_two_people_by_their_names_are_a_caution() -> None:
    held = [Source("H:alpha", "1", synthea("johnnie679")), Source("H:beta", "2", synthea("luna60"))]
    chart = chart_of(held, today=TODAY)
    assert chart.person is None
    (caution,) = chart.cautions
    assert caution.startswith("The records are of 2 people by their names: Johnnie679 Hermiston71, born 2009-03-20; ")
    assert next(iter(text_of(chart))).startswith("CAUTION: The records are of 2 people")
    assert '<p class="caution" role="note">' in drawn(chart)


def test_an_entry_that_names_another_patient_of_the_federation_is_a_caution() -> None:
    held = source({"resourceType": "Condition", "code": {"text": "x"}, "subject": {"identifier": {"value": "P:x"}}})
    assert chart_of([held], today=TODAY, patient_id="P:cleo").cautions == (
        "Records of H:alpha name P:x, and are filed under P:cleo.",
    )
    assert not chart_of([held], today=TODAY, patient_id="P:x").cautions


def test_one_person_of_two_hospitals_is_one_person() -> None:
    first = {"resourceType": "Patient", "name": [{"text": "Eva Erste"}], "birthDate": "1980-01-01", "gender": "female"}
    second = first | {"deceasedDateTime": "2020-01-01"}
    chart = chart_of([source(first), source(second, hospital="H:beta", key="2")], today=TODAY)
    assert not chart.cautions
    assert chart.person is not None
    assert (chart.person.sex, chart.person.died, chart.person.age) == ("female", "died 2020-01-01", 46)


@pytest.mark.parametrize(
    ("born", "died", "age"),
    [
        ("2000-12-01", None, 26),
        ("2000-12-02", None, 25),
        ("2000", None, None),
        ("2000-02-30", None, None),
        ("2027-01-01", None, None),
        ("2000-06-01", "2020-05-31T10:00:00Z", 19),
        ("2000-06-01", "2020", None),
    ],
)
def test_an_age_is_told_only_where_it_is_certain(born: str, died: str | None, age: int | None) -> None:
    said = {"resourceType": "Patient", "birthDate": born} | ({"deceasedDateTime": died} if died else {})
    person = charted(said).person
    assert person is not None
    assert person.age == age


def test_the_same_problem_of_two_hospitals_is_one_row_only_where_all_agrees() -> None:
    asthma = {"resourceType": "Condition", "code": coded("195967001", words="Asthma"), "onsetDateTime": "2010-02-03"}
    later = asthma | {"onsetDateTime": "2011-02-03"}
    same = chart_of([source(asthma), source(asthma, hospital="H:beta", key="2")], today=TODAY)
    assert [row.hospitals for row in same.problems.rows] == [("H:alpha", "H:beta")]
    other = chart_of([source(asthma), source(later, hospital="H:beta", key="2")], today=TODAY)
    assert [row.hospitals for row in other.problems.rows] == [("H:beta",), ("H:alpha",)]


def test_a_dose_is_as_written_or_put_together_from_its_parts() -> None:
    def dose(**said: Any) -> str:
        order = {"resourceType": "MedicationRequest", "status": "active", "dosageInstruction": [said]}
        (row,) = charted(order).medication.rows
        return row.dose

    parts = {
        "doseAndRate": [{"doseQuantity": {"value": 2.5, "unit": "mg"}}],
        "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
        "route": {"text": "oral"},
        "asNeededBoolean": True,
    }
    assert dose(text="1-0-1-0", **parts) == "1-0-1-0"
    assert dose(**parts) == "2.5 mg, 2 times every day, oral, as needed"
    eight = {"frequency": 1, "frequencyMax": 2, "period": 8, "periodUnit": "h"}
    assert dose(timing={"repeat": eight}) == "1 to 2 times every 8 hours"
    assert dose(timing={"repeat": {"when": ["MORN", "NIGHT"]}}) == "MORN, NIGHT"
    assert dose() == ""


@pytest.mark.parametrize(
    "more",
    [
        {"maxDosePerPeriod": {"numerator": {"value": 4, "unit": "g"}, "denominator": {"value": 1, "unit": "d"}}},
        {"timing": {"repeat": {"frequency": 1, "period": 1, "periodMax": 2, "periodUnit": "d"}}},
        {"timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d", "count": 3}}},
    ],
)
def test_a_dose_that_says_more_than_is_told_says_so(more: dict[str, Any]) -> None:
    said = {"doseAndRate": [{"doseQuantity": {"value": 1, "unit": "g"}}], **more}
    order = {"resourceType": "MedicationRequest", "status": "active", "dosageInstruction": [said]}
    (row,) = charted(order).medication.rows
    assert row.dose.startswith("1 g")
    assert row.dose.endswith("and more: see the record as it came")


def test_names_behind_references_are_found_by_url_by_id_and_within() -> None:
    order = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "contained": [{"resourceType": "Medication", "id": "m", "code": {"text": "Bisoprolol 5 mg"}}],
        "medicationReference": {"reference": "#m"},
        "reasonReference": [{"reference": "Condition/c/_history/3"}],
    }
    condition = {"resourceType": "Condition", "id": "c", "code": {"text": "Hypertension"}}
    (row,) = charted(order, condition).medication.rows
    assert (row.what, row.reason) == ("Bisoprolol 5 mg", "Hypertension")
    (row,) = charted(order, condition | {"verificationStatus": coded("refuted")}).medication.rows
    assert row.reason == ""


def test_a_reference_never_leads_into_another_hospitals_record() -> None:
    order = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "medicationReference": {"reference": "Medication/1"},
    }
    medicine = {"resourceType": "Medication", "id": "1", "code": {"text": "Warfarin"}}
    chart = chart_of([source(order), source(medicine, hospital="H:beta", key="2")], today=TODAY)
    (row,) = chart.medication.rows
    assert row.what == "a medicine that is not named"


def test_bundles_within_a_bundle_are_read() -> None:
    inner = {
        "resourceType": "Bundle",
        "entry": [{"resource": {"resourceType": "Condition", "code": {"text": "Asthma"}}}],
    }
    (row,) = charted(inner).problems.rows
    assert (row.what, row.origins[0].entry) == ("Asthma", 0)


def test_vaccinations_are_told_by_vaccine_and_refused_ones_apart() -> None:
    def shot(on: str, **more: Any) -> dict[str, Any]:
        return {"resourceType": "Immunization", "vaccineCode": {"text": "MMR"}, "occurrenceDateTime": on, **more}

    chart = charted(shot("2010-02-03"), shot("2014-02-03"), shot("2020-02-03", status="not-done"))
    assert [(row.what, len(row.occasions), row.when.text) for row in chart.immunizations.rows] == [
        ("MMR", 2, "2014-02-03")
    ]
    assert [row.when.text for row in chart.immunizations.past] == ["2020-02-03"]


def test_the_timeline_draws_what_has_a_day_and_bars_that_are_open_to_the_end() -> None:
    visit = {"resourceType": "Encounter", "class": {"code": "AMB"}, "period": {"start": "2020-02-03"}}
    never = {"resourceType": "Encounter", "class": {"code": "AMB"}}
    stay = {
        "resourceType": "Encounter",
        "class": {"code": "IMP"},
        "period": {"start": "2020-03-03", "end": "2021-03-09"},
    }
    asthma = {"resourceType": "Condition", "code": {"text": "Asthma"}, "onsetDateTime": "2020-02-31"}
    flu = {"resourceType": "Condition", "code": {"text": "Flu"}, "onsetDateTime": "2020-02-05"}
    chart = charted(visit, never, stay, asthma, flu)
    assert (chart.timeline.count('class="visit"'), chart.timeline.count('class="stay"')) == (1, 1)
    assert chart.timeline.count('class="bar open"') == 1
    assert "Asthma" not in chart.timeline
    assert len(chart.encounters) == 3
    assert charted(never).timeline == ""


def test_the_text_of_a_section_is_never_shown() -> None:
    section = {"code": coded("48765-2", LOINC), "text": {"div": "<div><script>evil()</script></div>"}}
    assert "evil" not in drawn(charted({"resourceType": "Composition", "section": [section]}))
