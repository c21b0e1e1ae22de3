"""Charts of records as others write them: a patient summary (IPS), and a German hospital."""

import pytest

from federation.clinical.chart import Chart, Source, chart_of
from federation.clinical.fhir import load_resource
from federation.clinical.strictjson import dump
from tests.unit.clinical.chart.charts import TODAY
from tests.unit.clinical.chart.strangers import german_hospital, patient_summary


@pytest.fixture(scope="module")
def summary() -> Chart:
    return chart_of([Source("H:a", "1", patient_summary())], today=TODAY)


@pytest.fixture(scope="module")
def german() -> Chart:
    return chart_of([Source("H:a", "1", german_hospital())], today=TODAY)


def test_both_are_valid() -> None:
    load_resource(dump(patient_summary()), "Bundle")
    load_resource(dump(german_hospital()), "Bundle")


def test_a_summary_tells_each_topic_in_its_own_state(summary: Chart) -> None:
    (allergy,) = summary.allergies.rows
    assert (allergy.what, allergy.when.text) == ("Substance with penicillin structure", "2010")
    assert [said.words for said in summary.medication.none] == ["No known medications"]
    assert summary.medication.is_none_recorded
    assert summary.immunizations.is_not_stated
    assert [said.words for said in summary.immunizations.others] == ["No information about immunizations"]
    assert summary.procedures.is_not_stated
    (told,) = summary.procedures.others
    assert told.words.startswith("Told in a text")
    (problem,) = summary.problems.rows
    assert (problem.what, problem.status, problem.when.text) == ("Menopausal flushing", "Moderate", "2015")


def test_a_summary_is_a_document_with_its_author_and_names_the_device(summary: Chart) -> None:
    (document,) = summary.documents
    assert document.what == "Patient Summary as of May 4, 2023"
    assert document.detail == "6 sections, Dr. Beetje van Hulp"
    assert ("device", "Cardiac pacemaker", "2018-06") in [(row.kind, row.what, row.when.text) for row in summary.others]
    assert not summary.left_out


def test_a_german_hospital_is_told_in_its_own_words(german: Chart) -> None:
    assert german.person is not None
    assert german.person.name == "Dr. Erika Fürstin von Musterfrau"
    (problem,) = german.problems.rows
    assert (problem.what, problem.code) == ("Diabetes mellitus Typ 2 mit Augenkomplikationen", "E11.30")
    (medicine,) = german.medication.rows
    assert (medicine.what, medicine.dose) == ("Metformin 1000 mg Filmtabletten", "1-0-1-0")
    assert [row.what for row in german.procedures.rows] == ["Appendektomie"]
    (visit,) = german.encounters
    assert (visit.kind, visit.what, visit.status, visit.where) == (
        "inpatient",
        "Abteilungskontakt",
        "in-progress",
        "Innere Medizin",
    )
    assert visit.reason == "Diabetes mellitus Typ 2 mit Augenkomplikationen"


def test_a_range_in_words_draws_no_band_and_the_records_mark_is_shown(german: Chart) -> None:
    (potassium,) = german.series
    assert (potassium.last.shown, potassium.unit, potassium.band) == ("5.4", "mmol/l", None)
    assert potassium.last.mark is not None
    assert potassium.last.mark.sign == "H"
