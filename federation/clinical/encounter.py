"""A consultation as the record that a hospital files: its biosignal, if it had one, and the diagnosis in one FHIR R4 Bundle."""

from datetime import datetime
from typing import Any

from federation.clinical.bundles import collection
from federation.clinical.fhir import CheckedBundle, load_resource, validate_bundle
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
    if observation:
        require_subject(load_resource(observation, "Observation"), patient_id)
    signed = load_resource(report, "DiagnosticReport")
    require_subject(signed, patient_id)
    require_status(signed, is_amended=is_amended)
    observed = (observation,) if observation else ()
    bundle = collection((dump(_encounter(patient_id, recorded)), *observed, report), instant(recorded))
    return CheckedBundle(bundle, validate_bundle(bundle))


def _encounter(patient_id: str, recorded: datetime) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": ACT_CODE, "code": "AMB", "display": "ambulatory"},
        "subject": patient_reference(patient_id),
        "period": {"end": instant(recorded)},
    }
