"""Times the chart of FHIR records, and beside it what reads them: one record of 1 MB, and 40 MB of twenty hospitals.

Run on an idle machine: `python -m benchmarks.chart`. CPU time of one process, median of the runs. What is to be held:
50 ms for the chart of 1 MB, 2 s for that of 40 MB, 300 ms for the first page, its template compiled and drawn.
"""

import copy
import json
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from federation.clinical.chart import Chart, Source, chart_of, text_of
from federation.clinical.fhir import load_resource
from federation.pages.render import TEMPLATES

DATA = Path(__file__).parent.parent / "tests" / "data"
TODAY = date(2026, 12, 1)
HOSPITALS = 20


def main() -> None:
    """Print every step, its CPU milliseconds, and what is to be held."""
    one = _bundle(1_000_000, "a")
    whole = [_bundle(2_000_000, str(number)) for number in range(HOSPITALS)]
    small = [Source("H:a", "0", json.loads(one))]
    large = [Source(f"H:h{number}", str(number), json.loads(data)) for number, data in enumerate(whole)]
    print(f"1 MB: {len(one):,} bytes; 40 MB: {sum(map(len, whole)):,} bytes of {HOSPITALS} hospitals")
    print("| step | 1 MB, CPU ms | 40 MB, CPU ms |\n| --- | --- | --- |")
    _row(
        "read and validate",
        lambda: load_resource(one, "Bundle"),
        lambda: [load_resource(each, "Bundle") for each in whole],
    )
    _row("chart", lambda: chart_of(small, today=TODAY), lambda: chart_of(large, today=TODAY))
    few, many = chart_of(small, today=TODAY), chart_of(large, today=TODAY)
    _row("as text", lambda: list(text_of(few)), lambda: list(text_of(many)))
    _row("first page: template read and drawn", lambda: _page(_macros(), few), lambda: _page(_macros(), many))
    macros = _macros()
    _row("each page after it", lambda: _page(macros, few), lambda: _page(macros, many))
    print(f"\nHTML: {len(_page(macros, few)):,} and {len(_page(macros, many)):,} characters")


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


def _row(step: str, small: Callable[[], object], large: Callable[[], object]) -> None:
    print(f"| {step} | {_cpu_ms(small, 9):.0f} | {_cpu_ms(large, 3):.0f} |", flush=True)


def _cpu_ms(work: Callable[[], object], runs: int) -> float:
    taken = []
    for _ in range(runs):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return median(taken) * 1000


if __name__ == "__main__":
    main()
