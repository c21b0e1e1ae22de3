"""The whole charts of the Synthea patients, and HL7's patient summaries as a terminal shows them: files that a person read.

`python -m tests.unit.clinical.chart.golden` writes them anew; the difference is to be read before it is committed.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from json import dumps
from pathlib import Path
from typing import Any

from federation.clinical.chart import Chart, Origin, Source, When, chart_of, text_of
from tests.unit.clinical.chart.charts import DATA, TODAY, summary_of, synthea

NAMES = ("johnnie679", "luna60")
SUMMARIES = ("all-sections", "minimal", "no-info-required-sections", "with-immunization")


def path_of(name: str) -> Path:
    """Return where a patient's chart is kept."""
    return DATA / "charts" / f"{name}.json"


def chart_of_patient(name: str) -> Chart:
    """Return the chart of a Synthea patient."""
    return chart_of([Source("H:alpha", name, synthea(name), "H:alpha/general")], today=TODAY)


def path_of_summary(name: str) -> Path:
    """Return where a summary's chart is kept, as text."""
    return DATA / "charts" / f"ips-{name}.txt"


def text_of_summary(name: str) -> str:
    """Return the chart of one of HL7's patient summaries, as a terminal shows it."""
    chart = chart_of([Source("H:alpha", name, summary_of(name), "H:alpha/general")], today=TODAY)
    return "\n".join(text_of(chart)) + "\n"


def text_of_model(chart: Chart) -> str:
    """Return everything that a chart says as JSON: a moment as its text, an origin as its place; nothing empty."""
    return dumps(_plain(chart), indent=1, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, When):
        return value.full
    if isinstance(value, Origin):
        return f"{value.hospital_id} {value.entry}{'' if value.sensitivity == 'normal' else f' {value.sensitivity}'}"
    if is_dataclass(value):
        held = {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
        return {name: item for name, item in held.items() if item not in ("", None, False, [], {})}
    if isinstance(value, Mapping):
        return dict(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


if __name__ == "__main__":
    for name in NAMES:
        path_of(name).write_text(text_of_model(chart_of_patient(name)), encoding="utf-8")
    for name in SUMMARIES:
        path_of_summary(name).write_text(text_of_summary(name), encoding="utf-8")
