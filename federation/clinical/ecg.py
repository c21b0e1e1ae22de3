"""An ECG as FHIR keeps it: an Observation with one component of SampledData per lead.

The form is that of HL7's own example (R4, observation-example-sample-data).
"""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from federation.clinical.errors import EcgInvalid
from federation.clinical.fhir import load_resource, validate_resource
from federation.clinical.identity import instant, patient_reference
from federation.clinical.leads import LEAD_NUMBERS, MDC_ECG_ELEC_POTL, MDC_SYSTEM, Lead, mdc_code, mdc_label
from federation.clinical.strictjson import dump

if TYPE_CHECKING:
    from federation.clinical.dicom import Channel

UCUM = "http://unitsofmeasure.org"
CATEGORY_SYSTEM = "http://terminology.hl7.org/CodeSystem/observation-category"

MICROVOLTS_PER_CODE = {"uV": 1.0, "mV": 1000.0}

NO_VALUE = frozenset({"E", "L", "U"})
"""SampledData's words for a sample in error, below or above what the recorder can measure."""

LEAD_OF_CODE = {str(mdc_code(name)): name for name in LEAD_NUMBERS}


def observation_from_dicom(data: bytes, *, subject: str, effective: datetime | None = None) -> bytes:
    """The ECG of a DICOM file as a FHIR R4 Observation about `subject`, our own identity of the patient.

    `effective` (with its zone) is when it was recorded; without it the file's date is taken. Samples keep the
    recorder's steps, with factor and origin in microvolts, so nothing is rounded. Nothing else of the DICOM header goes
    along, no name, number or birth date. The same input gives the same bytes. Raises EcgInvalid.
    """
    # pydicom takes longer to read than all else that a doctor's command needs, and few commands need it.
    from federation.clinical.dicom import read_recording  # noqa: PLC0415 - said above

    recording = read_recording(data)
    period = 1000 / recording.samples_per_second
    observation: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": CATEGORY_SYSTEM, "code": "procedure", "display": "Procedure"}]}],
        "code": _concept(MDC_ECG_ELEC_POTL, "MDC_ECG_ELEC_POTL") | {"text": "Electrocardiogram"},
        "subject": patient_reference(subject),
        "component": [_component(channel, period) for channel in recording.channels],
    }
    if when := instant(effective) if effective else recording.recorded_on:
        observation["effectiveDateTime"] = when
    encoded = dump(observation)
    validate_resource(encoded, "Observation")
    return encoded


def leads_from_observation(data: bytes) -> list[Lead]:
    """The leads of an ECG Observation, in the order of its components; components that aren't a lead are passed over.

    Raises EcgInvalid if no lead is there or one can't be read, and what validate_resource raises.
    """
    leads = [lead for part in load_resource(data, "Observation").get("component", ()) for lead in _leads(part)]
    if not leads:
        raise EcgInvalid("the Observation holds no ECG lead")
    return leads


def _component(channel: "Channel", period: Decimal) -> dict[str, Any]:
    return {
        "code": _concept(mdc_code(channel.lead), mdc_label(channel.lead)),
        "valueSampledData": {
            "origin": {"value": _number(channel.origin), "unit": "uV", "system": UCUM, "code": "uV"},
            "period": _number(period),
            "factor": _number(channel.factor),
            "dimensions": 1,
            "data": " ".join("E" if sample is None else str(sample) for sample in channel.samples),
        },
    }


def _concept(code: int, label: str) -> dict[str, Any]:
    return {"coding": [{"system": MDC_SYSTEM, "code": str(code), "display": label}]}


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _leads(component: dict[str, Any]) -> Iterator[Lead]:
    for coding in component["code"].get("coding", ()):
        if coding.get("system") == MDC_SYSTEM and coding.get("code") in LEAD_OF_CODE:
            yield _lead(LEAD_OF_CODE[coding["code"]], component.get("valueSampledData", {"origin": {}}))
            return


def _lead(name: str, sampled: dict[str, Any]) -> Lead:
    origin, period = sampled["origin"], sampled.get("period", 0)
    scale = MICROVOLTS_PER_CODE.get(origin.get("code", ""))
    if scale is None or sampled.get("dimensions") != 1 or not 0.01 <= period <= 1000:
        raise EcgInvalid(f"lead {name} is not in uV or mV, has several dimensions, or no usable period")
    factor, offset = sampled.get("factor", 1), origin.get("value", 0)
    samples = (_sample(name, word) for word in sampled.get("data", "").split())
    values = tuple((sample * factor + offset) * scale for sample in samples)
    return Lead(name, timedelta(milliseconds=period), values)


def _sample(name: str, word: str) -> float:
    if word in NO_VALUE:
        return math.nan
    try:
        sample = float(word)
    except ValueError:
        sample = math.inf
    if not math.isfinite(sample):
        raise EcgInvalid(f"lead {name} has a sample that is no number")
    return sample
