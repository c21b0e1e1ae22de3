"""The dashboard and Grafana's provisioning: well formed, complete, and right to promtool. tests/e2e holds it against a scrape."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documents.conftest import MONITORING
from tests.promql import dashboard_expressions

DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TOPICS = {
    "traffic": "medunion_calls_total",
    "latency by method": "medunion_call_seconds_bucket",
    "refusals by reason": "medunion_refusals_total",
    "token": "medunion_token_operation_seconds_bucket",
    "database": "medunion_database_connections_in_use",
    "queue": "medunion_outbox_oldest_seconds",
    "revocation lag": "medunion:revocation_lag_seconds",
    "certificates": "medunion_certificate_end_timestamp_seconds",
    "workers": "medunion_worker_waiting",
}


def test_dashboard_has_what_grafana_asks_of_one() -> None:
    assert DASHBOARD["uid"] == "medunion"
    assert DASHBOARD["schemaVersion"] >= 38
    assert isinstance(DASHBOARD["version"], int)
    assert {"from", "to"} <= DASHBOARD["time"].keys()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_panel_says_what_it_shows_in_which_unit_and_from_where(panel: dict[str, Any]) -> None:
    assert panel["type"] in {"timeseries", "stat"}
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH")[: len(panel["targets"])]
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
        assert target["legendFormat"]


def test_every_expression_is_of_the_chosen_processes() -> None:
    for title, expression in dashboard_expressions():
        selectors = re.findall(r"\{[^{}]*\}", expression)
        assert selectors, title
        assert all('instance=~"$instance"' in selector for selector in selectors), title


def test_variables_that_are_used_are_defined() -> None:
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps([panel["targets"] for panel in PANELS])))
    assert used - {"__rate_interval"} == defined


def test_panels_lie_beside_each_other() -> None:
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert place["h"] > 0
    for one, other in combinations(DASHBOARD["panels"], 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


@pytest.mark.parametrize("topic", TOPICS)
def test_topic_has_a_panel(topic: str) -> None:
    assert any(TOPICS[topic] in target["expr"] for panel in PANELS for target in panel["targets"])


def test_every_expression_parses(promtool: Callable[..., str], tmp_path: Path) -> None:
    promtool("check", "rules", _as_rules(tmp_path, dashboard_expressions()))


def test_expression_that_does_not_parse_is_found_out(promtool: Callable[..., str], tmp_path: Path) -> None:
    said = promtool("check", "rules", _as_rules(tmp_path, [("x", "sum by (a) (rate(b[5m])")]), expect=1)
    assert "unclosed left parenthesis" in said


def _as_rules(directory: Path, expressions: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> Path:
    """Write the expressions as recording rules, with what Grafana puts in."""
    rules = [
        {"record": f"expression:{number}", "expr": expr.replace("$instance", ".+").replace("$__rate_interval", "1m")}
        for number, (_, expr) in enumerate(expressions)
    ]
    path = directory / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    return path


def test_prometheus_takes_its_configuration(promtool: Callable[..., str]) -> None:
    assert "1 rule files found" in promtool("check", "config", "prometheus.yml")


def test_provisioning_is_what_grafana_reads() -> None:
    datasources, dashboards = (
        yaml.safe_load((MONITORING / "provisioning" / name / "medunion.yml").read_text())
        for name in ("datasources", "dashboards")
    )
    assert datasources["apiVersion"] == dashboards["apiVersion"] == 1
    (source,) = datasources["datasources"]
    assert source["type"] == "prometheus"
    assert {"name", "access", "url"} <= source.keys()
    (provider,) = dashboards["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] in (MONITORING / "README.md").read_text()


def test_page_names_every_file() -> None:
    page = (MONITORING / "README.md").read_text()
    for path in MONITORING.iterdir():
        assert path.name == "README.md" or f"`{path.name}" in page, path.name
