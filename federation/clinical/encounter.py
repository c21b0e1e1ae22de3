"""A consultation as the record that a hospital files: its biosignal, if it had one, and the diagnosis in one FHIR R4 Bundle."""

from datetime import datetime
from typing import Any

from federation.clinical.bundles import collection
from federation.clinical.fhir import CheckedBundle, read_resource, validate_bundle
from federation.clinical.identity import instant, patient_reference, require_subject
from federation.clinical.report import require_status
from federation.clinical.strictjson import dump

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def encounter_bundle(
    *, patient_id: str, observation: bytes, report: bytes, recorded: datetime, is_amended: bool = False
) -> CheckedBundle:
    """Return a collection of an ambulatory Encounter that ended at `recorded`, the Observation and the DiagnosticReport.

    The two go in byte for byte, so that what their authors signed can be cut out of the record again; an observation of 0
    bytes is none. The same arguments give the same bytes. `is_amended` is what the signatures say of the report: that it
    takes the place of another. Raises WrongSubject if one of them isn't about this patient, WrongStatus if the report says
    otherwise, and what validate_bundle raises.
    """
    # Each is one JSON value by itself before it goes into another; what is in it is validated once, where it stands.
    observed = [read_resource(observation, "Observation")] if observation else []
    signed = read_resource(report, "DiagnosticReport")
    contents = (observation, report) if observation else (report,)
    bundle = collection((dump(_encounter(patient_id, recorded)), *contents), instant(recorded))
    summary = validate_bundle(bundle)
    for resource in (*observed, signed):
        require_subject(resource, patient_id)
    require_status(signed, is_amended=is_amended)
    return CheckedBundle(bundle, summary)


def _encounter(patient_id: str, recorded: datetime) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": ACT_CODE, "code": "AMB", "display": "ambulatory"},
        "subject": patient_reference(patient_id),
        "period": {"end": instant(recorded)},
    }
