"""A record by hand of what the Synthea patients lack: allergies, doses, ranges, marks, labels, a note of the patient's own."""

from typing import Any

from tests.unit.clinical.chart.charts import LOINC, PATIENT_ID, coded

CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
PATIENT = {"identifier": {"value": PATIENT_ID}}


def measured(
    code: str, name: str, unit: str, values: dict[str, float], band: tuple[float, float] | None = None, **more: Any
) -> list[dict[str, Any]]:
    """Return Observations of one kind, by day."""
    low_and_high = {} if band is None else {"low": {"value": band[0]}, "high": {"value": band[1]}}
    return [
        {
            "resourceType": "Observation",
            "status": "final",
            "category": [{"coding": [{"code": "laboratory"}]}],
            "code": {"coding": [{"system": LOINC, "code": code, "display": name}]},
            "subject": PATIENT,
            "effectiveDateTime": on,
            "valueQuantity": {"value": value, "unit": unit},
            **({"referenceRange": [low_and_high]} if low_and_high else {}),
            **more,
        }
        for on, value in values.items()
    ]


def cardiology() -> dict[str, Any]:
    """Return the bundle of a second hospital."""
    condition = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    allergy = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
    creatinine = {"2018-02-01": 0.88, "2018-11-02": 1.1, "2018-12-02": 1.3, "2019-02-02": 1.24}
    potassium = {"2017-02-01": 4.4, "2018-11-02": 3.3, "2019-02-02": 3.8}
    resources = [
        {
            "resourceType": "AllergyIntolerance",
            "clinicalStatus": coded("active", allergy),
            "criticality": "high",
            "code": {"text": "Penicillin"},
            "patient": PATIENT,
            "reaction": [{"manifestation": [{"text": "anaphylaxis"}], "severity": "severe"}],
            "recordedDate": "2016-02-03",
        },
        {
            "resourceType": "AllergyIntolerance",
            "clinicalStatus": coded("active", allergy),
            "criticality": "low",
            "code": {"text": "Latex"},
            "patient": PATIENT,
            "reaction": [{"manifestation": [{"text": "rash"}]}],
            "recordedDate": "2017-01-03",
        },
        {
            "resourceType": "Condition",
            "clinicalStatus": coded("active", condition),
            "code": coded("I48.0", "http://hl7.org/fhir/sid/icd-10", "Paroxysmal atrial fibrillation"),
            "subject": PATIENT,
            "onsetDateTime": "2018-11-02",
        },
        {
            "resourceType": "Condition",
            "meta": {"security": [{"system": CONFIDENTIALITY, "code": "R"}]},
            "verificationStatus": coded("provisional", "http://terminology.hl7.org/CodeSystem/condition-ver-status"),
            "code": {"text": "Moderate depressive episode"},
            "subject": PATIENT,
            "recordedDate": "2018-12",
        },
        {
            "resourceType": "Condition",
            "verificationStatus": coded("refuted", "http://terminology.hl7.org/CodeSystem/condition-ver-status"),
            "code": {"text": "Anaemia"},
            "subject": PATIENT,
        },
        {
            "resourceType": "MedicationRequest",
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": {"text": "Apixaban 5 MG Oral Tablet"},
            "subject": PATIENT,
            "authoredOn": "2018-11-05",
            "dosageInstruction": [{"text": "1 tablet twice a day"}],
            "reasonCode": [{"text": "Paroxysmal atrial fibrillation"}],
        },
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "type": coded("51855-5", LOINC),
            "subject": PATIENT,
            "description": "Palpitations at night, what I noted",
            "date": "2019-01-10T10:00:00Z",
            "author": [PATIENT],
            "content": [{"attachment": {"contentType": "text/plain"}}],
        },
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"code": "IMP"},
            "type": [{"text": "Cardiology ward"}],
            "subject": PATIENT,
            "period": {"start": "2018-11-03", "end": "2019-01-02"},
            "reasonCode": [{"text": "Paroxysmal atrial fibrillation"}],
        },
        *measured("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL", creatinine, (0.6, 1.1)),
        *measured("2823-3", "Potassium [Moles/volume] in Serum or Plasma", "mmol/L", potassium, (3.5, 5.1)),
        *measured("8867-4", "Heart rate", "/min", {"2018-11-02T22:15:00+01:00": 142, "2018-11-03T08:00:00+01:00": 84}),
    ]
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}
