"""What the expressions of deploy/monitoring ask for: metrics, and the labels that they select and group by."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

MONITORING = Path(__file__).parents[1] / "deploy" / "monitoring"
METRIC = re.compile(r"\b(?:medunion|process)_\w+")
SELECTED = re.compile(r"(\b(?:medunion|process)_\w+)\s*\{([^{}]*)\}")
GROUPED = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^()]*)\)")
LEGEND = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")
GIVEN_BY_PROMETHEUS = {"instance", "job", "le", "alertname"}


def dashboard_expressions() -> Iterator[tuple[str, str]]:
    """Give each panel's title with each of its expressions."""
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def legends() -> Iterator[tuple[str, str, str]]:
    """Give each panel's title with its expressions and their legends."""
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]


def rule_expressions() -> Iterator[tuple[str, str]]:
    """Give the name of each rule with its expression."""
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert", rule.get("record")), rule["expr"]


def metrics_in(expression: str) -> set[str]:
    """Give the metrics that an expression asks for."""
    return set(METRIC.findall(expression))


def labels_in(expression: str) -> dict[str, set[str]]:
    """Give the labels that an expression needs, by metric; those that it groups by are needed of all of its metrics."""
    grouped = {label.strip() for labels in GROUPED.findall(expression) for label in labels.split(",") if label.strip()}
    needed = {metric: set(grouped) for metric in metrics_in(expression)}
    for metric, selector in SELECTED.findall(expression):
        needed[metric] |= set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
    return {metric: labels - GIVEN_BY_PROMETHEUS for metric, labels in needed.items()}
