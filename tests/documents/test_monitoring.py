"""deploy/monitoring and docs/operations.md: every alert has its section, is right to promtool, and asks for what is exported."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from federation.monitor.events import CHORES, RARE_CHORES
from tests.documents.conftest import MONITORING, ROOT

RULES = MONITORING / "alerts.yml"
CASES = MONITORING / "alerts_test.yml"
PAGE = ROOT / "docs" / "operations.md"
SUFFIXES = {"Counter": ("_total",), "Histogram": ("_bucket", "_sum", "_count"), "Gauge": ("",)}


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


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
    modules = [path for name in ("monitor", "processes") for path in (ROOT / "federation" / name).glob("*.py")]
    return {series for path in modules for series in _declared(path) if series.startswith("medunion_")}


def test_alerts_and_sections_correspond() -> None:
    anchors = [rule["annotations"]["runbook"] for rule in alerts().values()]
    sections = [
        heading.lower().replace(" ", "-")
        for heading in re.findall(r"^## (Medunion .+)$", PAGE.read_text(), re.MULTILINE)
    ]
    expected = [re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower() for alert in alerts()]
    assert anchors == [f"docs/operations.md#{anchor}" for anchor in expected]
    assert sections == expected


def test_every_section_says_what_to_do_first_and_what_comes_if_nobody_does() -> None:
    for section in PAGE.read_text().split("\n## Medunion ")[1:]:
        assert "**First:**" in section, section
        assert "**If nobody does:**" in section, section


def test_every_alert_is_tried_where_it_fires_and_where_it_does_not() -> None:
    tried: dict[str, set[bool]] = {}
    for test in yaml.safe_load(CASES.read_text())["tests"]:
        for case in test["alert_rule_test"]:
            tried.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    lacking = {alert: ({True, False} - tried.get(alert, set())) for alert in alerts()}
    assert not {alert for alert, missing in lacking.items() if missing}, (
        "say in alerts_test.yml when these fire, and when not"
    )
    assert tried.keys() == alerts().keys()


def test_every_alert_is_tried_on_a_healthy_series_too() -> None:
    for test in yaml.safe_load(CASES.read_text())["tests"]:
        instances = {re.search(r'instance="(\w+)"', series["series"])[1] for series in test["input_series"]}
        fire = {alert["exp_labels"]["instance"] for case in test["alert_rule_test"] for alert in case["exp_alerts"]}
        assert instances - fire, test


def test_failing_chores_are_told_whichever_they_are() -> None:
    often, rare = re.findall(r'event=~"([^"]+)"', alerts()["MedunionChoresFailing"]["expr"])
    assert set(often.split("|")) == CHORES
    assert set(rare.split("|")) == RARE_CHORES


def test_rules_are_right_to_promtool(promtool: Callable[..., str]) -> None:
    promtool("check", "rules", RULES.name)


def test_alerts_fire_when_they_must_and_not_before(promtool: Callable[..., str]) -> None:
    promtool("test", "rules", CASES.name)


def test_alerts_that_never_fire_are_found_out(promtool: Callable[..., str], tmp_path: Path) -> None:
    """The cases can fail: with expressions that give nothing, promtool misses every alert."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["expr"] = "vector(0) > 1"
    (tmp_path / RULES.name).write_text(yaml.safe_dump(rules))
    (tmp_path / CASES.name).write_text(CASES.read_text())
    said = promtool("test", "rules", tmp_path / CASES.name, expect=1)
    assert [alert for alert in alerts() if f"alertname: {alert}," not in said] == []


def test_every_metric_of_the_rules_is_exported() -> None:
    asked = set(re.findall(r"\bmedunion_\w+", RULES.read_text()))
    assert asked
    assert asked <= _exported(), asked - _exported()
