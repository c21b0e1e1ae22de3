"""deploy/monitoring and docs/operations.md: every alert has its section, is right to promtool, and asks for what is exported."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "monitoring" / "alerts.yml"
PAGE = ROOT / "docs" / "operations.md"
PROMTOOL = ROOT / ".venv" / "monitoring" / "promtool"
SUFFIXES = {"Counter": ("_total",), "Histogram": ("_bucket", "_sum", "_count"), "Gauge": ("",)}


def _promtool(*arguments: str) -> None:
    if not PROMTOOL.exists():
        pytest.fail("promtool is not in .venv/monitoring; run ci/install-monitoring")
    done = subprocess.run(
        [PROMTOOL, *arguments], cwd=RULES.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _declared(path: Path) -> Iterator[str]:
    """Give the series that a module declares: keys of GAUGES, and what it makes as counters, histograms and gauges."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict):
            yield from (str(key.value) for key in node.value.keys if isinstance(key, ast.Constant))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            kind = node.func.id.removesuffix("MetricFamily").removeprefix("_").capitalize()
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield from (f"{first.value}{suffix}" for suffix in SUFFIXES.get(kind, ()))


def _exported() -> set[str]:
    modules = [path for name in ("observe", "app") for path in (ROOT / "federation" / name).glob("*.py")]
    return {series for path in modules for series in _declared(path) if series.startswith("medunion_")}


def test_alerts_and_sections_correspond() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    anchors = re.findall(r"runbook: docs/operations\.md#([\w-]+)", RULES.read_text())
    sections = [
        heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", PAGE.read_text(), re.MULTILINE)
    ]
    assert anchors == [re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower() for alert in alerts]
    assert sections == anchors


def test_rules_are_right_to_promtool() -> None:
    _promtool("check", "rules", RULES.name)


def test_alerts_fire_when_they_must_and_not_before() -> None:
    _promtool("test", "rules", "alerts_test.yml")


def test_every_metric_of_the_rules_is_exported() -> None:
    asked = set(re.findall(r"\bmedunion_\w+", RULES.read_text()))
    assert asked
    assert asked <= _exported(), asked - _exported()
