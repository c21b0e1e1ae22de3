"""An ECG as FHIR keeps it: an Observation with one component of SampledData per lead.

The form is that of HL7's own example (R4, observation-example-sample-data); a lead that begins later carries HL7's extension
for that. A lead is coded in MDC by its number; what it is called stands beside it where the code doesn't say that.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from federation.clinical.errors import EcgInvalid
from federation.clinical.fhir import load_resource, validate_resource
from federation.clinical.identity import instant, patient_reference
from federation.clinical.leads import (
    LEAD_NAMES,
    MDC_ECG_ELEC_POTL,
    MDC_SYSTEM,
    MOST_LEAD_NUMBER,
    STANDARD_LEADS,
    Lead,
    mdc_code,
    mdc_label,
)
from federation.clinical.strictjson import dump
from federation.clinical.text import counted, listed, printable

if TYPE_CHECKING:
    from federation.clinical.dicom import Channel

UCUM = "http://unitsofmeasure.org"
CATEGORY_SYSTEM = "http://terminology.hl7.org/CodeSystem/observation-category"

TIME_OFFSET = "http://hl7.org/fhir/StructureDefinition/observation-timeOffset"
"""HL7's R4 extension for leads that are recorded one after the other: milliseconds from the Observation's moment."""

MICROVOLTS_PER_CODE = {"nV": 0.001, "uV": 1.0, "mV": 1000.0, "V": 1_000_000.0}

MOST_MICROVOLTS = 1e12
"""A million volts: more than the origin of 32-bit samples, and still to be drawn."""

NO_VALUE = frozenset({"E", "L", "U"})
"""SampledData's words for a sample in error, below or above what the recorder can measure."""

LEAD_OF_CODE = {str(mdc_code(number)): number for number in range(MOST_LEAD_NUMBER + 1)}


def observation_from_dicom(data: bytes, *, subject: str, effective: datetime | None = None) -> bytes:
    """Return the ECG of a DICOM file as a FHIR R4 Observation about `subject`, our own identity of the patient.

    All original signals of the file are in it, each with its rate and when it begins. `effective` (with its zone) is when it
    was recorded; without it the file's date is taken. Samples keep the recorder's steps, with factor and origin in
    microvolts, so no sample is rounded. Nothing else of the DICOM header goes along, no name, number or birth date. The same
    input gives the same bytes. Raises EcgInvalid, and FhirTooLarge for more than 16 MiB.
    """
    # pydicom takes longer to read than all else that a doctor's command needs, and few commands need it.
    from federation.clinical.dicom import read_recording  # noqa: PLC0415 - said above

    recording = read_recording(data)
    observation: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": CATEGORY_SYSTEM, "code": "procedure", "display": "Procedure"}]}],
        "code": _concept(MDC_ECG_ELEC_POTL, "MDC_ECG_ELEC_POTL") | {"text": "Electrocardiogram"},
        "subject": patient_reference(subject),
        "component": [_component(channel) for channel in recording.channels],
    }
    if when := instant(effective) if effective else recording.recorded_on:
        observation["effectiveDateTime"] = when
    encoded = dump(observation)
    validate_resource(encoded, "Observation")
    return encoded


def person_in_dicom(data: bytes) -> str | None:
    """Whom a DICOM file says that it was recorded of, None if it doesn't say. Raises EcgInvalid."""
    from federation.clinical.dicom import read_person  # noqa: PLC0415 - as above

    return read_person(data)


def leads_from_observation(data: bytes) -> list[Lead]:
    """Return the leads of an ECG Observation, in the order of its components; components that aren't a lead are passed over.

    Raises EcgInvalid if no lead is there or one can't be read, and what validate_resource raises.
    """
    leads = [lead for part in load_resource(data, "Observation").get("component", ()) for lead in _leads(part)]
    if not leads:
        raise EcgInvalid("the Observation holds no ECG lead")
    return leads


def other_signals(data: bytes) -> list[str]:
    """Return the names of an Observation's sampled components that aren't a lead, such as a pressure recorded beside the ECG."""
    parts = load_resource(data, "Observation").get("component", ())
    sampled = [part for part in parts if "valueSampledData" in part and _number_of(part) is None]
    return [_text(part) or "a signal without a name" for part in sampled]


def describe_ecg(leads: Sequence[Lead], others: Sequence[str] = ()) -> str:
    """Return an ECG in words, such as "ECG, 13 leads, 10 s, V4R among them"."""
    seconds = max(lead.end for lead in leads) / timedelta(seconds=1)
    extra = listed(dict.fromkeys(str(lead) for lead in leads if lead.name not in STANDARD_LEADS))
    named = dict.fromkeys(lead.name for lead in leads)
    among = f", {extra} among them" if extra else ""
    beside = f"; recorded beside it and not drawn: {listed(others)}" if others else ""
    return f"ECG, {counted(len(named), 'lead')}, {round(seconds, 1):g} s{among}{beside}"


def _component(channel: "Channel") -> dict[str, Any]:
    component: dict[str, Any] = {
        "code": _code(channel),
        "valueSampledData": {
            "origin": {"value": _number(channel.origin), "unit": channel.unit, "system": UCUM, "code": channel.unit},
            "period": _number(channel.period_ms),
            "factor": _number(channel.factor),
            "dimensions": 1,
            "data": " ".join("E" if sample is None else str(sample) for sample in channel.samples),
        },
    }
    if channel.offset_ms:
        component["extension"] = [{"url": TIME_OFFSET, "valueInteger": channel.offset_ms}]
    return component


def _code(channel: "Channel") -> dict[str, Any]:
    if channel.lead is None:
        return {"text": channel.name}
    coded = _concept(mdc_code(channel.lead), mdc_label(channel.lead))
    return coded if channel.name == LEAD_NAMES.get(channel.lead) else coded | {"text": channel.name}


def _concept(code: int, label: str) -> dict[str, Any]:
    return {"coding": [{"system": MDC_SYSTEM, "code": str(code), "display": label}]}


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _leads(component: dict[str, Any]) -> Iterator[Lead]:
    number = _number_of(component)
    if number is not None and "valueSampledData" in component:
        coded, said = LEAD_NAMES.get(number), _text(component)
        name = coded if coded in STANDARD_LEADS else said or coded or "unnamed"
        yield _lead(name, None if coded == name else coded, component)


def _number_of(component: dict[str, Any]) -> int | None:
    """Return the number of the lead that a component is, None if it is none."""
    codings = component["code"].get("coding", ())
    return next((LEAD_OF_CODE[code] for coding in codings if (code := _mdc(coding)) in LEAD_OF_CODE), None)


def _mdc(coding: dict[str, Any]) -> str:
    code: str = coding.get("code", "") if coding.get("system") == MDC_SYSTEM else ""
    return code


def _text(component: dict[str, Any]) -> str:
    return printable(component["code"].get("text", ""), 40)


def _lead(name: str, coded: str | None, component: dict[str, Any]) -> Lead:
    sampled = component["valueSampledData"]
    origin, period = sampled["origin"], sampled.get("period", 0)
    scale = MICROVOLTS_PER_CODE.get(origin.get("code", ""))
    if scale is None or sampled.get("dimensions") != 1 or not 0.01 <= period <= 1000:
        raise EcgInvalid(f"lead {name} is not in volts, has several dimensions, or no usable period")
    try:
        factor, offset = float(sampled.get("factor", 1)), float(origin.get("value", 0))
    except OverflowError:
        factor = offset = math.inf
    samples = (_sample(name, word) for word in sampled.get("data", "").split())
    values = tuple((sample * factor + offset) * scale for sample in samples)
    if any(abs(value) > MOST_MICROVOLTS for value in values):
        raise EcgInvalid(f"lead {name} has a sample that is no number of microvolts")
    return Lead(name, timedelta(milliseconds=period), values, _offset(component), coded)


def _offset(component: dict[str, Any]) -> timedelta:
    stated = (part.get("valueInteger", 0) for part in component.get("extension", ()) if part.get("url") == TIME_OFFSET)
    return timedelta(milliseconds=max(0, next(stated, 0)))


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
