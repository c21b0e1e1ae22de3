"""Whatever a bundle holds, a chart of it is made, and nothing of it gets into page, drawing or terminal but as text.

Records are changed at random, valid or not, and resources made up of FHIR's own names; CHART_EXAMPLES sets how many of each.
"""

import copy
import math
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.clinical.chart import Chart, Source, chart_of, text_of
from tests.unit.clinical.chart.charts import PATIENT_ID, TODAY, drawn, synthea
from tests.unit.clinical.chart.handmade import cardiology

EXAMPLES = int(os.environ.get("CHART_EXAMPLES", "150"))
often = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)

MARK = "zqx"
"""In every hostile text, so that its way can be followed."""
HOSTILE = (
    f"<script>{MARK}()</script>",
    f'"><img src=x onerror={MARK}()>',
    f"' onmouseover='{MARK}()",
    f"]]></title></svg><script>{MARK}()</script>",
    f"javascript:{MARK}()",
    f"{{{{ {MARK} }}}}{{% raw %}}",
    f"\x1b[2J\x1b]0;{MARK}\x07\r\n\u2028\u202e{MARK}\u2066",
    f"{MARK}\x00\ud83d",
    f"&lt;{MARK}&amp;",
    MARK * 400,
)
TAGS = {
    *("div", "p", "b", "span", "h2", "h3", "h4", "ul", "li", "a", "abbr", "small", "section", "details", "summary"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("svg", "title", "rect", "circle", "path", "polyline", "text"),
}
ATTRIBUTES = {
    *("class", "id", "href", "title", "role", "aria-label", "aria-labelledby", "tabindex", "scope"),
    *("viewbox", "width", "height", "x", "y", "rx", "cx", "cy", "r", "d", "points", "text-anchor"),
}

hostile = st.sampled_from(HOSTILE)
moments = st.sampled_from(
    [
        "2012-02-31",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:60-14:00",
        "2012",
        "2012-13",
        "0000",
        "12:00",
        "²012-01-01",
    ]
)
numbers = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(min_value=-(10**400), max_value=10**400),
    st.sampled_from([0, -0.0, 1e308, -1e308, 5e-324]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, hostile, moments, st.text(max_size=8))
NAMES = (
    *("resourceType", "id", "status", "code", "coding", "system", "display", "text", "value", "unit", "valueQuantity"),
    *(
        "component",
        "category",
        "referenceRange",
        "low",
        "high",
        "interpretation",
        "effectiveDateTime",
        "period",
        "start",
    ),
    *("end", "onsetDateTime", "onsetAge", "clinicalStatus", "verificationStatus", "reaction", "manifestation", "name"),
    *(
        "given",
        "family",
        "birthDate",
        "identifier",
        "subject",
        "reference",
        "contained",
        "section",
        "emptyReason",
        "entry",
    ),
    *("resource", "fullUrl", "meta", "security", "class", "participant", "individual", "series", "modality", "content"),
    *("attachment", "title", "dosageInstruction", "timing", "repeat", "frequency", "periodUnit", "medicationReference"),
    *("occurrenceDateTime", "protocolApplied", "doseNumberPositiveInt", "deceasedDateTime", "type", "use", "when"),
)
KINDS = (
    *(
        "Patient",
        "AllergyIntolerance",
        "Condition",
        "MedicationRequest",
        "MedicationStatement",
        "Immunization",
        "Observation",
    ),
    *(
        "Encounter",
        "Procedure",
        "DiagnosticReport",
        "DocumentReference",
        "Composition",
        "ImagingStudy",
        "Media",
        "List",
    ),
    *("CarePlan", "Flag", "Device", "DeviceUseStatement", "FamilyMemberHistory", "Bundle", "PractitionerRole", "Claim"),
)
codes = st.sampled_from(
    ["8480-6", "8462-4", "85354-9", "active", "resolved", "entered-in-error", "716186003", "N", "H"]
)
junk = st.recursive(
    st.one_of(scalars, codes),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)),
    max_leaves=20,
)
made_up = st.builds(
    lambda kind, rest: {**rest, "resourceType": kind},
    st.one_of(st.sampled_from(KINDS), hostile),
    st.dictionaries(st.sampled_from(NAMES), junk, max_size=10),
)

RECORDS = [synthea("johnnie679"), synthea("luna60"), cardiology()]


class Tags(HTMLParser):
    """Hold every tag and attribute of a page to those that the chart's own templates and drawings have."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        for name, value in attrs:
            assert name in ATTRIBUTES, name
            if name in {"href", "id", "class", "d", "points"}:
                assert MARK not in (value or "")
            if name == "href":
                assert (value or "").startswith("/record/")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()


def require_harmless(chart: Chart) -> None:
    """Draw and write a chart, and require that what records brought along is text in it."""
    for line in text_of(chart):
        assert line.isprintable(), line
        assert len(line) <= 80, line
    page = drawn(chart)
    assert all(char.isprintable() or char == "\n" for char in page)
    tags = Tags()
    tags.feed(page)
    tags.close()
    assert not tags.open
    for drawing in (chart.timeline, *map(chart.sparkline, chart.series)):
        if drawing:
            require_drawable(ET.fromstring(drawing))


def require_drawable(drawing: ET.Element) -> None:
    """Require that every number of a drawing is one."""
    for element in drawing.iter():
        for name in ("x", "y", "cx", "cy", "r", "width", "height", "d", "points"):
            for number in re.findall(r"[^\s,MLVhz]+", element.get(name, "")):
                assert math.isfinite(float(number)), (element.tag, name, number)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container of a JSON value, with each of its keys or indices."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(inside):
        yield value, key
        yield from places(item)


@st.composite
def changed_records(draw: st.DrawFn) -> dict[str, Any]:
    """Give some resources of a real record, with up to eight values in them replaced or taken away."""
    record = draw(st.sampled_from(RECORDS))
    first = draw(st.integers(min_value=0, max_value=len(record["entry"]) - 1))
    bundle = {"resourceType": "Bundle", "entry": copy.deepcopy(record["entry"][first : first + 6])}
    for _ in range(draw(st.integers(min_value=1, max_value=8))):
        held = list(places(bundle["entry"]))
        if not held:
            break
        container, key = held[draw(st.integers(min_value=0, max_value=len(held) - 1))]
        if draw(st.integers(min_value=0, max_value=3)):
            container[key] = draw(st.one_of(alike(container[key]), scalars, codes, junk))
        else:
            del container[key]
    return bundle


def alike(value: Any) -> st.SearchStrategy[Any]:
    """Give values of the same kind that are as odd as that kind allows."""
    if isinstance(value, int | float):
        return numbers
    return moments if isinstance(value, str) and value[:4].isdigit() else st.one_of(hostile, codes)


@often
@given(changed_records(), changed_records())
def test_a_chart_of_changed_records_is_made_and_harmless(one: dict[str, Any], other: dict[str, Any]) -> None:
    sources = [Source("H:alpha", "1", one), Source("H:beta", "2", other)]
    chart = chart_of(sources, today=TODAY, patient_id=PATIENT_ID)
    assert chart == chart_of(sources[::-1], today=TODAY, patient_id=PATIENT_ID)
    require_harmless(chart)


@often
@given(st.lists(made_up, max_size=6), st.dictionaries(st.sampled_from(NAMES), junk, max_size=3))
def test_a_chart_of_made_up_resources_is_made_and_harmless(resources: list[Any], rest: dict[str, Any]) -> None:
    bundle = {**rest, "resourceType": "Bundle", "entry": [{"fullUrl": "urn:x", "resource": one} for one in resources]}
    require_harmless(chart_of([Source("H:alpha", "1", bundle)], today=TODAY, patient_id=PATIENT_ID))


@often
@given(hostile, st.randoms(use_true_random=False))
def test_text_in_every_string_of_a_record_stays_text(words: str, random: Any) -> None:
    record = copy.deepcopy(random.choice(RECORDS))
    bundle = {"resourceType": "Bundle", "entry": random.sample(record["entry"], 8)}
    for container, key in list(places(bundle["entry"])):
        if (
            isinstance(container[key], str)
            and key not in {"resourceType", "reference", "fullUrl"}
            and random.random() < 0.5
        ):
            container[key] = words
    require_harmless(chart_of([Source("H:alpha", "1", bundle)], today=TODAY, patient_id=PATIENT_ID))
