"""What happened and what was written: encounters, documents and images, plans and what else a doctor has to know."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from federation.clinical.chart.reading import (
    Entry,
    Json,
    Row,
    When,
    codes,
    each_once,
    joined,
    listed_words,
    many,
    number,
    one,
    span,
    string,
    text,
    when,
    words,
)
from federation.clinical.chart.topics import merged
from federation.clinical.summary import PATIENT_NOTE
from federation.clinical.text import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(Row):
    """A report, a document, a recording or images."""

    what: str
    kind: str
    detail: str
    is_own: bool = False
    """Whether the patient, or somebody in the patient's name, wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encounter(Row):
    """A visit or a stay: of which class, why, with whom, where, until when."""

    what: str
    kind: str
    reason: str
    who: str
    where: str
    until: When
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Other(Row):
    """A plan, a device, an alert or a relative's illness."""

    what: str
    kind: str
    detail: str


ENCOUNTER_CLASSES = {
    "AMB": "ambulatory",
    "ACUTE": "inpatient, acute",
    "EMER": "emergency",
    "FLD": "field",
    "HH": "home health",
    "IMP": "inpatient",
    "NONAC": "inpatient, not acute",
    "OBSENC": "observation",
    "PRENC": "pre-admission",
    "SS": "short stay",
    "VR": "virtual",
}
"""HL7's v3 ActEncounterCode in words."""


def encounters(entries: Iterable[Entry]) -> tuple[Encounter, ...]:
    """Return the visits and stays, the newest first."""
    return merged(map(_encounter, entries))


def _encounter(entry: Entry) -> Encounter:
    held = entry.held
    since, until = span(held, "period")
    kind = one(held, "class")
    code = text(kind, "code", 40)
    participants = (entry.named(one(part, "individual")) for part in many(held, "participant"))
    places = (entry.named(one(part, "location")) for part in many(held, "location"))
    diagnoses = (_condition(entry, one(part, "condition")) for part in many(held, "diagnosis"))
    referred = (_condition(entry, reference) for reference in many(held, "reasonReference"))
    status = text(held, "status", 30)
    return Encounter(
        what=joined(*listed_words(held, "type")),
        kind=ENCOUNTER_CLASSES.get(code) or text(kind, "display", 40) or code or "of no class",
        reason=joined(*each_once([*listed_words(held, "reasonCode"), *referred, *diagnoses])),
        who=joined(*each_once(participants)),
        where=joined(entry.named(one(held, "serviceProvider")), *each_once(places)),
        until=until,
        status="" if status == "finished" else status,
        when=since or until,
        origins=(entry.origin,),
    )


def _condition(entry: Entry, reference: Json) -> str:
    return words(one(entry.referred(reference), "code")) or text(reference, "display")


def documents(by_kind: Mapping[str, list[Entry]]) -> tuple[Document, ...]:
    """Return reports, documents, recordings and images, the newest first."""
    return merged(make(entry) for kind, make in _DOCUMENTS.items() for entry in by_kind.get(kind, ()))


def _report(entry: Entry) -> Document:
    held = entry.held
    status, concluded = text(held, "status", 30), listed_words(held, "conclusionCode")
    results = len(many(held, "result"))
    return Document(
        what=words(one(held, "code")) or "a report that is not named",
        kind="report",
        detail=joined(
            "" if status in {"", "final"} else status,
            text(held, "conclusion"),
            *concluded,
            counted(results, "result") if results else "",
            *each_once(entry.named(performer) for performer in many(held, "performer")),
        ),
        when=when(held, "effectiveDateTime", "effectivePeriod", "issued"),
        origins=(entry.origin,),
    )


def _reference(entry: Entry) -> Document:
    held = entry.held
    kind = one(held, "type")
    is_own = (PATIENT_NOTE["system"], PATIENT_NOTE["code"]) in set(codes(kind))
    attachments = [one(content, "attachment") for content in many(held, "content")]
    titles = each_once(text(attachment, "title") for attachment in attachments)
    types = each_once(text(attachment, "contentType", 60) for attachment in attachments)
    status = text(held, "status", 30)
    return Document(
        what=text(held, "description") or joined(*titles) or words(kind) or "a document without a title",
        kind="document",
        detail=joined(
            "" if status in {"", "current"} else status,
            _author(entry) if is_own else words(kind) if string(held, "description") or titles else "",
            *([] if is_own else each_once(entry.named(author) for author in many(held, "author"))),
            *types,
        ),
        is_own=is_own,
        when=when(held, "date"),
        origins=(entry.origin,),
    )


def _author(entry: Entry) -> str:
    """Return who wrote a patient's own note, by the federation's names."""
    subject = text(one(one(entry.held, "subject"), "identifier"), "value", 80)
    names = [text(one(author, "identifier"), "value", 80) for author in many(entry.held, "author")]
    others = each_once(name for name in names if name != subject)
    return f"written by {joined(*others)} in the patient's name" if others else "written by the patient"


def _composition(entry: Entry) -> Document:
    held = entry.held
    sections = len(many(held, "section"))
    status = text(held, "status", 30)
    return Document(
        what=text(held, "title") or words(one(held, "type")) or "a document without a title",
        kind="document",
        detail=joined(
            "" if status in {"", "final"} else status,
            counted(sections, "section") if sections else "",
            *each_once(entry.named(author) for author in many(held, "author")),
        ),
        when=when(held, "date"),
        origins=(entry.origin,),
    )


def _images(entry: Entry) -> Document:
    held = entry.held
    series = many(held, "series")
    modalities = [_coding(one(one_series, "modality")) for one_series in series]
    modalities += [_coding(coding) for coding in many(held, "modality")]
    sites = [_coding(one(one_series, "bodySite")) for one_series in series]
    counts = [
        counted(int(found), noun) if noun == "image" else f"{found:g} series"
        for noun, found in (
            ("series", number(held, "numberOfSeries") or float(len(series))),
            ("image", number(held, "numberOfInstances") or 0.0),
        )
        if found
    ]
    return Document(
        what=joined(*each_once(modalities), *each_once(sites)) or text(held, "description") or "images",
        kind="images",
        detail=joined(
            *listed_words(held, "procedureCode"),
            text(held, "description") if series or modalities else "",
            *counts,
        ),
        when=when(held, "started"),
        origins=(entry.origin,),
    )


def _media(entry: Entry) -> Document:
    held = entry.held
    content = one(held, "content")
    return Document(
        what=text(content, "title") or words(one(held, "type")) or "a picture, film or sound",
        kind="media",
        detail=joined(words(one(held, "bodySite")), text(content, "contentType", 60)),
        when=when(held, "createdDateTime", "createdPeriod", "issued"),
        origins=(entry.origin,),
    )


def _coding(coding: Json) -> str:
    return text(coding, "display") or text(coding, "code", 60)


_DOCUMENTS: Mapping[str, Callable[[Entry], Document]] = {
    "DiagnosticReport": _report,
    "DocumentReference": _reference,
    "Composition": _composition,
    "ImagingStudy": _images,
    "Media": _media,
}
DOCUMENT_KINDS = frozenset(_DOCUMENTS)


def recording(entry: Entry) -> Document:
    """Return an Observation of samples, such as an ECG, as what can be looked at in the record as it came."""
    return Document(
        what=words(one(entry.held, "code")) or "a recording",
        kind="recording",
        detail=joined(words(one(entry.held, "device")), entry.named(one(entry.held, "device"))),
        when=when(entry.held, "effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued"),
        origins=(entry.origin,),
    )


def others(by_kind: Mapping[str, list[Entry]]) -> tuple[Other, ...]:
    """Return alerts, devices, plans, goals and relatives' illnesses, the newest first."""
    return merged(make(entry) for kind, make in _OTHERS.items() for entry in by_kind.get(kind, ()))


def _other(kind: str, what: str, detail: str, on: When, entry: Entry) -> Other:
    return Other(kind=kind, what=what or "not named", detail=detail, when=on, origins=(entry.origin,))


def _flag(entry: Entry) -> Other:
    held = entry.held
    status = text(held, "status", 30)
    on, _ = span(held, "period")
    return _other("alert", words(one(held, "code")), "" if status == "active" else status, on, entry)


def _device(entry: Entry) -> Other:
    held = entry.held
    names = each_once(text(name, "name") for name in many(held, "deviceName"))
    what = joined(*names) or words(one(held, "type"))
    detail = joined(text(held, "status", 30), text(held, "manufacturer", 80), text(held, "modelNumber", 80))
    return _other("device", what, detail, when(held, "manufactureDate"), entry)


def _device_use(entry: Entry) -> Other:
    held = entry.held
    device = one(held, "device")
    found = entry.referred(device)
    what = words(one(found, "type")) or entry.named(device)
    detail = joined(text(held, "status", 30), words(one(held, "bodySite")), *listed_words(held, "reasonCode"))
    return _other("device", what, detail, when(held, "timingDateTime", "timingPeriod", "recordedOn"), entry)


def _plan(entry: Entry) -> Other:
    held = entry.held
    activities = (
        words(one(one(activity, "detail"), "code")) or text(one(activity, "detail"), "description")
        for activity in many(held, "activity")
    )
    on, until = span(held, "period", "created")
    ended = f"until {until.text}" if until else ""
    what = text(held, "title") or joined(*listed_words(held, "category"))
    return _other("plan", what, joined(text(held, "status", 30), ended, *each_once(activities)), on, entry)


def _goal(entry: Entry) -> Other:
    held = entry.held
    return _other(
        "goal", words(one(held, "description")), text(held, "lifecycleStatus", 30), when(held, "startDate"), entry
    )


def _relative(entry: Entry) -> Other:
    held = entry.held
    illnesses = each_once(words(one(condition, "code")) for condition in many(held, "condition"))
    return _other("family", words(one(held, "relationship")), joined(*illnesses), when(held, "date"), entry)


def _request(entry: Entry) -> Other:
    held = entry.held
    forbidden = "NOT TO BE DONE" if held.get("doNotPerform") is True else ""
    detail = joined(forbidden, text(held, "status", 30), text(held, "intent", 30), *listed_words(held, "reasonCode"))
    return _other("order", words(one(held, "code")), detail, when(held, "authoredOn"), entry)


def _impression(entry: Entry) -> Other:
    held = entry.held
    found = (words(one(finding, "itemCodeableConcept")) for finding in many(held, "finding"))
    what = text(held, "summary") or text(held, "description") or words(one(held, "code"))
    return _other("assessment", what, joined(*each_once(found)), when(held, "effectiveDateTime", "date"), entry)


_OTHERS: Mapping[str, Callable[[Entry], Other]] = {
    "Flag": _flag,
    "Device": _device,
    "DeviceUseStatement": _device_use,
    "CarePlan": _plan,
    "Goal": _goal,
    "FamilyMemberHistory": _relative,
    "ServiceRequest": _request,
    "ClinicalImpression": _impression,
}
OTHER_KINDS = frozenset(_OTHERS)
