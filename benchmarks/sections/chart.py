"""The chart of FHIR records, and beside it what reads them: one record of 1 MB, and 40 MB of twenty hospitals."""

import copy
import json
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.meters import cpu_ms
from benchmarks.rows import Bench, Row, Section
from federation.clinical.chart import Chart, Source, chart_of, text_of
from federation.clinical.fhir import load_resource
from federation.pages.render import TEMPLATES

DATA = Path(__file__).parents[2] / "tests" / "data"
TODAY = date(2026, 12, 1)
HOSPITALS = 20


ONE_MS, WHOLE_MS, PAGE_MS = 50, 2_000, 300
"""What the chart of 1 MB is held to, that of 40 MB, and a first page with its template compiled."""


def rows(bench: Bench) -> Iterator[Row]:
    """Yield each step for the small record and, unless the run is to be quick, for the large ones."""
    one = _bundle(1_000_000, "a")
    sizes = {"1 MB": [Source("H:a", "0", json.loads(one))]}
    read: dict[str, Callable[[], object]] = {"1 MB": lambda: load_resource(one, "Bundle")}
    if not bench.quick:
        whole = [_bundle(2_000_000, str(number)) for number in range(HOSPITALS)]
        sizes["40 MB"] = [Source(f"H:h{number}", str(number), json.loads(data)) for number, data in enumerate(whole)]
        read["40 MB"] = lambda: [load_resource(each, "Bundle") for each in whole]
    for size, sources in sizes.items():
        rounds = 3 if size == "40 MB" else bench.pick(3, 9)
        chart, target = chart_of(sources, today=TODAY), WHOLE_MS if size == "40 MB" else ONE_MS
        yield Row(f"{size}: read and validated", "ms CPU", cpu_ms(read[size], rounds))
        charted = cpu_ms(partial(chart_of, sources, today=TODAY), rounds)
        yield Row(f"{size}: chart", "ms CPU", charted, target=target)
        yield Row(f"{size}: as text", "ms CPU", cpu_ms(partial(_text, chart), rounds))
        first, held = cpu_ms(partial(_first_page, chart), rounds), PAGE_MS if size == "1 MB" else None
        yield Row(f"{size}: first page, its template compiled", "ms CPU", first, target=held)
        yield Row(f"{size}: each page after it", "ms CPU", cpu_ms(partial(_page, _macros(), chart), rounds))


def _text(chart: Chart) -> list[str]:
    return list(text_of(chart))


def _first_page(chart: Chart) -> str:
    return _page(_macros(), chart)


def _bundle(size_bytes: int, of: str) -> bytes:
    """Return a valid bundle of about this size: two Synthea patients' resources over and over, each a little other."""
    johnnie = json.loads((DATA / "synthea-johnnie679.json").read_bytes())["entry"]
    luna = json.loads((DATA / "synthea-luna60.json").read_bytes())["entry"]
    sound = [entry for number, entry in enumerate(luna) if number not in {16, 221}]
    entries: list[Any] = []
    total = turn = 0
    while total < size_bytes:
        for entry in (*johnnie, *sound):
            held = copy.deepcopy(entry) if turn else entry
            _shift(held["resource"], turn, of)
            total += len(json.dumps(held))
            entries.append(held)
            if total >= size_bytes:
                break
        turn += 1
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def _shift(resource: dict[str, Any], turn: int, of: str) -> None:
    """Let no two turns and no two hospitals say the very same, so that nothing is merged that would not be."""
    if "effectiveDateTime" in resource and turn:
        resource["effectiveDateTime"] = f"{2019 + turn % 7}{resource['effectiveDateTime'][4:]}"
    if "valueQuantity" in resource:
        resource["valueQuantity"]["value"] += turn / 100 + len(of) / 1000 + sum(map(ord, of)) / 10_000


def _macros() -> Any:
    TEMPLATES.cache.clear()
    return TEMPLATES.get_template("chart.html").module


def _page(macros: Any, chart: Chart) -> str:
    return f"{macros.banner(chart)}{macros.body(chart, lambda key: f'/record/{key}')}"


SECTION = Section(
    "chart",
    "The chart of a patient's records",
    "Two Synthea patients' resources over and over: one record of 1 MB, and twenty hospitals' of 2 MB each (docs/chart.md).",
    rows,
)
