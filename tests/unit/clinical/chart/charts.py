"""What tests of the chart share: sources made of resources, and the page's macros drawn as a page would."""

import json
from datetime import date
from pathlib import Path
from typing import Any

from federation.clinical.chart import Chart, Source, chart_of
from federation.pages.render import TEMPLATES

TODAY = date(2026, 12, 1)
DATA = Path(__file__).parents[3] / "data"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
PATIENT_ID = "P:johnnie"


def source(*resources: dict[str, Any], hospital: str = "H:alpha", key: str = "1") -> Source:
    """Return a record of these resources."""
    entries = [{"resource": resource} for resource in resources]
    return Source(hospital, key, {"resourceType": "Bundle", "type": "collection", "entry": entries})


def charted(*resources: dict[str, Any], hospital: str = "H:alpha") -> Chart:
    """Return the chart of one record."""
    return chart_of([source(*resources, hospital=hospital)], today=TODAY)


def coded(code: str, system: str = SNOMED, words: str = "") -> dict[str, Any]:
    """Return a CodeableConcept."""
    return {"coding": [{"system": system, "code": code}], **({"text": words} if words else {})}


def synthea(name: str) -> dict[str, Any]:
    """Return a Synthea patient's bundle, the two faults of luna60 mended (tests/data/README.md)."""
    bundle: dict[str, Any] = json.loads((DATA / f"synthea-{name}.json").read_bytes())
    if name == "luna60":
        bundle["entry"][16]["resource"]["category"] = [bundle["entry"][16]["resource"]["category"]]
        bundle["entry"][221]["resource"]["valueTime"] = "10:30:00"
    return bundle


def summary_of(name: str) -> dict[str, Any]:
    """Return an International Patient Summary of HL7's examples."""
    bundle: dict[str, Any] = json.loads((DATA / "ips" / f"{name}.json").read_bytes())
    return bundle


def drawn(chart: Chart) -> str:
    """Return the chart's two macros as a page embeds them: escaped by default, nothing undefined."""
    macros: Any = TEMPLATES.get_template("chart.html").module
    return f"{macros.banner(chart)}{macros.body(chart, lambda key: f'/record/{key}')}"
