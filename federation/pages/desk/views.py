"""What the desk's pages show, as plain data: who came and by what, the ECG, digests, codes as pictures."""

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import segno
from markupsafe import Markup

from federation.clinical.drawing import svg
from federation.clinical.ecg import leads_from_observation
from federation.clinical.errors import ClinicalError
from federation.clinical.fhir import load_resource
from federation.clinical.identity import identity, require_subject
from federation.clinical.leads import Lead
from federation.clinical.report import SUPPORTING_INFO
from federation.clinical.text import printable, without_control
from federation.pages.downloads import json_lines
from federation.person.biosignals import describe_biosignal
from federation.person.consent_words import grantee_words, right_sentences
from federation.person.visit_words import arrival_words
from federation.protocol.consultation import InConsultation

GROUP = 8
"""Hexadecimal digits that are read at once."""


@dataclass(frozen=True)
class Biosignal:
    """What the patient sent along: in words, what it says of itself, and its drawing where it is an ECG."""

    words: str
    facts: tuple[tuple[str, str], ...] = ()
    drawing: str = ""
    is_none: bool = False


@dataclass(frozen=True)
class Consent:
    """What the patient consents to beside this visit, for whom, and until when (ms)."""

    grantee: str
    sentences: tuple[str, ...]
    until: int


@dataclass(frozen=True)
class Arrival:
    """Who came, whose visit it is, by what, and with what."""

    patient_id: str
    came_id: str
    words: str
    began_at: int
    consent: Consent | None
    biosignal: Biosignal


def arrival_of(consultation: InConsultation) -> Arrival:
    """Return what a page shows of who came; the biosignal is a stranger's, and whatever it does, the visit goes on."""
    patient_id, grant = consultation.patient_id, consultation.shown.claimed_grant
    consent = None
    if grant is not None:
        sentences = tuple(right_sentences(grant, "the patient's"))
        consent = Consent(grantee_words(grant.grantee), sentences or ("Nothing.",), grant.validity.not_after)
    return Arrival(
        patient_id=patient_id,
        came_id=consultation.patient.identity,
        words=arrival_words(consultation),
        began_at=consultation.session.began_at,
        consent=consent,
        biosignal=biosignal_of(consultation.biosignal, patient_id),
    )


def biosignal_of(data: bytes, patient_id: str) -> Biosignal:
    """Return what there is to see of a biosignal. One that is no usable Observation of this patient is told, not drawn."""
    if not data:
        return Biosignal("none", is_none=True)
    try:
        observation = load_resource(data, "Observation")
        require_subject(observation, patient_id)
        leads = leads_from_observation(data)
        facts = tuple(_facts(observation, leads, patient_id))
        words = describe_biosignal(data, patient_id)
        return Biosignal(words, facts, Markup(svg(leads, paper_only=True)))  # noqa: S704 - drawing.svg escapes all of it
    except ClinicalError:
        return Biosignal(describe_biosignal(data, patient_id))
    except Exception as error:  # noqa: BLE001 - as a terminal does: no strange file ends a visit
        return Biosignal(f"it can't be shown ({type(error).__name__})")


@dataclass(frozen=True)
class ReportView:
    """What a report says, taken from the bytes that are signed. `unseen` names characters that no reader sees."""

    patient_id: str
    conclusion: str
    codes: tuple[str, ...]
    sources: tuple[str, ...]
    issued: str
    text: str
    unseen: tuple[str, ...]


def report_view(report: bytes) -> ReportView:
    """Read a DiagnosticReport of our own making."""
    content = json.loads(report)
    conclusion = content["conclusion"]
    coded = [coding for concept in content.get("conclusionCode", ()) for coding in concept["coding"]]
    return ReportView(
        patient_id=identity(content["subject"]),
        conclusion=without_control(conclusion),
        codes=tuple(f"{coding['code']} {coding['display']}" for coding in coded),
        sources=tuple(_sources(content)),
        issued=content["issued"],
        text="\n".join(map(without_control, json_lines(report.decode()))),
        unseen=tuple(dict.fromkeys(_named(it) for it in conclusion if without_control(it) != it)),
    )


def grouped(digits: str) -> Sequence[str]:
    """Return hexadecimal digits in groups, as people compare them."""
    return [digits[start : start + GROUP] for start in range(0, len(digits), GROUP)]


def qr(text: str) -> Markup:
    """Draw a text as a QR code (ISO/IEC 18004), as SVG without an address, a script or a style."""
    code = segno.make(text, error="m", micro=False)
    drawn = code.svg_inline(omitsize=True, border=4, svgclass="qr", lineclass=None)
    return Markup(drawn)  # noqa: S704 - rectangles alone, made by us


def _sources(report: dict[str, Any]) -> Iterator[str]:
    for part in report.get("extension", ()):
        if part["url"] == SUPPORTING_INFO:
            yield part["valueReference"]["display"]


def _named(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".strip()


def _facts(observation: dict[str, Any], leads: Sequence[Lead], patient_id: str) -> Iterator[tuple[str, str]]:
    yield "Patient", patient_id
    recorded = observation.get("effectiveDateTime") or observation.get("issued")
    yield "Recorded", printable(str(recorded), 40) if recorded else "not stated"
    rates = sorted({round(timedelta(seconds=1) / lead.sample_interval) for lead in leads})
    yield "Sampled at", f"{' and '.join(map(str, rates))} Hz"
