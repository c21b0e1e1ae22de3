"""A draft never allows what its Consent does not: whatever is altered in one, it says no more, or makes no draft."""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from federation.clinical.consent_drafts import read_draft
from federation.clinical.consents import (
    CONFIDENTIALITY,
    GRANTED,
    OURS,
    RIGHTS,
    ConsentTerms,
    GivenConsent,
    Recipient,
    consent_bundle,
)
from federation.clinical.errors import ClinicalError

REALM = "union"
START = datetime(2026, 3, 1, tzinfo=UTC)
HOSPITALS, CLASSES, LEVELS = ("H:alpha", "H:beta"), ("cardiology", "radiology"), ("normal", "restricted", "secret")
TIMES = [START + timedelta(hours=hours, milliseconds=late) for hours in (-1, 0, 1, 24, 48) for late in (-1, 0, 1)]

subsets = st.lists(st.sampled_from(HOSPITALS), min_size=1, unique=True) | st.just(["*"])
classes = st.lists(st.sampled_from(CLASSES), min_size=1, unique=True) | st.just(["*"])
terms = st.builds(
    ConsentTerms,
    recipient=st.sampled_from(
        [Recipient("D:lee", "M:board"), Recipient("H:alpha/cardiology"), Recipient("H:beta")],
    ),
    hospitals=subsets.map(tuple),
    department_classes=classes.map(tuple),
    rights=st.lists(st.sampled_from(RIGHTS), min_size=1, unique=True).map(tuple),
    sensitivity=st.sampled_from(LEVELS[:2]),
    purpose=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128),
    begins=st.just(START),
    ends=st.sampled_from([START + timedelta(hours=1), START + timedelta(days=1, milliseconds=7)]),
)
values = st.sampled_from(
    [
        *("*", "H:beta", "D:lee", "H:beta/radiology", "radiology", "read", "deposit", "find", "N", "R", "V", "deny"),
        *("2026-03-02", "2026-03-02T00:00:00Z", "2026-03-03T00:00:00.000Z", "2026-03-01T00:00:00+01:00", "TREAT"),
        *("active", "inactive", "Organization", "https://medunion.example/fhir/StructureDefinition/granted"),
    ]
)
BUT = {"url": "https://example.org/but", "valueBoolean": True}
NARROWER = {
    "url": GRANTED,
    "extension": [
        {"url": "right", "valueCode": "find"},
        {"url": "hospital", "valueString": "H:alpha"},
        {"url": "department-class", "valueString": "radiology"},
    ],
}
PIECES: list[tuple[str, object]] = [
    ("provision", [{"type": "deny", "securityLabel": [{"system": CONFIDENTIALITY, "code": "R"}]}]),
    ("extension", [BUT]),
    ("modifierExtension", [BUT]),
    ("modifierExtension", [NARROWER]),
    ("dataPeriod", {"end": "2020-01-01"}),
    ("class", [{"code": "Observation"}]),
    ("code", [{"text": "x-ray"}]),
    ("action", [{"text": "correct"}]),
    ("data", [{"meaning": "instance", "reference": {"display": "one"}}]),
    ("policyRule", {"text": "opt out"}),
    ("securityLabel", [{"system": CONFIDENTIALITY, "code": "N"}]),
    ("implicitRules", "https://example.org/rules"),
    ("use", "old"),
]
"""Elements, and what they may hold, that narrow a Consent wherever R4 lets them stand."""


def exported(said: ConsentTerms) -> dict[str, Any]:
    stated = GivenConsent(said, "P:wang", "P:wang", START, bytes(16), 1, stands=True, signed=b"signed")
    bundle = consent_bundle([stated], cloud_id="C:union", realm=REALM, exported=START)
    resource: dict[str, Any] = json.loads(bundle)["entry"][0]["resource"]
    return resource


def places(element: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container in a Consent with each of its keys."""
    keys = list(element) if isinstance(element, dict) else range(len(element)) if isinstance(element, list) else []
    for key in keys:
        yield element, key
        yield from places(element[key])


@settings(deadline=None)
@given(terms)
def test_draft_of_an_exported_consent_is_the_same(said: ConsentTerms) -> None:
    assert read_draft(json.dumps(exported(said)).encode(), "P:wang", REALM) == said


@settings(deadline=None, max_examples=400)
@given(terms, st.data())
def test_altered_consent_makes_a_draft_that_says_no_more_than_it_or_none(
    said: ConsentTerms, data: st.DataObject
) -> None:
    consent = copy.deepcopy(exported(said))
    for _ in range(data.draw(st.integers(1, 3), label="alterations")):
        alter(consent, data)
    try:
        draft = read_draft(json.dumps(consent).encode(), "P:wang", REALM)
    except ClinicalError:
        return
    require_no_wider(draft, consent)


def test_piece_that_is_added_anywhere_narrows_the_draft_or_refuses_it() -> None:
    widest = ConsentTerms(
        Recipient("D:lee", "M:board"), ("*",), ("*",), RIGHTS, "restricted", "why", START, START + timedelta(days=1)
    )
    for plain in (exported(widest), without_ours(exported(widest))):
        read_draft(json.dumps(plain).encode(), "P:wang", REALM)
        for number, (name, piece) in product(range(len(list(objects(plain)))), PIECES):
            consent = copy.deepcopy(plain)
            element = list(objects(consent))[number]
            if isinstance(piece, list):
                element[name] = [*element.get(name, []), *piece]
            else:
                element.setdefault(name, piece)
            try:
                draft = read_draft(json.dumps(consent).encode(), "P:wang", REALM)
            except ClinicalError:
                continue
            require_no_wider(draft, consent)


def objects(element: Any) -> Iterator[dict[str, Any]]:
    """Yield each object in a Consent, itself first."""
    if isinstance(element, dict):
        yield element
    for container, key in places(element):
        if isinstance(container[key], dict):
            yield container[key]


def without_ours(consent: dict[str, Any]) -> dict[str, Any]:
    for name in ("extension", "modifierExtension", "securityLabel"):
        del consent["provision"][name]
    return consent


def require_no_wider(draft: ConsentTerms, consent: dict[str, Any]) -> None:
    for right, hospital, name, level, at in product(RIGHTS, HOSPITALS, CLASSES, LEVELS, TIMES):
        if draft_allows(draft, right, hospital, name, level, at):
            assert consent_allows(consent, right, hospital, name, level, at), consent
    assert recipient_in(consent) == draft.recipient.party_id


def alter(consent: dict[str, Any], data: st.DataObject) -> None:
    inner = consent.get("provision", consent) if data.draw(st.booleans(), label="within the provision") else consent
    container, key = data.draw(st.sampled_from(list(places(inner)) or list(places(consent))), label="place")
    if data.draw(st.booleans(), label="drop"):
        del container[key]
    else:
        container[key] = data.draw(values, label="value")


def draft_allows(draft: ConsentTerms, right: str, hospital: str, name: str, level: str, at: datetime) -> bool:
    return (
        right in draft.rights
        and {"*", hospital} & set(draft.hospitals) != set()
        and {"*", name} & set(draft.department_classes) != set()
        and LEVELS.index(level) <= LEVELS.index(draft.sensitivity)
        and (draft.begins is None or draft.begins <= at)
        and at < draft.ends
    )


def consent_allows(consent: dict[str, Any], right: str, hospital: str, name: str, level: str, at: datetime) -> bool:
    """Read a Consent as FHIR says it is read: each restriction that is there restricts, and an unknown one forbids all."""
    provision = consent["provision"]
    modifiers = provision.get("modifierExtension", [])
    exceptions = {"provision", "dataPeriod", "class", "data", "action", "code"} & provision.keys()
    rules = {"policyRule", "implicitRules", "modifierExtension", "extension"} & consent.keys()
    strange = [one for one in (*modifiers, *provision.get("extension", [])) if not one["url"].startswith(OURS)]
    if exceptions or rules or strange:
        return False
    if provision["type"] != "permit" or consent["status"] not in ("draft", "proposed", "active"):
        return False
    for modifier in modifiers:
        parts = [(part["url"], part.get("valueCode") or part.get("valueString")) for part in modifier["extension"]]
        asked = {"right": (right,), "hospital": (hospital, "*"), "department-class": (name, "*")}
        if any(all((part, value) not in parts for value in values) for part, values in asked.items()):
            return False
    if not modifiers and right == "deposit":
        return False
    labels = [label["code"] for label in provision.get("securityLabel", [])]
    if any(LEVELS.index(level) > "NRV".index(label) for label in labels):
        return False
    period = provision["period"]
    return ("start" not in period or moment(period["start"]) <= at) and at <= moment(period["end"])


def recipient_in(consent: dict[str, Any]) -> str:
    [actor] = consent["provision"]["actor"]
    named: str = actor["reference"]["identifier"]["value"]
    return named


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
