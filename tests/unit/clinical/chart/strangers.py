"""Records by hand in the shapes of the International Patient Summary and of German hospitals (ISiK), each valid R4."""

from typing import Any

from tests.unit.clinical.chart.charts import LOINC, SNOMED

ABSENT = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
ICD_10_GM = "http://fhir.de/CodeSystem/bfarm/icd-10-gm"
OPS = "http://fhir.de/CodeSystem/bfarm/ops"
ATC = "http://fhir.de/CodeSystem/bfarm/atc"
PZN = "http://fhir.de/CodeSystem/ifa/pzn"
ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def concept(system: str, code: str, display: str, *more: dict[str, str]) -> dict[str, Any]:
    """Return a CodeableConcept without words of its own, as both have it."""
    return {"coding": [{"system": system, "code": code, "display": display}, *more]}


def reference(name: str) -> dict[str, str]:
    """Return a reference by the full URL of an entry."""
    return {"reference": f"urn:uuid:{name}"}


def bundle(kind: str, **resources: dict[str, Any]) -> dict[str, Any]:
    """Return a bundle whose entries go by these names."""
    entries = [{"fullUrl": f"urn:uuid:{name}", "resource": resource} for name, resource in resources.items()]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def patient_summary() -> dict[str, Any]:
    """Return a summary: no known medication, one allergy, a problem, an immunization that nothing is known of, a device."""
    subject = reference("patient")

    def section(code: str, title: str, *names: str) -> dict[str, Any]:
        text = {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{title}</div>'}
        entries = {"entry": [reference(name) for name in names]} if names else {}
        return {"title": title, "code": concept(LOINC, code, title), "text": text, **entries}

    active = concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "active", "Active")
    return bundle(
        "document",
        composition={
            "resourceType": "Composition",
            "status": "final",
            "type": concept(LOINC, "60591-5", "Patient summary Document"),
            "subject": subject,
            "date": "2023-05-04T09:00:00+02:00",
            "author": [reference("doctor")],
            "title": "Patient Summary as of May 4, 2023",
            "section": [
                section("10160-0", "Medication summary", "medication"),
                section("48765-2", "Allergies and intolerances", "allergy"),
                section("11450-4", "Active problems", "problem"),
                section("11369-6", "Immunizations", "immunization"),
                section("47519-4", "Procedures"),
                section("46264-8", "Devices", "device"),
            ],
        },
        patient={
            "resourceType": "Patient",
            "name": [{"family": "DeLarosa", "given": ["Martha"]}],
            "gender": "female",
            "birthDate": "1972-05-01",
        },
        doctor={
            "resourceType": "Practitioner",
            "name": [{"family": "van Hulp", "given": ["Beetje"], "prefix": ["Dr."]}],
        },
        medication={
            "resourceType": "MedicationStatement",
            "status": "active",
            "medicationCodeableConcept": concept(ABSENT, "no-known-medications", "No known medications"),
            "subject": subject,
            "_effectiveDateTime": {"extension": [{"url": ABSENT_REASON, "valueCode": "not-applicable"}]},
        },
        allergy={
            "resourceType": "AllergyIntolerance",
            "clinicalStatus": concept(
                "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active", "Active"
            ),
            "type": "allergy",
            "category": ["medication"],
            "criticality": "high",
            "code": concept(SNOMED, "373270004", "Substance with penicillin structure (substance)"),
            "patient": subject,
            "onsetDateTime": "2010",
        },
        problem={
            "resourceType": "Condition",
            "clinicalStatus": active,
            "severity": concept(LOINC, "LA6751-7", "Moderate"),
            "code": concept(SNOMED, "198436008", "Menopausal flushing (finding)"),
            "subject": subject,
            "onsetDateTime": "2015",
        },
        immunization={
            "resourceType": "Immunization",
            "status": "completed",
            "vaccineCode": concept(ABSENT, "no-immunization-info", "No information about immunizations"),
            "patient": subject,
            "_occurrenceDateTime": {"extension": [{"url": ABSENT_REASON, "valueCode": "unknown"}]},
        },
        device={
            "resourceType": "DeviceUseStatement",
            "status": "active",
            "subject": subject,
            "timingPeriod": {"start": "2018-06"},
            "device": reference("pacemaker"),
        },
        pacemaker={"resourceType": "Device", "type": concept(SNOMED, "14106009", "Cardiac pacemaker")},
    )


def german_hospital() -> dict[str, Any]:
    """Return what a German hospital gives: ICD-10-GM with its seat and cross-reference, OPS, a prescription, a range in words."""
    subject = reference("patientin")
    ward = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"}
    return bundle(
        "collection",
        patientin={
            "resourceType": "Patient",
            "name": [
                {"use": "official", "family": "Fürstin von Musterfrau", "given": ["Erika"], "prefix": ["Dr."]},
                {"use": "maiden", "family": "Mustermann"},
            ],
            "gender": "female",
            "birthDate": "1964-08-12",
        },
        aufenthalt={
            "resourceType": "Encounter",
            "status": "in-progress",
            "class": ward,
            "type": [{"coding": [{"code": "abteilungskontakt", "display": "Abteilungskontakt"}]}],
            "subject": subject,
            "period": {"start": "2021-02-12"},
            "diagnosis": [{"condition": reference("diagnose")}],
            "serviceProvider": {"display": "Innere Medizin"},
        },
        diagnose={
            "resourceType": "Condition",
            "clinicalStatus": concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "active", "Active"),
            "code": {
                **concept(ICD_10_GM, "E11.30", "Diabetes mellitus, Typ 2: Mit Augenkomplikationen"),
                "text": "Diabetes mellitus Typ 2 mit Augenkomplikationen",
            },
            "subject": subject,
            "recordedDate": "2021-02-12",
        },
        eingriff={
            "resourceType": "Procedure",
            "status": "completed",
            "code": concept(OPS, "5-470", "Appendektomie"),
            "subject": subject,
            "performedDateTime": "2020-04-23",
        },
        verordnung={
            "resourceType": "MedicationRequest",
            "status": "active",
            "intent": "order",
            "medicationReference": reference("arznei"),
            "subject": subject,
            "authoredOn": "2021-02-13",
            "dosageInstruction": [{"text": "1-0-1-0"}],
        },
        arznei={
            "resourceType": "Medication",
            "code": {**concept(ATC, "A10BA02", "Metformin"), "text": "Metformin 1000 mg Filmtabletten"},
        },
        kalium={
            "resourceType": "Observation",
            "status": "final",
            "category": [
                concept("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory", "Laboratory")
            ],
            "code": concept(LOINC, "2823-3", "Kalium im Serum"),
            "subject": subject,
            "effectiveDateTime": "2021-02-13T06:10:00+01:00",
            "valueQuantity": {"value": 5.4, "unit": "mmol/l", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
            "referenceRange": [{"text": "3,5 - 5,1"}],
            "interpretation": [
                concept("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "H", "High")
            ],
        },
    )
